"""A batch of sequences as the encoder takes them: packed end to end, no padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B sequences of N tokens in all.

    ids:      (N,) int64, token ids
    segments: (N,) int64, 0 for the first text, 1 for the second
    lengths:  (B,) int64, tokens in each sequence; their sum is N
    targets:  what the task's loss needs, by name; each (B, ...), (R, ...) by row, or (N,) by token
    """

    ids: Tensor
    segments: Tensor
    lengths: Tensor
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; lengths stay on the CPU, where the layout is planned."""
        if device.type == "cpu":
            return self
        return Batch(
            self.ids.to(device, non_blocking=True),
            self.segments.to(device, non_blocking=True),
            self.lengths,
            {name: values.to(device, non_blocking=True) for name, values in self.targets.items()},
        )
