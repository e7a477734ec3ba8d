"""The nearest vectors, found exactly: by blocks of matrix products.

Enters: vectors of length 1. Leaves: for each of some vectors the numbers of the nearest ones and their cosines, or the
nearest pairs of all. Memory is bounded by the block, not by the number of vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

PRODUCTS = 1 << 24  # cosines held at once: 64 MB
_ROWS = 1024  # vectors of a block that are compared with as many others as `PRODUCTS` allows


@dataclass(frozen=True)
class Neighbours:
    """The nearest of Q vectors, best first.

    rows:    (Q, k) int64 numbers, -1 where there are fewer than k
    cosines: (Q, k) float32, -inf there
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]


def nearest(queries: Vectors, vectors: Vectors, number: int, *, alive: NDArray[np.bool_] | None = None) -> Neighbours:
    """The ``number`` nearest of ``vectors`` to each query. Of equal cosines any may come first.

    alive: (M,) which vectors count; all unless given

    Shape: queries (Q, E), vectors (M, E), which may be mapped from a file.
    """
    best = Best(len(queries), number)
    rows = max(1, PRODUCTS // max(1, min(len(queries), _ROWS)))
    for low in range(0, len(vectors), rows):
        high = min(low + rows, len(vectors))
        block = torch.tensor(vectors[low:high])  # a copy: what is mapped from a file cannot be written to
        dead = None if alive is None else torch.from_numpy(~alive[low:high])
        for first in range(0, len(queries), _ROWS):
            asked = torch.tensor(queries[first : first + _ROWS])
            cosines = (asked @ block.T).clamp_(-1, 1)  # (q, m); rounding may lead beyond
            if dead is not None:
                cosines.masked_fill_(dead, -torch.inf)
            best.add(first, cosines, low)
    return best.found()


def nearest_others(vectors: Vectors, number: int) -> Neighbours:
    """The ``number`` nearest others of each vector: (M, E) -> (M, number)."""
    best = Best(len(vectors), number)
    every = torch.tensor(vectors)
    columns = max(_ROWS, PRODUCTS // _ROWS)
    for low in range(0, len(vectors), columns):
        block = every[low : low + columns]
        for first in range(0, len(vectors), _ROWS):
            cosines = (every[first : first + _ROWS] @ block.T).clamp_(-1, 1)
            _leave_out_own(cosines, first, low)
            best.add(first, cosines, low)
    return best.found()


@dataclass(frozen=True)
class Pair:
    """Two vectors by number, the lower first."""

    first: int
    second: int
    cosine: float


def nearest_pairs(vectors: Vectors, number: int, *, least: float = -1.0) -> list[Pair]:
    """The ``number`` nearest pairs of all, best first, of those whose cosine is at least ``least``. (M, E)."""
    every = torch.tensor(vectors)
    cosines, pairs = torch.empty(0), torch.empty(0, 2, dtype=torch.int64)
    columns = max(_ROWS, PRODUCTS // _ROWS)
    for first in range(0, len(every), _ROWS):
        for low in range(first, len(every), columns):
            block = (every[first : first + _ROWS] @ every[low : low + columns].T).clamp_(-1, 1)
            later = torch.arange(low, low + block.shape[1]) > torch.arange(first, first + len(block))[:, None]
            block.masked_fill_(~later, -torch.inf)
            top, places = block.flatten().topk(min(number, block.numel()))
            kept = top >= least
            top, places = top[kept], places[kept]
            found = torch.stack([first + places // block.shape[1], low + places % block.shape[1]], dim=1)
            cosines, pairs = torch.cat([cosines, top]), torch.cat([pairs, found])
            order = cosines.argsort(descending=True, stable=True)[:number]
            cosines, pairs = cosines[order], pairs[order]
            least = max(least, float(cosines[-1])) if len(cosines) == number else least
    return [
        Pair(first, second, cosine)
        for (first, second), cosine in zip(pairs.tolist(), cosines.tolist(), strict=True)
        if cosine > -np.inf
    ]


class Best:
    """The best so far of Q rankings, as blocks of cosines come in."""

    def __init__(self, number_of_queries: int, number: int) -> None:
        self._rows = torch.full((number_of_queries, number), -1)
        self._cosines = torch.full((number_of_queries, number), -torch.inf)

    def add(self, first: int, cosines: torch.Tensor, low: int) -> None:
        """Rank a block: cosines (q, m) of queries from ``first`` with vectors from ``low``."""
        number = self._cosines.shape[1]
        if not number:
            return
        top, places = cosines.topk(min(number, cosines.shape[1]), dim=1)
        self.merge(slice(first, first + len(top)), places + low, top)

    def merge(self, queries: slice, rows: torch.Tensor, cosines: torch.Tensor) -> None:
        """Take in candidates of some queries, rows and cosines (q, n)."""
        rows = torch.where(cosines > -torch.inf, rows, -1)
        both = torch.cat([self._cosines[queries], cosines], dim=1)
        top, places = both.topk(self._cosines.shape[1], dim=1)
        self._rows[queries] = torch.cat([self._rows[queries], rows], dim=1).gather(1, places)
        self._cosines[queries] = top

    def found(self) -> Neighbours:
        """The ranking of each query."""
        return Neighbours(self._rows.numpy(), self._cosines.numpy())


def _leave_out_own(cosines: torch.Tensor, first: int, low: int) -> None:
    """-inf where a vector meets itself: rows from ``first``, columns from ``low``."""
    own = torch.arange(len(cosines)) + first - low
    inside = (own >= 0) & (own < cosines.shape[1])
    cosines[torch.arange(len(cosines))[inside], own[inside]] = -torch.inf
