"""Tables for the terminal.

Enters: scores, splits, counts. Leaves: rich tables, to be printed by the caller. Knows nothing of where they go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from bertsmith.report.record import Split
from bertsmith.report.words import clip_text, format_score, format_share, name_score


def tabulate_scores(scores: Mapping[str, float], *, metric: str = "") -> Table:
    """Scores by name; ``metric``, the one that decides, stands out."""
    table = _table("score", "value")
    for name, value in scores.items():
        style = "bold" if name == metric else ""
        table.add_row(Text(name_score(name)), format_score(value), style=style)
    return table


def tabulate_splits(splits: Sequence[Split]) -> Table:
    """Size of every split, and its labels."""
    table = _table("split", "examples", "tokens", "longest", "cut", "labels")
    table.columns[-1].justify = "left"
    for split in splits:
        longest = int(np.max(split.lengths)) if len(split.lengths) else 0
        labels = [f"{clip_text(name, 30)} {count:,}" for name, count in split.labels.items()]
        told = ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
        table.add_row(
            Text(split.name),
            f"{split.rows:,}",
            f"{split.tokens:,}",
            f"{longest:,}",
            format_share(split.share_truncated),
            Text(told),
        )
    if not any(split.labels for split in splits):
        table.columns.pop()
    return table


def tabulate_counts(what: str, counts: Mapping[str, int]) -> Table:
    """Numbers of things by name; ``what`` says what is counted."""
    table = _table(what, "count")
    for name, number in counts.items():
        table.add_row(Text(name), f"{number:,}")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
