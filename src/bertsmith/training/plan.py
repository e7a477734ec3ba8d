"""Which rows make which step: the one source of order.

The batch of a step is a pure function of (seed, step) and the data, so nothing about the order needs to be stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertsmith.model.batch import Batch
from bertsmith.text.ragged import runs_within
from bertsmith.training.options import FitOptions


class Rows(Protocol):
    """Training rows that can be batched in any order."""

    def __len__(self) -> int: ...

    @property
    def row_tokens(self) -> NDArray[np.int64]:
        """Tokens in each row, (R,)."""

    @property
    def used_ids(self) -> NDArray[np.int64]:
        """Sorted ids of all tokens that occur in any row."""

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The named rows, packed."""


class Plan(Protocol):
    """What the loop asks of any order of batches.

    batch_size:       rows of a full step
    steps_per_epoch:  steps in which every row comes once, or about so
    tokens_per_epoch: tokens of those
    used_ids:         sorted ids of all tokens that can occur
    """

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def tokens_per_epoch(self) -> int: ...

    @property
    def used_ids(self) -> NDArray[np.int64]: ...

    def num_rows(self, step: int) -> int:
        """Rows of optimizer step ``step``, counted from 0 over all epochs."""

    def batches(self, step: int) -> Iterator[Batch]:
        """The rows of a step, in as many passes as memory asks for."""


class BatchPlan:
    """Shuffled batches, every row once an epoch, the last batch of an epoch maybe smaller."""

    def __init__(self, rows: Rows, options: FitOptions) -> None:
        self.rows = rows
        self.row_tokens = rows.row_tokens
        self.batch_size = options.batch_size
        self.pass_tokens = options.pass_tokens
        self.steps_per_epoch = math.ceil(len(rows) / options.batch_size)
        self.tokens_per_epoch = int(self.row_tokens.sum())
        self.used_ids = rows.used_ids
        self._orders = Orders(len(rows), options.seed)

    def step_rows(self, step: int) -> NDArray[np.int64]:
        """The rows of optimizer step ``step``, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._orders.of(epoch)[place * self.batch_size : (place + 1) * self.batch_size]

    def num_rows(self, step: int) -> int:
        return len(self.step_rows(step))

    def batches(self, step: int) -> Iterator[Batch]:
        return map(self.rows.batch, self.passes(step))

    def passes(self, step: int) -> list[NDArray[np.int64]]:
        """The rows of a step in parts of at most ``pass_tokens`` tokens (one row at least)."""
        rows = self.step_rows(step)
        return [rows[low:high] for low, high in runs_within(self.row_tokens[rows], self.pass_tokens)]


class Orders:
    """The orders of ``count`` things by epoch (see `shuffled`); that of the last epoch asked for is kept."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def of(self, epoch: int) -> NDArray[np.int64]:
        """A permutation of ``range(count)``."""
        if epoch != self._epoch:
            self._order = shuffled(self.count, self.seed, epoch)
            self._epoch = epoch
        return self._order


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of ``range(count)`` that (seed, epoch) decides, on every machine and release alike.

    Sorting by random words keeps it independent of numpy's own shuffling, which may change between releases; the words
    of Philox (Salmon et al. 2011) may not.
    """
    words = np.random.Philox(np.random.SeedSequence((seed, epoch))).random_raw(count)
    return np.argsort(words, kind="stable")
