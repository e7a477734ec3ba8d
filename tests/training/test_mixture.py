"""Several data sets in one plan: every batch of each once an epoch, in an order that (seed, step) decides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.model import Batch
from bertsmith.training import BatchPlan, FitOptions
from bertsmith.training.mixture import SOURCE, Mixture


class Numbered:
    """Rows that are their own numbers, counted from ``first``."""

    def __init__(self, first: int, number: int) -> None:
        self.first = first
        self.row_tokens: NDArray[np.int64] = np.ones(number, np.int64)
        self.used_ids = np.arange(first, first + number)

    def __len__(self) -> int:
        return len(self.row_tokens)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        ids = torch.from_numpy(rows + self.first)
        return Batch(ids, torch.zeros_like(ids), torch.ones_like(ids))


def mixture(seed: int = 42) -> Mixture:
    options = FitOptions(batch_size=4)
    return Mixture([BatchPlan(Numbered(first, number), options) for first, number in ((0, 10), (100, 25))], seed)


def taken(plan: Mixture, steps: range) -> list[tuple[int, list[int]]]:
    """Source and rows of each step."""
    batches = [batch for step in steps for batch in plan.batches(step)]
    return [(int(batch.targets[SOURCE]), batch.ids.tolist()) for batch in batches]


def test_an_epoch_has_every_row_of_every_data_set_once() -> None:
    plan = mixture()
    assert plan.steps_per_epoch == 3 + 7
    for epoch in range(3):
        found = taken(plan, range(10 * epoch, 10 * (epoch + 1)))
        assert Counter(source for source, _ in found) == {0: 3, 1: 7}
        assert sorted(row for _, rows in found for row in rows) == [*range(10), *range(100, 125)]


def test_a_batch_is_of_one_data_set() -> None:
    assert all({row // 100 for row in rows} == {source} for source, rows in taken(mixture(), range(10)))


def test_the_seed_and_the_step_decide_the_order() -> None:
    forwards = taken(mixture(), range(20))
    plan = mixture()
    assert [taken(plan, range(step, step + 1))[0] for step in reversed(range(20))] == forwards[::-1]
    assert [source for source, _ in forwards[:10]] != [source for source, _ in forwards[10:]]
    assert taken(mixture(seed=1), range(20)) != forwards
    assert [plan.num_rows(step) for step in range(20)] == [len(rows) for _, rows in forwards]
    assert plan.tokens_per_epoch == 35
    assert plan.used_ids.tolist() == [*range(10), *range(100, 125)]
