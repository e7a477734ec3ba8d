"""AdamW over flat memory.

All parameters of a group are made views of one long tensor, and so are its gradients: the update, the norm and the
scaling are then one kernel each over a stretch of memory instead of a hundred small ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bertsmith.training.options import FitOptions
from bertsmith.training.parameters import ParameterGroup


class FlatAdamW:
    """torch's fused AdamW (Loshchilov and Hutter 2019) on the flattened groups."""

    def __init__(self, groups: list[ParameterGroup], options: FitOptions) -> None:
        self.groups = groups
        self.clip_norm = options.clip_norm
        self.flats = [_flatten(group) for group in groups]
        self.torch = torch.optim.AdamW(
            [
                {"params": [flat], "weight_decay": group.weight_decay}
                for flat, group in zip(self.flats, groups, strict=True)
            ],
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            fused=True,
        )

    def collect(self, scale: Tensor | float) -> Tensor:
        """Gather the parameters' gradients into flat ones, times ``scale``; returns their norm, a scalar tensor."""
        for flat, group in zip(self.flats, self.groups, strict=True):
            gradients = [
                (torch.zeros_like(one) if one.grad is None else one.grad).reshape(-1) for one in group.parameters
            ]
            assert flat.grad is not None
            torch.cat(gradients, out=flat.grad)
            flat.grad.mul_(scale)
            for parameter in group.parameters:
                parameter.grad = None
        return torch.stack([torch.linalg.vector_norm(flat.grad) for flat in self.flats]).norm()

    def step(self, lr: float, norm: Tensor) -> None:
        """Clip to ``clip_norm`` by the given norm, and update with this peak-scheduled rate."""
        if self.clip_norm:
            factor = torch.clamp(self.clip_norm / (norm + 1e-6), max=1.0)
            if factor < 1:
                for flat in self.flats:
                    assert flat.grad is not None
                    flat.grad.mul_(factor)
        for settings, group in zip(self.torch.param_groups, self.groups, strict=True):
            settings["lr"] = lr * group.lr_factor
        self.torch.step()

    def state(self) -> dict[str, Tensor]:
        """Weights and moments, flat, by group: with the step number all that a resumed run needs."""
        tensors = {}
        for index, flat in enumerate(self.flats):
            tensors[f"weights.{index}"] = flat.detach()
            moments = self.torch.state.get(flat, {})
            tensors[f"first.{index}"] = moments.get("exp_avg", torch.zeros_like(flat))
            tensors[f"second.{index}"] = moments.get("exp_avg_sq", torch.zeros_like(flat))
        return tensors

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what `state` gave after ``step`` updates."""
        with torch.no_grad():
            for index, flat in enumerate(self.flats):
                flat.copy_(tensors[f"weights.{index}"])
                self.torch.state[flat] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": tensors[f"first.{index}"].to(flat.device).clone(),
                    "exp_avg_sq": tensors[f"second.{index}"].to(flat.device).clone(),
                }


def _flatten(group: ParameterGroup) -> torch.nn.Parameter:
    """One long parameter with its gradient; the group's parameters become views of it."""
    flat = torch.nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in group.parameters]))
    flat.grad = torch.zeros_like(flat)
    place = 0
    for parameter in group.parameters:
        parameter.data = flat.data[place : place + parameter.numel()].view_as(parameter)
        place += parameter.numel()
    return flat
