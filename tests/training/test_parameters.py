"""Which parameters learn and how fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bertsmith.checkpoint.names import published_names
from bertsmith.errors import SettingsError
from bertsmith.training import FitOptions
from bertsmith.training.parameters import depth_of, group_parameters, parse_freeze

Maker = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "depths"),
    [
        ("", set()),
        ("embeddings", {-1}),
        ("encoder", {-1, 0, 1, 2, 3}),
        ("0", {0}),
        ("1-3", {1, 2, 3}),
        (" embeddings , 0-1,3,", {-1, 0, 1, 3}),
        ("2-2,encoder", {-1, 0, 1, 2, 3}),
    ],
)
def test_what_freeze_names(text: str, depths: set[int]) -> None:
    assert parse_freeze(text, 4) == depths


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("4", "--freeze 4: the model has layers 0-3"),
        ("2-9", "--freeze 2-9: the model has layers 0-3"),
        ("3-1", "--freeze 3-1: the model has layers 0-3"),
        ("embedings", "--freeze 'embedings' is not understood; use embeddings, encoder, or layers as 0-3"),
        ("0,-2", "--freeze '-2' is not understood"),
        ("1.5", "--freeze '1.5' is not understood"),
    ],
)
def test_what_freeze_does_not_name_is_one_line(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_freeze(text, 4)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_depths_rise_from_the_embeddings_to_the_head(make_model: Maker) -> None:
    names = [name for name, _ in make_model(num_hidden_layers=12).named_parameters()]
    depths = [depth_of(name, 12) for name in names]
    assert depths == sorted(depths)
    assert set(depths) == set(range(-1, 13))
    assert depth_of("encoder.layers.11.attention.qkv.weight", 12) == 11
    assert depth_of("head.pooler.weight", 12) == 12


def test_groups_hold_every_parameter_once_with_its_decay(make_model: Maker) -> None:
    model = make_model(norm_placement="pre", use_relative_positions=True)
    groups = group_parameters(model, 2, FitOptions(weight_decay=0.3))
    found = {parameter: group for group in groups for parameter in group.parameters}
    assert sum(len(group.parameters) for group in groups) == len(found)
    assert found.keys() == set(model.parameters())
    norms = {name for name, part in model.named_modules() if isinstance(part, torch.nn.LayerNorm)}
    for name, parameter in model.named_parameters():
        group = found[parameter]
        spared = name.endswith(".bias") or name.rpartition(".")[0] in norms
        assert group.weight_decay == (0.0 if spared else 0.3), name
        assert group.lr_factor == 1


def test_layer_decay_slows_lower_layers(make_model: Maker) -> None:
    model = make_model(num_hidden_layers=3)
    groups = group_parameters(model, 3, FitOptions(layer_decay=0.5))
    of_parameter = {parameter: group.lr_factor for group in groups for parameter in group.parameters}
    factors = {name: of_parameter[parameter] for name, parameter in model.named_parameters()}
    assert factors["head.classifier.weight"] == 1
    assert [factors[f"encoder.layers.{layer}.attention.qkv.bias"] for layer in range(3)] == [0.125, 0.25, 0.5]
    assert factors["encoder.embeddings.word.weight"] == factors["encoder.embeddings.norm.bias"] == 0.0625


def test_layer_decay_shows_in_the_first_step(make_model: Maker, make_rows: Maker, train: Maker) -> None:
    """AdamW's first update is the rate itself wherever the gradient is far above eps."""
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = train(model, steps=1, lr=1e-3, eps=1e-12, weight_decay=0.0, layer_decay=0.5, schedule="constant")
    moved = {name: float((tensor - before[name]).abs().max()) for name, tensor in run.weights.items()}
    assert moved["head.classifier.weight"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["encoder.layers.1.feed_forward.up.weight"] == pytest.approx(5e-4, rel=1e-2)
    assert moved["encoder.layers.0.feed_forward.up.weight"] == pytest.approx(2.5e-4, rel=1e-2)
    assert moved["encoder.embeddings.word.weight"] == pytest.approx(1.25e-4, rel=1e-2)


@pytest.mark.parametrize("num_ids", [10, 39], ids=["part of the vocabulary", "all of it"])
@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        ("embeddings", ("encoder.embeddings.",)),
        ("1", ("encoder.layers.1.",)),
        ("embeddings,0", ("encoder.embeddings.", "encoder.layers.0.")),
        ("encoder", ("encoder.",)),
    ],
)
def test_what_is_frozen_keeps_its_bytes_and_the_rest_learns(
    freeze: str, frozen: tuple[str, ...], num_ids: int, make_model: Maker, make_rows: Maker, train: Maker
) -> None:
    before = make_model().state_dict()
    after = train(make_model(), make_rows(num_ids=num_ids), steps=4, weight_decay=0.1, freeze=freeze).weights
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) is name.startswith(frozen), name


def test_freezing_the_encoder_freezes_its_last_norm(make_model: Maker, train: Maker) -> None:
    before = make_model(norm_placement="pre").state_dict()
    after = train(make_model(norm_placement="pre"), steps=2, freeze="encoder").weights
    assert torch.equal(after["encoder.norm.weight"], before["encoder.norm.weight"])


def test_freezing_is_undone_by_the_next_training(make_model: Maker, train: Maker) -> None:
    model = make_model()
    train(model, steps=1, freeze="encoder")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    after = train(model, steps=2).weights
    assert not any(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_a_parameter_has_as_many_pieces_as_published_tensors(make_model: Maker) -> None:
    model = make_model(use_relative_positions=True)
    groups = group_parameters(model, 2, FitOptions())
    pieces = {one: number for group in groups for one, number in zip(group.parameters, group.pieces, strict=True)}
    for name, parameter in model.named_parameters():
        assert pieces[parameter] == len(published_names(name, model.head_kind)), name


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_what_an_optimizer_is_not_for_is_left_to_adamw(weight_decay: float, make_model: Maker) -> None:
    model = make_model(use_relative_positions=True, norm_placement="pre")

    def names_by_rule(optimizer: Any) -> dict[str, set[str]]:
        groups = group_parameters(model, 2, FitOptions(optimizer=optimizer, weight_decay=weight_decay))
        rules = {one: group.rule for group in groups for one in group.parameters}
        found: dict[str, set[str]] = {}
        for name, parameter in model.named_parameters():
            found.setdefault(rules[parameter], set()).add(name)
        return found

    everything = {name for name, _ in model.named_parameters()}
    assert names_by_rule("adamw") == {"adamw": everything}
    assert names_by_rule("adam_weight_decay") == {"adam_weight_decay": everything}
    vectors = {name for name, one in model.named_parameters() if one.ndim == 1}
    assert names_by_rule("lamb") == {"lamb": everything - vectors, "adamw": vectors}
    matrices = {
        f"encoder.layers.{layer}.{part}.weight"
        for layer in range(2)
        for part in ("attention.qkv", "attention.out", "feed_forward.up", "feed_forward.down")
    }
    assert names_by_rule("muon") == {"muon": matrices, "adamw": everything - matrices}


def test_muon_without_a_matrix_is_one_line(make_model: Maker) -> None:
    with pytest.raises(SettingsError) as caught:
        group_parameters(make_model(), 2, FitOptions(optimizer="muon", freeze="0-1"))
    assert str(caught.value) == (
        "--optimizer muon is for the matrices of layers, and --freeze 0-1 leaves none to learn; use --optimizer adamw"
    )
