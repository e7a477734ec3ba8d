from __future__ import annotations

import io

import pytest
from rich.console import Console

from bertsmith.report.progress import TrainingProgress


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(step: int, planned: int) -> dict[str, float]:
    return {"step": step, "planned_steps": planned, "loss": 0.51234, "lr": 2e-5, "tokens_per_second": 12_345.0}


def test_plain_lines_every_few_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    with TrainingProgress(every=10, console=Console(file=out, width=40), clock=clock) as progress:
        for step in range(1, 101):
            clock.now += 1
            progress.log(record(step, 100))
            if step == 50:
                progress.log({"step": step, "eval": {"mcc": 0.3456, "loss": 0.5}})
    lines = out.getvalue().splitlines()
    assert lines[0] == "step 10/100  loss 0.5123  rate 2.00e-5  12.3k tokens/s  10 s  1:30 left"
    assert lines[-1] == "step 100/100  loss 0.5123  rate 2.00e-5  12.3k tokens/s  1:40"
    assert "eval at step 50: MCC 0.346  loss 0.500" in lines
    assert len(lines) == 11


def test_a_resumed_run_tells_time_left_by_its_own_pace() -> None:
    clock, out = Clock(), io.StringIO()
    with TrainingProgress(every=1, console=Console(file=out), clock=clock) as progress:
        for step in (80, 90):
            clock.now += 10
            progress.log(record(step, 100))
    assert out.getvalue().strip().endswith("20 s  10 s left")


def test_what_is_planned_may_change_on_the_way() -> None:
    """As where minutes or tokens end the run: the number of steps is estimated."""
    out = io.StringIO()
    with TrainingProgress(every=0, console=Console(file=out, width=100)) as progress:
        for step, planned in ((7, 70), (14, 56), (60, 60)):
            progress.log(record(step, planned))
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["7/70", "14/56", "60/60"]


@pytest.mark.parametrize(
    ("width", "present", "absent"), [(140, "rate", "…"), (80, "tokens/s", "rate"), (60, "loss", "tokens/s")]
)
def test_a_narrow_terminal_gets_fewer_facts_and_whole_ones(width: int, present: str, absent: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    with TrainingProgress(console=console) as progress:
        for step in (490, 500):
            progress.log(record(step, 1000))
    last = next(line for line in reversed(out.getvalue().splitlines()) if "step" in line)
    assert present in last
    assert absent not in last
    assert "…" not in last
    assert "━━━━" in last


def test_a_bar_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=140, color_system=None)
    with TrainingProgress(console=console) as progress:
        for step in range(1, 11):
            progress.log(record(step, 10))
            if step == 5:
                progress.log({"step": step, "eval": {"f1": 0.5}})
    shown = out.getvalue()
    assert "step 10/10  loss 0.5123" in shown
    assert "eval at step 5: F1 0.500" in shown
    assert "━" in shown
