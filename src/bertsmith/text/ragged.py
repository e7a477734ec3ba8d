"""Rows of tokens laid end to end: the only layout of data here.

Enters: token ids of many sequences. Leaves: one flat array and the bounds of its rows. Knows nothing of files, models
or tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """S sequences of N tokens in all, without padding.

    ids:      (N,)   int32, token ids, special tokens included
    segments: (N,)   uint8, 0 for the first text (with its [CLS] and [SEP]), 1 for the second
    bounds:   (S+1,) int64, sequence ``i`` is ``ids[bounds[i]:bounds[i + 1]]``
    cut:      (S,)   int32, how many tokens truncation took from each sequence
    """

    ids: NDArray[np.int32]
    segments: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    cut: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens in each sequence, (S,)."""
        return np.diff(self.bounds)

    def take(self, rows: NDArray[np.int64] | Sequence[int]) -> Ragged:
        """The named sequences, in the order named."""
        rows = np.asarray(rows, dtype=np.int64)
        places, bounds = gather_places(self.bounds, rows)
        return Ragged(self.ids[places], self.segments[places], bounds, self.cut[rows])

    @staticmethod
    def concatenate(parts: Sequence[Ragged]) -> Ragged:
        """One ragged of all the sequences of ``parts``, in order."""
        if not parts:
            return Ragged.empty()
        lengths = np.concatenate([part.lengths for part in parts])
        return Ragged(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.segments for part in parts]),
            bounds_of(lengths),
            np.concatenate([part.cut for part in parts]),
        )

    @staticmethod
    def empty() -> Ragged:
        """No sequences at all."""
        return Ragged(np.empty(0, np.int32), np.empty(0, np.uint8), np.zeros(1, np.int64), np.empty(0, np.int32))


def bounds_of(lengths: NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
    """Row bounds (S+1,) of rows with these lengths (S,).

    >>> bounds_of([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


def gather_places(bounds: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The flat places of the elements of ``rows``, row after row, and the bounds of those rows there.

    >>> places, new = gather_places(np.array([0, 2, 2, 5]), np.array([2, 0]))
    >>> places.tolist(), new.tolist()
    ([2, 3, 4, 0, 1], [0, 3, 5])
    """
    lengths = bounds[rows + 1] - bounds[rows]
    new = bounds_of(lengths)
    places = np.arange(new[-1], dtype=np.int64) + np.repeat(bounds[rows] - new[:-1], lengths)
    return places, new


def runs_within(lengths: NDArray[np.int64], budget: int) -> list[tuple[int, int]]:
    """Cut rows of these lengths into runs of at most ``budget`` elements (one row at least); half-open (low, high).

    >>> runs_within(np.array([10, 45, 45, 5]), 50)
    [(0, 1), (1, 2), (2, 4)]
    """
    ends = np.cumsum(lengths)
    runs = []
    low = 0
    while low < len(lengths):
        before = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + budget, side="right")))
        runs.append((low, high))
        low = high
    return runs
