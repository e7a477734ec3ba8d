"""The one thing that differs between kinds of training: what a batch costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bertsmith.model.batch import Batch


@dataclass(frozen=True)
class Loss:
    """A loss as a sum over valid targets and their count.

    The loop divides the sum by the count over all passes of a step, so that accumulation gives the same gradient as one
    large batch, whatever the number of valid targets in each pass.

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

    @torch.no_grad()
    def measured(self) -> dict[str, Tensor]:
        """Sums by name, "loss" and the parts, and counts by name + ".count": fp32 scalars on the loss's device."""
        zero = torch.zeros((), device=self.sum.device)
        numbers = {}
        for name, (total, count) in {"loss": (self.sum, self.count), **self.parts}.items():
            numbers[name] = (zero + total).float()
            numbers[f"{name}.count"] = (zero + count).float()
        return numbers


LossFunction = Callable[[Any, Batch], Loss]  # of a model, whichever the loss is made for, and a batch
