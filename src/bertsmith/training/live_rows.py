"""Train only the rows of the word embedding that the training text uses, with the result of training them all.

Under AdamW a row whose token never occurs has a gradient of zero at every step. Its moments stay zero, so all that
happens to it is weight decay: a factor (1 - rate * decay) each step, the same for every such row. That factor is one
number. The rows that do occur are trained as a small dense table, and a fine-tuning set uses a fraction of the
vocabulary (CoLA: 5,600 of 30,522 rows), so the optimizer, the gradient and its norm touch a fraction of the memory.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


class LiveRows(nn.Module):
    """Stands in for the word embedding while it is trained.

    weight: (U, D) parameter, the rows of the used ids
    decay:  what weight decay has done to every other row so far; the loop updates it once a step
    """

    slots: Tensor  # (V,) row of each id in `weight`, -1 for unused ids
    table: Tensor  # (V, D) the embedding as it was before training

    def __init__(self, word: nn.Embedding, used: NDArray[np.int64]) -> None:
        super().__init__()
        table = word.weight.detach()
        rows = torch.from_numpy(used).to(table.device)
        slots = torch.full((table.shape[0],), -1, dtype=torch.int64, device=table.device)
        slots[rows] = torch.arange(len(used), device=table.device)
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("table", table, persistent=False)
        self.weight = nn.Parameter(table[rows])
        self.decay = 1.0

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., D). While training only used ids may come; otherwise any."""
        slots = self.slots[ids]
        if self.training:
            vectors: Tensor = _Lookup.apply(self.weight, slots)  # type: ignore[no-untyped-call]
            return vectors
        unused = slots < 0
        vectors = F.embedding(slots.clamp(min=0), self.weight)
        vectors[unused] = self.table[ids[unused]] * self.decay
        return vectors

    def whole(self) -> nn.Embedding:
        """The full embedding as training all of it would have left it."""
        table = self.table * self.decay
        used = self.slots >= 0
        table[used] = self.weight.detach()[self.slots[used]]
        return nn.Embedding(table.shape[0], table.shape[1], _weight=table)


class _Lookup(torch.autograd.Function):
    """Rows of a table, whose gradient is added to the table's ``grad`` row by row, in place.

    Autograd's own way makes a table of zeros for every pass, adds the rows to it, and that to ``grad``.
    """

    @staticmethod
    def forward(ctx, weight, slots):  # type: ignore[no-untyped-def]
        ctx.weight = weight
        ctx.save_for_backward(slots)
        return F.embedding(slots, weight)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (slots,) = ctx.saved_tensors
        weight = ctx.weight
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        weight.grad.index_add_(0, slots, gradient.to(weight.dtype))
        return None, None
