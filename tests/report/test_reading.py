from __future__ import annotations

import io

from rich.console import Console

from bertsmith.corpus.building import Progress
from bertsmith.report.reading import ReadingProgress


def test_plain_lines_tell_what_was_read_since_the_first_call() -> None:
    """As of a corpus that is gone on with: what was there before took no time now."""
    now, out = 100.0, io.StringIO()
    with ReadingProgress(every=10, console=Console(file=out, width=40), clock=lambda: now) as progress:
        for step in range(6):
            progress.tell(Progress(5 + step, 10, (50 + 20 * step) * 10**6, 0, 10_000_000 + 4_000_000 * step))
            now += 10
    assert out.getvalue().splitlines() == [
        "file 7/10  70 MB  14.0M tokens  2.0 MB/s  10 s  40 s left",
        "file 8/10  90 MB  18.0M tokens  2.0 MB/s  20 s  30 s left",
        "file 9/10  110 MB  22.0M tokens  2.0 MB/s  30 s  20 s left",
        "file 10/10  130 MB  26.0M tokens  2.0 MB/s  40 s  10 s left",
        "file 10/10  150 MB  30.0M tokens  2.0 MB/s  50 s",
    ]
    assert progress.speed == 2.0
