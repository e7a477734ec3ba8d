"""The optimizer of the training loop: flat memory by groups, and for each group the rule that updates it.

Enters: gradients, as autograd leaves them after each pass. Leaves: updated weights, and what a resumed run needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bertsmith.training.flat import Flat
from bertsmith.training.options import FitOptions
from bertsmith.training.parameters import ParameterGroup
from bertsmith.training.processes import Processes
from bertsmith.training.rules import make_rule


class Optimizer:
    """Updates the parameters of ``groups``, which live in its memory until they are released.

    working: the parameters that compute in ``dtype``; all others compute in fp32
    """

    def __init__(
        self, groups: list[ParameterGroup], options: FitOptions, working: set[nn.Parameter], dtype: torch.dtype
    ) -> None:
        self.groups = groups
        self.clip_norm = options.clip_norm
        self.flats = [Flat(group, working, dtype) for group in groups]
        self.rules = [make_rule(flat, group, options) for flat, group in zip(self.flats, groups, strict=True)]

    def begin(self) -> None:
        """Start a step: no gradient yet."""
        for flat in self.flats:
            flat.begin()

    def collect(self, *, first: bool) -> None:
        """Take the gradients of a pass from working copies, adding to those of the step's earlier passes."""
        for flat in self.flats:
            flat.collect(first=first)

    def add_up(self, processes: Processes) -> None:
        """Make the collected gradients the sum of those of all processes."""
        for flat in self.flats:
            processes.add_up(flat.gradient)

    def as_first(self, processes: Processes) -> None:
        """Take over the weights and moments of the first process, so that all go on from the same."""
        for tensor in self.state().values():
            processes.as_first(tensor)
        self.renew_working()

    def norm(self) -> Tensor:
        """Norm of the collected gradients, a scalar tensor."""
        norms: Tensor = torch.stack([torch.linalg.vector_norm(flat.gradient) for flat in self.flats])
        norm: Tensor = torch.linalg.vector_norm(norms)
        return norm

    def step(self, lr: float, *, divisor: float, norm: float) -> None:
        """Update with the collected gradients over ``divisor``, clipped; ``norm`` is their norm after dividing."""
        if self.clip_norm:
            divisor = divisor / min(1.0, self.clip_norm / (norm + 1e-6))
        for rule, group in zip(self.rules, self.groups, strict=True):
            rule.update(lr * group.lr_factor, divisor)
        self.renew_working()

    def is_finite(self) -> bool:
        """Whether every master weight is a finite number."""
        return all(bool(torch.isfinite(flat.weights).all()) for flat in self.flats)

    def renew_working(self) -> None:
        """Bring the working copies up to the master weights."""
        for flat in self.flats:
            flat.renew_working()

    def release(self) -> None:
        """Give the parameters their master weights in place of working copies."""
        for flat in self.flats:
            flat.release()

    def snapshot(self) -> list[Tensor]:
        """A copy of all master weights, flat, by group."""
        return [flat.weights.detach().clone() for flat in self.flats]

    def state(self) -> dict[str, Tensor]:
        """Weights and moments, flat, by group: with the number of updates all that a resumed run needs."""
        tensors: dict[str, Tensor] = {}
        for index, (flat, rule) in enumerate(zip(self.flats, self.rules, strict=True)):
            held = {"weights": flat.weights.detach(), **rule.moments()}
            tensors |= {f"{name}.{index}": tensor for name, tensor in held.items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Take over what `state` gave after so many updates."""
        self.load_weights([tensors[f"weights.{index}"] for index in range(len(self.flats))])
        for index, rule in enumerate(self.rules):
            rule.restore({name: tensors[f"{name}.{index}"] for name in rule.moments()}, updates)

    def load_weights(self, weights: list[Tensor]) -> None:
        """Take over the master weights of a `snapshot`."""
        with torch.no_grad():
            for flat, values in zip(self.flats, weights, strict=True):
                flat.weights.copy_(values)
        self.renew_working()
