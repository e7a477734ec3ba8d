"""Which parameters learn, by which rule, how fast, and with what decay."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from bertsmith.errors import SettingsError
from bertsmith.training.options import FitOptions, OptimizerName


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share an update rule, a factor on the learning rate, and a weight decay.

    pieces: of how many published tensors each parameter consists, its rows theirs end to end
    """

    parameters: tuple[nn.Parameter, ...]
    pieces: tuple[int, ...]
    rule: OptimizerName
    lr_factor: float
    weight_decay: float


def group_parameters(model: nn.Module, num_layers: int, options: FitOptions) -> list[ParameterGroup]:
    """The learning parameters of ``model`` in groups, in a fixed order; frozen ones are set not to require gradients.

    Biases and LayerNorm get no decay (Devlin et al. 2018). With ``layer_decay`` d, layer i of n learns at d^(n - i),
    the embeddings at d^(n + 1), the head at 1 (Howard and Ruder 2018; in this form Clark et al. 2020).

    Raises `SettingsError` where ``freeze`` leaves an optimizer for matrices none.
    """
    frozen = parse_freeze(options.freeze, num_layers)
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    matrices = {f"{name}.weight" for name in linear if name.startswith("encoder.layers.")}
    groups: dict[tuple[OptimizerName, float, float], list[tuple[nn.Parameter, int]]] = {}
    for name, parameter in model.named_parameters():
        depth = depth_of(name, num_layers)
        parameter.requires_grad_(depth not in frozen)
        if parameter.requires_grad:
            factor = options.layer_decay ** (num_layers - depth)
            spared = name.endswith("bias") or "norm" in name
            decay = 0.0 if spared else options.weight_decay
            rule = _rule(options.optimizer, spared=spared, matrix=name in matrices)
            pieces = 3 if ".attention.qkv." in name else 1
            groups.setdefault((rule, factor, decay), []).append((parameter, pieces))
    if options.optimizer == "muon" and not any(rule == "muon" for rule, _, _ in groups):
        raise SettingsError(
            f"--optimizer muon is for the matrices of layers, and --freeze {options.freeze} leaves none to learn; "
            f"use --optimizer adamw"
        )
    return [
        ParameterGroup(tuple(one for one, _ in members), tuple(pieces for _, pieces in members), *key)
        for key, members in groups.items()
    ]


def _rule(optimizer: OptimizerName, *, spared: bool, matrix: bool) -> OptimizerName:
    """The rule of a parameter under an optimizer that may leave some parameters to AdamW.

    Muon is for the matrices of hidden layers, not for embeddings, heads and vectors (Jordan et al. 2024). LAMB's
    authors leave out the layer's ratio where they leave out the decay, and without it LAMB is AdamW.
    """
    if (optimizer == "muon" and not matrix) or (optimizer == "lamb" and spared):
        return "adamw"
    return optimizer


def depth_of(name: str, num_layers: int) -> int:
    """-1 for the embeddings, 0 ... n-1 for the layers, n for all above them."""
    if name.startswith("encoder.embeddings."):
        return -1
    if name.startswith("encoder.norm."):  # behind the last layer of a pre-LN encoder
        return num_layers - 1
    layer = re.match(r"encoder\.layers\.(\d+)\.", name)
    return int(layer[1]) if layer else num_layers


def parse_freeze(text: str, num_layers: int) -> frozenset[int]:
    """Depths named by ``--freeze``: "embeddings", "encoder", layer numbers and ranges, separated by commas.

    >>> sorted(parse_freeze("embeddings,0-2", 6))
    [-1, 0, 1, 2]
    """
    depths: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if part == "embeddings":
            depths.add(-1)
        elif part == "encoder":
            depths.update(range(-1, num_layers))
        elif span:
            low, high = int(span[1]), int(span[2] or span[1])
            if low > high or high >= num_layers:
                raise SettingsError(f"--freeze {part}: the model has layers 0-{num_layers - 1}")
            depths.update(range(low, high + 1))
        else:
            raise SettingsError(f"--freeze {part!r} is not understood; use embeddings, encoder, or layers as 0-3")
    return frozenset(depths)
