"""A bar for what has no known end."""

from __future__ import annotations

import io
from contextlib import suppress

from rich.console import Console

from bertsmith.report.bar import Bar


def terminal(out: io.StringIO) -> Console:
    return Console(file=out, force_terminal=True, width=60, color_system=None)


def test_without_an_end_it_moves_and_is_full_when_left() -> None:
    out = io.StringIO()
    with Bar("reading", (), console=terminal(out)) as bar:
        for number in (7, 8, 9):
            bar.show(None, {"texts": f"{number} texts"})
        assert bar._bar is not None
        assert bar._bar.tasks[0].total is None
    assert bar._bar.tasks[0].finished
    assert "9 texts" in out.getvalue()


def test_after_an_error_it_is_not_full() -> None:
    out = io.StringIO()
    bar = Bar("reading", (), console=terminal(out))
    with suppress(KeyboardInterrupt), bar:
        bar.show(None, {"texts": "7 texts"})
        raise KeyboardInterrupt
    assert bar._bar is not None
    assert not bar._bar.tasks[0].finished


def test_elsewhere_a_plain_line_every_few_seconds() -> None:
    out, now = io.StringIO(), [0.0]
    with Bar("reading", ("pace",), every=10, console=Console(file=out, width=60), clock=lambda: now[0]) as bar:
        for second in range(1, 26):
            now[0] = second
            bar.show(None, {"texts": f"{second} texts", "pace": "1 text/s"})
        assert bar.elapsed == 25
    assert out.getvalue().splitlines() == ["10 texts  1 text/s", "20 texts  1 text/s"]


def test_a_narrow_terminal_does_without_the_least() -> None:
    out = io.StringIO()
    with Bar("reading", ("pace",), console=terminal(out)) as bar:
        bar.show(None, {"texts": "12,000,000 texts of a long file", "pace": "123,456 texts/s"})
    assert "12,000,000 texts of a long file" in out.getvalue()
    assert "123,456" not in out.getvalue()
