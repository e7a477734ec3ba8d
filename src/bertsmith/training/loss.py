"""The one thing that differs between kinds of training: what a batch costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from bertsmith.model.batch import Batch
from bertsmith.model.heads import BertModel


@dataclass(frozen=True)
class Loss:
    """A loss as a sum over valid targets and their count.

    The loop divides the sum by the count over all micro-batches and ranks of a step, so that accumulation and data
    parallelism give the same gradient as one large batch, whatever the number of valid targets in each part.

    sum:   scalar tensor that carries the gradient
    count: number (or total weight) of valid targets, a scalar tensor or a number
    parts: named contributions for the log, each as (sum, count)
    """

    sum: Tensor
    count: Tensor | float
    parts: Mapping[str, tuple[Tensor, Tensor | float]] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        return self.sum / self.count


LossFunction = Callable[[BertModel, Batch], Loss]
