"""Update rules against slow twins: each published tensor by itself, in double precision, from the papers' formulas.

Gradients are random, so that a twin needs no model; they come summed, and are divided and clipped on the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.checkpoint import to_published
from bertsmith.model import BertModel
from bertsmith.training import FitOptions
from bertsmith.training.optimizer import Optimizer
from bertsmith.training.parameters import group_parameters

Maker = Callable[..., Any]
Tensors = Mapping[str, Tensor]

STEPS = 6
DIVISOR = 7.0
LAYER_MATRIX = re.compile(r"encoder\.layer\.\d+\..*(query|key|value|dense)\.weight$")


def spared(name: str) -> bool:
    """As google-research/bert names what gets no decay."""
    return "LayerNorm" in name or "bias" in name


def updates(model: BertModel, options: FitOptions) -> Iterator[tuple[float, dict[str, Tensor]]]:
    """Train ``model`` for some steps; the rate of each, and the gradients it clipped, by published name."""
    generator = torch.Generator().manual_seed(1)
    optimizer = Optimizer(group_parameters(model, 2, options), options, set(), torch.float32)
    for step in range(STEPS):
        optimizer.begin()
        gradients = {}
        for name, parameter in model.named_parameters():
            sums = torch.randn(parameter.shape, generator=generator) * DIVISOR / 20
            gradients[name] = sums / DIVISOR
            if parameter.requires_grad:
                assert parameter.grad is not None
                parameter.grad.add_(sums)
        optimizer.collect(first=True)
        norm = float(optimizer.norm()) / DIVISOR
        learning = [gradients[name] for name, one in model.named_parameters() if one.requires_grad]
        assert norm == pytest.approx(math.sqrt(sum(float(one.square().sum()) for one in learning)), rel=1e-5)
        scale = min(1.0, options.clip_norm / norm) if options.clip_norm else 1.0
        assert scale == 1.0 or scale < 0.5
        lr = options.lr * (step + 1) / STEPS
        optimizer.step(lr, divisor=DIVISOR, norm=norm)
        yield lr, to_published({name: one * scale for name, one in gradients.items()}, model.head_kind)
    optimizer.release()


@dataclass
class Twin:
    """One of the rules below, on tensors in double precision by published name."""

    options: FitOptions
    weights: dict[str, Tensor]
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0

    def update(self, lr: float, gradients: Tensors) -> None:
        self.step += 1
        for name, weight in self.weights.items():
            gradient, beta1, beta2 = gradients[name].double(), self.options.beta1, self.options.beta2
            self.first[name] = beta1 * self.first.get(name, 0.0) + (1 - beta1) * gradient
            self.second[name] = beta2 * self.second.get(name, 0.0) + (1 - beta2) * gradient**2
            decay = 0.0 if spared(name) else self.options.weight_decay
            self.weights[name] = weight - lr * self.rule(name, weight, decay)

    def rule(self, name: str, weight: Tensor, decay: float) -> Tensor:
        raise NotImplementedError


class AdamWeightDecay(Twin):
    """google-research/bert, optimization.py."""

    def rule(self, name: str, weight: Tensor, decay: float) -> Tensor:
        return self.first[name] / (self.second[name].sqrt() + self.options.eps) + decay * weight


class Lamb(Twin):
    """You et al. 2020, algorithm 2, with phi the identity; no ratio for biases and LayerNorm, as in their code."""

    def rule(self, name: str, weight: Tensor, decay: float) -> Tensor:
        m = self.first[name] / (1 - self.options.beta1**self.step)
        v = self.second[name] / (1 - self.options.beta2**self.step)
        direction = m / (v.sqrt() + self.options.eps) + decay * weight
        size, length = weight.norm(), direction.norm()
        ratio = 1.0 if spared(name) or size == 0 or length == 0 else size / length
        return ratio * direction


def published(model: BertModel) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in to_published(model.state_dict(), model.head_kind).items()}


def assert_follows(model: BertModel, start: Tensors, twin: Tensors, *, atol: float) -> None:
    ours = published(model)
    assert ours.keys() == twin.keys()
    for name, expected in twin.items():
        assert not torch.equal(ours[name], start[name]), name
        torch.testing.assert_close(ours[name], expected.float(), atol=atol, rtol=0, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.99999)])
def test_adam_weight_decay_corrects_no_bias(
    betas: tuple[float, float], weight_decay: float, clip_norm: float, make_model: Maker
) -> None:
    model = make_model()
    options = FitOptions(
        optimizer="adam_weight_decay", lr=1e-2, eps=1e-6, weight_decay=weight_decay, clip_norm=clip_norm,
        beta1=betas[0], beta2=betas[1],
    )  # fmt: skip
    start = published(model)
    twin = AdamWeightDecay(options, {name: one.double() for name, one in start.items()})
    for lr, gradients in updates(model, options):
        twin.update(lr, gradients)
    farthest = max(float((one - start[name]).abs().max()) for name, one in twin.weights.items())
    assert_follows(model, start, twin.weights, atol=2e-5 * farthest)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_lamb_follows_the_paper(weight_decay: float, clip_norm: float, make_model: Maker) -> None:
    model = make_model(use_relative_positions=True)
    options = FitOptions(optimizer="lamb", lr=5e-2, eps=1e-6, weight_decay=weight_decay, clip_norm=clip_norm)
    with torch.no_grad():  # one of query, key and value is of another size, and a tensor is 0
        model.encoder.layers[0].attention.qkv.weight[16:32] *= 8
        model.head.pooler.weight.zero_()
    start = published(model)
    twin = Lamb(options, {name: one.double() for name, one in start.items()})
    for lr, gradients in updates(model, options):
        twin.update(lr, gradients)
    assert_follows(model, start, twin.weights, atol=1e-5)


def test_lamb_leaves_what_has_neither_gradient_nor_decay(make_model: Maker) -> None:
    model = make_model()
    before = published(model)
    options = FitOptions(optimizer="lamb", weight_decay=0.0)
    optimizer = Optimizer(group_parameters(model, 2, options), options, set(), torch.float32)
    optimizer.begin()
    optimizer.step(1.0, divisor=1.0, norm=0.0)
    after = published(model)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_muon_is_that_of_torch_on_the_published_matrices(
    weight_decay: float, clip_norm: float, make_model: Maker
) -> None:
    model = make_model(use_relative_positions=True)
    options = FitOptions(optimizer="muon", lr=1e-2, weight_decay=weight_decay, clip_norm=clip_norm)
    start = published(model)
    twin = {name: torch.nn.Parameter(one.clone()) for name, one in start.items()}
    matrices = [one for name, one in twin.items() if LAYER_MATRIX.search(name)]
    assert len(matrices) == 2 * 6
    others = {
        decay: [
            one
            for name, one in twin.items()
            if not LAYER_MATRIX.search(name) and (0.0 if spared(name) else weight_decay) == decay
        ]
        for decay in {0.0, weight_decay}
    }
    muon = torch.optim.Muon(matrices, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([{"params": members, "weight_decay": decay} for decay, members in others.items()])
    for lr, gradients in updates(model, options):
        for name, parameter in twin.items():
            parameter.grad = gradients[name].clone()
        for peer in (muon, adamw):
            for settings in peer.param_groups:
                settings["lr"] = lr
            peer.step()
    # Clipped gradients differ in the last bit, and Newton-Schulz, which rounds to bf16, may round to the other side.
    atol = 1e-4 if clip_norm else 1e-7
    assert_follows(model, start, {name: one.detach() for name, one in twin.items()}, atol=atol)


@pytest.mark.parametrize("optimizer", ["adamw", "adam_weight_decay", "lamb", "muon"])
def test_rates_by_layer_and_frozen_layers_hold_for_every_rule(optimizer: Any, make_model: Maker) -> None:
    """A layer that learns at half the rate goes half as far in the first step; a frozen one stays."""
    moved = {}
    for layer_decay in (1.0, 0.5):
        model = make_model()
        options = FitOptions(optimizer=optimizer, lr=1e-2, weight_decay=0.0, layer_decay=layer_decay, freeze="0")
        start = published(model)
        next(updates(model, options))
        moved[layer_decay] = {name: one - start[name] for name, one in published(model).items()}
    for name, far in moved[1.0].items():
        factor = 0.5 if ".layer.1." in name else 0.125 if ".embeddings." in name else 1.0
        torch.testing.assert_close(moved[0.5][name], far * factor, atol=1e-6, rtol=0, msg=f"{name}: {{}}".format)
        assert bool(far.any()) is (".layer.0." not in name), name
