"""Several plans as one: each step takes its batch from one of them.

Enters: the plans of several data sets. Leaves: a plan in which an epoch is one of each, in an order that the seed and
the epoch decide; every batch says which it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.model.batch import Batch
from bertsmith.training.plan import BatchPlan, Orders

SOURCE = "source"  # the target that says which plan a batch came from, a number from 0, shape ()


class Mixture:
    """The batches of all plans, so that a data set comes up as often as it has batches.

    Batches stay of one data set: a loss that compares all texts of a batch compares like with like, and each data set
    may have a loss of its own.
    """

    def __init__(self, plans: Sequence[BatchPlan], seed: int) -> None:
        self.plans = plans
        self.batch_size = plans[0].batch_size
        self.tokens_per_epoch = sum(plan.tokens_per_epoch for plan in plans)
        self._ends = np.cumsum([plan.steps_per_epoch for plan in plans])
        self.steps_per_epoch = int(self._ends[-1])
        self._orders = Orders(self.steps_per_epoch, seed)

    @property
    def used_ids(self) -> NDArray[np.int64]:
        return np.unique(np.concatenate([plan.used_ids for plan in self.plans]))

    def place(self, step: int) -> tuple[int, int]:
        """The plan that step ``step`` takes its batch from, and the step of that plan."""
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen = int(self._orders.of(epoch)[place])
        source = int(np.searchsorted(self._ends, chosen, side="right"))
        steps = self.plans[source].steps_per_epoch
        return source, epoch * steps + chosen - int(self._ends[source] - steps)

    def num_rows(self, step: int) -> int:
        source, inner = self.place(step)
        return self.plans[source].num_rows(inner)

    def batches(self, step: int) -> Iterator[Batch]:
        source, inner = self.place(step)
        for batch in self.plans[source].batches(inner):
            yield replace(batch, targets={**batch.targets, SOURCE: torch.tensor(source)})
