"""Parameters as one stretch of memory, with working copies in the format of computing.

The weights of a group are views of one long fp32 tensor, and so are their gradients: the update and the norm are then
one kernel each over a stretch of memory instead of a hundred small ones. Where matrix products run in bf16 or fp16, the
linear layers hold copies in that format, renewed after each update, so that no pass casts them and their gradients
arrive in it (mixed precision with master weights, Micikevicius et al. 2018, section 3.1).

Knows nothing of how weights are updated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertsmith.training.parameters import ParameterGroup


class Flat:
    """The parameters of one group: their master weights and gradients end to end.

    working:  the parameters that compute in ``dtype``; all others compute in fp32

    weights:  (W,) fp32
    gradient: (W,) fp32, the ``grad`` of ``weights``
    """

    def __init__(self, group: ParameterGroup, working: set[nn.Parameter], dtype: torch.dtype) -> None:
        self.parameters, self.pieces = group.parameters, group.pieces
        self.weights = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        self.weights.grad = self.gradient = torch.zeros_like(self.weights)
        self.masters = self._views(self.weights.detach())
        self.gradients = self._views(self.gradient)
        self.copied = [parameter in working and dtype != torch.float32 for parameter in self.parameters]
        for parameter, master, gradient, copied in zip(
            self.parameters, self.masters, self.gradients, self.copied, strict=True
        ):
            parameter.grad = None
            parameter.data = master.to(dtype) if copied else master
            parameter.grad = None if copied else gradient  # autograd adds to it in place

    def begin(self) -> None:
        """Start a step: no gradient yet."""
        for gradient, copied in zip(self.gradients, self.copied, strict=True):
            if not copied:
                gradient.zero_()

    def collect(self, *, first: bool) -> None:
        """Take the gradients of a pass from working copies, adding to those of the step's earlier passes."""
        for parameter, gradient, copied in zip(self.parameters, self.gradients, self.copied, strict=True):
            if copied and parameter.grad is not None:
                gradient.copy_(parameter.grad) if first else gradient.add_(parameter.grad)
                parameter.grad = None
            elif copied and first:
                gradient.zero_()

    def renew_working(self) -> None:
        """Bring the working copies up to the master weights."""
        for parameter, master, copied in zip(self.parameters, self.masters, self.copied, strict=True):
            if copied:
                parameter.data.copy_(master)

    def release(self) -> None:
        """Give the parameters their master weights in place of working copies."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            parameter.grad = None
            parameter.data = master.clone()

    def tensors(self, flat: Tensor) -> list[Tensor]:
        """Parts of a tensor (W,), end to end, shaped as the published tensors: query, key and value by themselves."""
        views = zip(self._views(flat), self.pieces, strict=True)
        return [piece for view, pieces in views for piece in view.chunk(pieces)]

    def _views(self, flat: Tensor) -> list[Tensor]:
        """Parts of a tensor (W,), end to end, shaped as the parameters."""
        parts = torch.split(flat, [parameter.numel() for parameter in self.parameters])
        return [part.view(parameter.shape) for part, parameter in zip(parts, self.parameters, strict=True)]
