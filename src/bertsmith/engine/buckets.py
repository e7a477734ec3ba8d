"""Sequences in rectangles of nearly equal lengths.

Enters: ragged sequences. Leaves: padded batches of few different shapes, the longest first. Runtimes with kernels for
each shape make a new one at every shape they have not met, so that sizes are rounded where that pads little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.text.ragged import Ragged, gather_places

ROWS = 8  # rectangles of one width have a multiple of so many rows, but the last


@dataclass(frozen=True)
class Bucket:
    """b sequences padded to t tokens.

    rows:     (b,) their numbers
    ids, segments: (b, t) int64, 0 at padding
    mask:     (b, t) int64, 1 at tokens, 0 at padding
    """

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    mask: NDArray[np.int64]


def buckets_by_length(sequences: Ragged, pass_tokens: int) -> Iterator[Bucket]:
    """All sequences, each once, in rectangles of at most ``pass_tokens`` places (one sequence at least)."""
    lengths = sequences.lengths
    order = np.argsort(-lengths, kind="stable")
    for low, high in runs_of_one_width(lengths[order], pass_tokens):
        yield bucket_of(sequences, order[low:high])


def runs_of_one_width(lengths: NDArray[np.int64], pass_tokens: int) -> list[tuple[int, int]]:
    """Cut lengths that fall into runs (low, high), each of a multiple of `ROWS` unless fewer fit or are left.

    A run is as wide as its first length, and as long as ``pass_tokens`` allows.

    >>> runs_of_one_width(np.array([30, 30, 10, 10, 10]), 60)
    [(0, 2), (2, 5)]
    """
    runs = []
    low = 0
    while low < len(lengths):
        fit = max(1, int(pass_tokens // lengths[low]))
        fit = fit - fit % ROWS if fit > ROWS else fit
        high = min(len(lengths), low + fit)
        runs.append((low, high))
        low = high
    return runs


def bucket_of(sequences: Ragged, rows: NDArray[np.int64]) -> Bucket:
    """The named sequences, padded to the longest of them."""
    places, bounds = gather_places(sequences.bounds, rows)
    lengths = np.diff(bounds)
    mask = np.arange(lengths.max()) < lengths[:, None]  # (b, t)
    ids = np.zeros(mask.shape, dtype=np.int64)
    segments = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = sequences.ids[places]
    segments[mask] = sequences.segments[places]
    return Bucket(rows, ids, segments, mask.astype(np.int64))
