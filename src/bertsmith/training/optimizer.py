"""AdamW over flat memory, with working copies in the format of computing.

The weights of a group are views of one long fp32 tensor, and so are their gradients: the update and the norm are then
one kernel each over a stretch of memory instead of a hundred small ones. Where matrix products run in bf16 or fp16, the
linear layers hold copies in that format, renewed after each update, so that no pass casts them and their gradients
arrive in it (mixed precision with master weights, Micikevicius et al. 2018, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bertsmith.training.options import FitOptions
from bertsmith.training.parameters import ParameterGroup
from bertsmith.training.processes import Processes


class FlatAdamW:
    """torch's fused AdamW (Loshchilov and Hutter 2019) on the flattened groups.

    working: the parameters that compute in ``dtype``; all others compute in fp32
    """

    def __init__(
        self, groups: list[ParameterGroup], options: FitOptions, working: set[nn.Parameter], dtype: torch.dtype
    ) -> None:
        self.groups = groups
        self.clip_norm = options.clip_norm
        self.flats = [_Flat(group, working, dtype) for group in groups]
        self.adamw = torch.optim.AdamW(
            [
                {"params": [flat.weights], "weight_decay": group.weight_decay}
                for flat, group in zip(self.flats, groups, strict=True)
            ],
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            eps=options.eps,
            fused=True,
        )

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

    def norm(self) -> Tensor:
        """Norm of the collected gradients, a scalar tensor."""
        norms: Tensor = torch.stack([torch.linalg.vector_norm(flat.gradient) for flat in self.flats])
        norm: Tensor = torch.linalg.vector_norm(norms)
        return norm

    def step(self, lr: float, *, divisor: float, norm: float) -> None:
        """Update with the collected gradients over ``divisor``, clipped; ``norm`` is their norm after dividing."""
        if self.clip_norm:
            divisor = divisor / min(1.0, self.clip_norm / (norm + 1e-6))
        for settings, group in zip(self.adamw.param_groups, self.groups, strict=True):
            settings["lr"] = lr * group.lr_factor
        # The fused kernel divides by this as it reads the gradient, which saves a pass over memory.
        device = self.flats[0].weights.device
        self.adamw.grad_scale = torch.full((), divisor, device=device)  # type: ignore[attr-defined]
        self.adamw.step()
        self.renew_working()

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
        """Weights and moments, flat, by group: with the step number all that a resumed run needs."""
        tensors = {}
        for index, flat in enumerate(self.flats):
            moments = self.adamw.state.get(flat.weights, {})
            tensors[f"weights.{index}"] = flat.weights.detach()
            tensors[f"first.{index}"] = moments.get("exp_avg", torch.zeros_like(flat.weights))
            tensors[f"second.{index}"] = moments.get("exp_avg_sq", torch.zeros_like(flat.weights))
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Take over what `state` gave after so many updates."""
        self.load_weights([tensors[f"weights.{index}"] for index in range(len(self.flats))])
        for index, flat in enumerate(self.flats):
            device = flat.weights.device
            self.adamw.state[flat.weights] = {
                "step": torch.tensor(float(updates), device=device),
                "exp_avg": tensors[f"first.{index}"].to(device, copy=True),
                "exp_avg_sq": tensors[f"second.{index}"].to(device, copy=True),
            }

    def load_weights(self, weights: list[Tensor]) -> None:
        """Take over the master weights of a `snapshot`."""
        with torch.no_grad():
            for flat, values in zip(self.flats, weights, strict=True):
                flat.weights.copy_(values)
        self.renew_working()


class _Flat:
    """The parameters of one group: their master weights and gradients end to end.

    weights:  (W,) fp32, the parameter that torch's optimizer updates
    gradient: (W,) fp32
    """

    def __init__(self, group: ParameterGroup, working: set[nn.Parameter], dtype: torch.dtype) -> None:
        self.parameters = group.parameters
        self.weights = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        self.weights.grad = self.gradient = torch.zeros_like(self.weights)
        self.masters = _views(self.weights.detach(), self.parameters)
        self.gradients = _views(self.gradient, self.parameters)
        self.copied = [parameter in working and dtype != torch.float32 for parameter in self.parameters]
        for parameter, master, gradient, copied in zip(
            self.parameters, self.masters, self.gradients, self.copied, strict=True
        ):
            parameter.grad = None
            parameter.data = master.to(dtype) if copied else master
            parameter.grad = None if copied else gradient  # autograd adds to it in place

    def begin(self) -> None:
        for gradient, copied in zip(self.gradients, self.copied, strict=True):
            if not copied:
                gradient.zero_()

    def collect(self, *, first: bool) -> None:
        for parameter, gradient, copied in zip(self.parameters, self.gradients, self.copied, strict=True):
            if copied and parameter.grad is not None:
                gradient.copy_(parameter.grad) if first else gradient.add_(parameter.grad)
                parameter.grad = None
            elif copied and first:
                gradient.zero_()

    def renew_working(self) -> None:
        for parameter, master, copied in zip(self.parameters, self.masters, self.copied, strict=True):
            if copied:
                parameter.data.copy_(master)

    def release(self) -> None:
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            parameter.grad = None
            parameter.data = master.clone()


def _views(flat: Tensor, parameters: tuple[nn.Parameter, ...]) -> list[Tensor]:
    """Parts of a long tensor, end to end, shaped as the parameters."""
    parts = torch.split(flat, [parameter.numel() for parameter in parameters])
    return [part.view(parameter.shape) for part, parameter in zip(parts, parameters, strict=True)]
