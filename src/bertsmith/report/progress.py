"""Progress of a training run, for a person who watches.

Enters: the lines of the log, as `bertsmith.report.log.RunLog` takes them. Leaves: a bar on a terminal, a plain line
every few seconds elsewhere. Knows nothing of the loop that calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from bertsmith.report.bar import Bar
from bertsmith.report.words import format_duration, format_number, format_rate, format_score, name_score


class TrainingProgress(Bar):
    """A progress bar with loss, rate, tokens/s, time spent and time left; options as `Bar` has them."""

    def __init__(
        self,
        *,
        every: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("training", ("elapsed", "rate", "speed", "left"), every=every, console=console, clock=clock)
        self._first: tuple[int, float] | None = None  # the first step that was logged, and when

    def log(self, record: Mapping[str, Any]) -> None:
        """Show a line of the log: ``step``, ``planned_steps``, ``loss``, ``lr``, ``tokens_per_second``; or ``step`` and
        ``eval``."""
        step = int(record["step"])
        if "eval" in record:
            self._show_scores(step, record["eval"])
        else:
            self.show(step / int(record["planned_steps"]), self._facts(record))

    def _show_scores(self, step: int, scores: Mapping[str, float]) -> None:
        told = "  ".join(f"{name_score(name)} {format_score(value)}" for name, value in scores.items())
        self.console.print(f"eval at step {step:,}: {told}", highlight=False, markup=False, soft_wrap=True)

    def _facts(self, record: Mapping[str, Any]) -> dict[str, str]:
        step, planned, elapsed = int(record["step"]), int(record["planned_steps"]), self.elapsed
        # The pace is that since the first line: a resumed run did its earlier steps at another time.
        self._first = first, since = self._first or (step, elapsed)
        share = f", {record['share_of_peak']:.0%} of peak" if "share_of_peak" in record else ""
        facts = {
            "step": f"step {step:,}/{planned:,}",
            "loss": f"loss {record['loss']:.4f}",
            "rate": f"rate {format_rate(record['lr'])}",
            "speed": f"{format_number(record['tokens_per_second'])} tokens/s{share}",
            "elapsed": format_duration(elapsed),
        }
        if first < step < planned:
            facts["left"] = f"{format_duration((elapsed - since) * (planned - step) / (step - first))} left"
        return facts
