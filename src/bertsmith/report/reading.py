"""Progress of reading text into a corpus, for a person who watches.

Enters: how far `bertsmith.corpus.building` has come. Leaves: a bar on a terminal, a plain line every few seconds
elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console

from bertsmith.corpus.building import Progress
from bertsmith.report.bar import Bar
from bertsmith.report.words import format_duration, format_number


class ReadingProgress(Bar):
    """A progress bar with files, megabytes, MB/s, tokens, time spent and time left; options as `Bar` has them.

    speed: MB of text a second so far
    """

    def __init__(
        self,
        *,
        every: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("reading", ("elapsed", "tokens", "left", "speed"), every=every, console=console, clock=clock)
        self._first: Progress | None = None
        self.speed = 0.0

    def tell(self, progress: Progress) -> None:
        """Show how far it is. What the first call tells was there before."""
        elapsed = self.elapsed
        self._first = first = self._first or progress
        self.speed = (progress.text_bytes - first.text_bytes) / 1e6 / max(elapsed, 1e-3)
        files, done = progress.num_sources, progress.sources_done
        facts = {
            "files": f"file {min(done + 1, files):,}/{files:,}",
            "text": f"{progress.text_bytes / 1e6:,.0f} MB",
            "tokens": f"{format_number(progress.tokens)} tokens",
            "speed": f"{self.speed:.1f} MB/s",
            "elapsed": format_duration(elapsed),
        }
        if first.sources_done < done < files:
            facts["left"] = f"{format_duration(elapsed * (files - done) / (done - first.sources_done))} left"
        self.show(done / max(files, 1), facts)
