"""Update rules: the weights and the gradient of a group, and the moments that a rule keeps of it -> new weights.

A rule works on flat memory, by as few kernels as it can. It gets the gradient as it was summed, with the divisor that
makes it a mean: the fused kernel divides as it reads, which saves a pass over memory. An update may leave anything in
the gradient's place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from bertsmith.training.flat import Flat
from bertsmith.training.options import FitOptions
from bertsmith.training.parameters import ParameterGroup

MUON_MOMENTUM = 0.95  # Jordan et al. 2024


class Rule(Protocol):
    """How the weights of one group learn."""

    def update(self, lr: float, divisor: float) -> None:
        """Take a step at a learning rate with the gradient over ``divisor``."""

    def moments(self) -> dict[str, Tensor]:
        """What is remembered of earlier gradients: (W,) fp32 each, in use."""

    def restore(self, moments: Mapping[str, Tensor], updates: int) -> None:
        """Take over what `moments` gave after so many updates."""


def make_rule(flat: Flat, group: ParameterGroup, options: FitOptions) -> Rule:
    """The rule of a group, with nothing to remember yet."""
    match group.rule:
        case "adamw":
            return AdamW(flat.weights, options, group.weight_decay)
        case "adam_weight_decay":
            return AdamWeightDecay(flat.weights, options, group.weight_decay)
        case "lamb":
            return Lamb(flat, options, group.weight_decay)
        case "muon":
            return Muon(flat, options, group.weight_decay)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), by torch's fused kernel.

    weights: (W,), with their gradient as ``grad``
    """

    def __init__(self, weights: nn.Parameter, options: FitOptions, weight_decay: float) -> None:
        self.weights = weights
        self.adamw = torch.optim.AdamW(
            [weights],
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            weight_decay=weight_decay,
            fused=True,
        )
        nothing = torch.zeros_like(weights, requires_grad=False)
        self.restore({"first": nothing, "second": nothing}, 0)

    def update(self, lr: float, divisor: float) -> None:
        self.adamw.param_groups[0]["lr"] = lr
        scale = torch.full((), divisor, device=self.weights.device)
        self.adamw.grad_scale = scale  # type: ignore[attr-defined]
        self.adamw.step()

    def moments(self) -> dict[str, Tensor]:
        held = self.adamw.state[self.weights]
        return {"first": held["exp_avg"], "second": held["exp_avg_sq"]}

    def restore(self, moments: Mapping[str, Tensor], updates: int) -> None:
        device = self.weights.device
        self.adamw.state[self.weights] = {
            "step": torch.tensor(self._count(updates), device=device),
            "exp_avg": moments["first"].to(device, copy=True),
            "exp_avg_sq": moments["second"].to(device, copy=True),
        }

    def _count(self, updates: int) -> float:
        """The step number that decides the bias correction, the division by 1 - beta^step."""
        return float(updates)


class AdamWeightDecay(AdamW):
    """The optimizer that BERT was published with: AdamW without bias correction (Devlin et al. 2018).

    AdamWeightDecayOptimizer of google-research/bert's optimization.py; its eps is 1e-6.
    """

    def _count(self, updates: int) -> float:
        return math.inf  # beta^step is 0, at this step and all others


class Lamb:
    """Adam's direction, with the length of a step set for each tensor by itself (You et al. 2020, algorithm 2).

    A tensor moves by the rate times its own norm: phi is the identity, and the ratio 1 where a norm is 0. The tensors
    are the published ones: query, key and value each have a ratio. The authors' eps is 1e-6.
    """

    def __init__(self, flat: Flat, options: FitOptions, weight_decay: float) -> None:
        self.master, self.weight_decay = flat.weights.detach(), weight_decay
        self.direction = nn.Parameter(torch.zeros_like(self.master))
        self.direction.grad = flat.gradient
        self.adam = AdamW(self.direction, options, weight_decay=0.0)
        self.weights, self.directions = flat.tensors(self.master), flat.tensors(self.direction.detach())

    @torch.no_grad()
    def update(self, lr: float, divisor: float) -> None:
        self.direction.zero_()
        self.adam.update(1.0, divisor)  # a step of rate 1 from 0 is Adam's direction itself, with its sign
        self.direction.sub_(self.master, alpha=self.weight_decay)
        sizes = torch.stack(torch._foreach_norm(self.weights))
        lengths = torch.stack(torch._foreach_norm(self.directions))
        ratios = torch.where((sizes > 0) & (lengths > 0), sizes / lengths, 1.0)
        for weights, direction, ratio in zip(self.weights, self.directions, ratios, strict=True):
            weights.addcmul_(direction, ratio, value=lr)

    def moments(self) -> dict[str, Tensor]:
        return self.adam.moments()

    def restore(self, moments: Mapping[str, Tensor], updates: int) -> None:
        self.adam.restore(moments, updates)


class Muon:
    """Momentum made orthogonal (Jordan et al. 2024), by torch, for matrices alone; query, key and value each are one.

    Steps have the length that AdamW's have, so that a rate and a decay serve both (Liu et al. 2025). Newton-Schulz
    runs in bf16, whatever the format of training.
    """

    def __init__(self, flat: Flat, options: FitOptions, weight_decay: float) -> None:
        self.gradient = flat.gradient
        self.momentum = torch.zeros_like(flat.gradient)
        matrices = [nn.Parameter(matrix) for matrix in flat.tensors(flat.weights.detach())]
        self.muon = torch.optim.Muon(
            matrices,
            lr=options.lr,
            weight_decay=weight_decay,
            momentum=MUON_MOMENTUM,
            adjust_lr_fn="match_rms_adamw",
        )
        for matrix, gradient, momentum in zip(
            matrices, flat.tensors(self.gradient), flat.tensors(self.momentum), strict=True
        ):
            matrix.grad = gradient
            self.muon.state[matrix] = {"momentum_buffer": momentum}

    def update(self, lr: float, divisor: float) -> None:
        self.gradient.div_(divisor)
        self.muon.param_groups[0]["lr"] = lr
        self.muon.step()  # type: ignore[no-untyped-call]

    def moments(self) -> dict[str, Tensor]:
        return {"first": self.momentum}

    def restore(self, moments: Mapping[str, Tensor], updates: int) -> None:
        self.momentum.copy_(moments["first"])
