"""Progress of a training run, for a person who watches.

Enters: the lines of the log, as `bertsmith.report.log.RunLog` takes them. Leaves: a bar on a terminal, a plain line
every few seconds elsewhere. Knows nothing of the loop that calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from bertsmith.report.words import format_duration, format_number, format_rate, format_score, name_score

_NARROWEST_BAR = 8  # signs on a line
_WIDEST_BAR = 40


class TrainingProgress:
    """A progress bar with loss, rate, tokens/s, time spent and time left.

    steps:      the last step, or None when only time ends the run
    minutes:    time that ends the run, or None
    first_step: the step a resumed run goes on from
    every:      seconds between plain lines where the output is no terminal
    console:    where to write; standard error if none is given, since standard output is for answers
    clock:      seconds, rising
    """

    def __init__(
        self,
        steps: int | None,
        *,
        minutes: float | None = None,
        first_step: int = 0,
        every: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._steps, self._minutes, self._first, self._every = steps, minutes, first_step, every
        self._clock = clock
        self._begin = self._shown = clock()
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(
                    bar_width=None,
                    complete_style="cyan",
                    finished_style="cyan",
                    table_column=Column(ratio=1, max_width=_WIDEST_BAR),  # it takes what the facts leave
                ),
                TextColumn("{task.fields[facts]}", markup=False, table_column=Column(no_wrap=True)),
                console=self._console,
                expand=True,
                transient=False,
            )
            self._task = self._bar.add_task("training", total=1.0, facts="")

    def __enter__(self) -> Self:
        self._begin = self._shown = self._clock()
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def log(self, record: Mapping[str, Any]) -> None:
        """Show a line of the log: ``step``, ``loss``, ``lr``, ``tokens_per_second``; or ``step`` and ``eval``."""
        step = int(record["step"])
        if "eval" in record:
            self._show_scores(step, record["eval"])
            return
        done = self._share_done(step)
        now = self._clock()
        facts = self._facts(record, step, now - self._begin, done)
        if self._bar:
            room = self._console.width - len("training  ") - _NARROWEST_BAR
            self._bar.update(self._task, completed=done, facts=_fit(facts, room))
        elif now - self._shown >= self._every or done >= 1:
            self._shown = now
            self._console.print("  ".join(facts.values()), highlight=False, markup=False, soft_wrap=True)

    def _show_scores(self, step: int, scores: Mapping[str, float]) -> None:
        told = "  ".join(f"{name_score(name)} {format_score(value)}" for name, value in scores.items())
        self._console.print(f"eval at step {step:,}: {told}", highlight=False, markup=False, soft_wrap=True)

    def _share_done(self, step: int) -> float:
        """Share of the whole run that is behind us, 0 to 1: by steps or by time, whichever ends it first."""
        shares = [0.0]
        if self._steps:
            shares.append(step / self._steps)
        if self._minutes:
            shares.append((self._clock() - self._begin) / (60 * self._minutes))
        return min(1.0, max(shares))

    def _facts(self, record: Mapping[str, Any], step: int, elapsed: float, done: float) -> dict[str, str]:
        count = f"{step:,}/{self._steps:,}" if self._steps else f"{step:,}"
        # Time left is told by the pace since it was resumed: a resumed run did its first steps at another time.
        before = self._first / self._steps if self._steps else 0.0
        left = elapsed * (1 - done) / (done - before) if done > before else None
        facts = {
            "step": f"step {count}",
            "loss": f"loss {record['loss']:.4f}",
            "rate": f"rate {format_rate(record['lr'])}",
            "speed": f"{format_number(record['tokens_per_second'])} tokens/s",
            "elapsed": format_duration(elapsed),
        }
        if left is not None and done < 1:
            facts["left"] = f"{format_duration(left)} left"
        return facts


def _fit(facts: dict[str, str], room: int) -> str:
    """The facts in one line of at most ``room`` signs; on a narrow terminal the least needed go first."""
    kept = dict(facts)
    for least in ("elapsed", "rate", "speed", "left"):
        if len("  ".join(kept.values())) > room:
            kept.pop(least, None)
    return "  ".join(kept.values())
