"""A bar for a person who waits: on a terminal a bar, elsewhere a plain line every few seconds.

Enters: how much is done, and facts to tell beside it. Leaves: lines on the console. Knows nothing of what is going on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

_NARROWEST_BAR = 8  # signs on a line
_WIDEST_BAR = 40


class Bar:
    """A bar with facts behind it.

    name:    of what is going on
    least:   names of facts, in the order in which a narrow terminal does without them
    every:   seconds between plain lines where the output is no terminal
    console: where to write; standard error if none is given, since standard output is for answers
    clock:   seconds, rising
    """

    def __init__(
        self,
        name: str,
        least: Sequence[str],
        *,
        every: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console(stderr=True)
        self._name, self._least, self._every, self._clock = name, least, every, clock
        self._begin = self._shown = clock()
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(
                    bar_width=None,
                    complete_style="cyan",
                    finished_style="cyan",
                    table_column=Column(ratio=1, max_width=_WIDEST_BAR),  # it takes what the facts leave
                ),
                TextColumn("{task.fields[facts]}", markup=False, table_column=Column(no_wrap=True)),
                console=self.console,
                expand=True,
                transient=False,
            )
            self._task = self._bar.add_task(name, total=None, facts="")  # without a total, it moves

    def __enter__(self) -> Self:
        self._begin = self._shown = self._clock()
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            if error is None and self._bar.tasks[0].total is None:
                self._bar.update(self._task, total=1.0, completed=1.0)
            self._bar.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since the bar was entered."""
        return self._clock() - self._begin

    def show(self, done: float | None, facts: Mapping[str, str]) -> None:
        """Show that a share of it all, 0 to 1, is done, and facts by name, in the order to be told. ``None`` is for
        what has no known end: the bar moves, and is full when it is left."""
        now = self._clock()
        if self._bar:
            room = self.console.width - len(f"{self._name}  ") - _NARROWEST_BAR
            fitting = self._fit(facts, room)
            if done is None:
                self._bar.update(self._task, facts=fitting)
            else:
                self._bar.update(self._task, total=1.0, completed=done, facts=fitting)
        elif now - self._shown >= self._every or (done or 0) >= 1:
            self._shown = now
            self.console.print("  ".join(facts.values()), highlight=False, markup=False, soft_wrap=True)

    def _fit(self, facts: Mapping[str, str], room: int) -> str:
        """The facts in one line of at most ``room`` signs; on a narrow terminal the least needed go first."""
        kept = dict(facts)
        for least in self._least:
            if len("  ".join(kept.values())) > room:
                kept.pop(least, None)
        return "  ".join(kept.values())
