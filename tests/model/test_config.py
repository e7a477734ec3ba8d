"""Configurations: the published names there and back, the published sizes, and errors of one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.checkpoint import to_published
from bertsmith.errors import BertsmithError, CheckpointError, SettingsError
from bertsmith.model import PRESETS, BertConfig, BertModel
from bertsmith.model.config import preset

PUBLISHED: dict[str, Any] = {
    "vocab_size": 28996,
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.15,
    "max_position_embeddings": 256,
    "type_vocab_size": 16,
    "initializer_range": 0.01,
}


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(),
        BertConfig(**PUBLISHED, layer_norm_eps=1e-6, pad_token_id=5, classifier_dropout=0.3),
        BertConfig(norm_placement="pre"),
        BertConfig(use_relative_positions=True),
    ],
)
def test_a_configuration_comes_back_from_json(config: BertConfig) -> None:
    assert BertConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_published_names_are_read_and_written() -> None:
    assert BertConfig.from_dict(PUBLISHED) == BertConfig(**PUBLISHED)
    assert BertConfig.from_dict(PUBLISHED).to_dict().items() >= PUBLISHED.items()


def test_transformers_reads_what_we_write_and_we_what_it_writes() -> None:
    transformers = pytest.importorskip("transformers")
    ours = BertConfig(**PUBLISHED, layer_norm_eps=1e-6, classifier_dropout=0.3)
    theirs = transformers.BertConfig(**ours.to_dict())
    for name, value in PUBLISHED.items():
        assert getattr(theirs, name) == value
    assert BertConfig.from_dict(theirs.to_dict()) == ours
    assert BertConfig.from_dict(transformers.BertConfig().to_dict()) == BertConfig()


def test_the_defaults_are_bert_base_and_keys_of_other_tools_are_passed_over(starter_folder: Path) -> None:
    assert BertConfig.from_dict({"architectures": ["BertModel"], "use_cache": True}) == PRESETS["base"] == BertConfig()
    starter = BertConfig.from_dict(json.loads((starter_folder / "config.json").read_text()))
    assert (starter.num_hidden_layers, starter.hidden_size, starter.head_size) == (6, 384, 32)


def test_dropout_before_a_head_follows_the_encoders_unless_told() -> None:
    assert BertConfig(hidden_dropout_prob=0.3).head_dropout == 0.3
    assert BertConfig(hidden_dropout_prob=0.3, classifier_dropout=0.0).head_dropout == 0.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vocab_size": 0}, "vocab_size is 0; it must be a whole number, 1 or more"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers is 2.0"),
        ({"hidden_size": "768"}, "hidden_size is '768'"),
        ({"hidden_size": 100, "num_attention_heads": 3}, "hidden_size 100 is not a multiple of num_attention_heads 3"),
        ({"hidden_act": "gelu_nw"}, "did you mean 'gelu_new'?"),
        ({"hidden_act": "swish"}, "hidden_act 'swish' is not known; valid: 'gelu', 'gelu_new'"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob is 1.0; it must be 0 or more and under 1"),
        ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob is -0.1"),
        ({"classifier_dropout": 2}, "classifier_dropout is 2"),
        ({"norm_placement": "middle"}, "norm_placement is 'middle'; it must be 'post' or 'pre'"),
    ],
)
def test_values_that_cannot_be_are_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        BertConfig(**fields)
    assert words in str(caught.value)
    assert str(caught.value).startswith("config: ")
    assert "\n" not in str(caught.value)
    # In a file, the line names the file.
    with pytest.raises(CheckpointError) as in_file:
        BertConfig.from_dict(fields, where="runs/x/config.json")
    assert str(in_file.value) == "runs/x/config.json: " + str(caught.value).removeprefix("config: ")


@pytest.mark.parametrize("fields", [{"hidden_dropout_prob": "0.1"}, {"hidden_act": 3}, {"classifier_dropout": [0.1]}])
def test_values_of_another_type_are_one_line(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(fields))):
        BertConfig(**fields)


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta'; bertsmith opens 'bert' models only"),
        ({"position_embedding_type": "relative_key_query"}, "position_embedding_type 'relative_key_query' is not"),
    ],
)
def test_other_models_are_refused(published: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        BertConfig.from_dict(published, where="folder/config.json")
    assert str(caught.value).startswith("folder/config.json: ")
    assert isinstance(caught.value, BertsmithError)


def test_presets_are_the_published_sizes() -> None:
    named = {name: config for name, config in PRESETS.items() if name.startswith("L")}
    assert list(named) == [
        "L2-H128", "L4-H128", "L4-H256", "L4-H512", "L4-H768", "L6-H256", "L6-H512", "L6-H768", "L8-H512",
        "L12-H768", "L24-H1024",
    ]  # fmt: skip
    for name, config in named.items():
        assert name == f"L{config.num_hidden_layers}-H{config.hidden_size}"
        assert config.head_size == 64
        assert config.intermediate_size == 4 * config.hidden_size
        assert config.vocab_size == 30522
    assert preset("base") == named["L12-H768"]
    assert preset("large") == named["L24-H1024"]
    with pytest.raises(SettingsError, match="there is no preset 'L4-H25'; did you mean 'L4-H256'"):
        preset("L4-H25")


def count(model: BertModel, keep: Callable[[str], bool]) -> int:
    return sum(one.numel() for name, one in model.named_parameters() if keep(name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("L2-H128", 4_385_920), ("L4-H256", 11_170_560), ("L4-H512", 28_763_648), ("L8-H512", 41_373_184),
     ("base", 109_482_240), ("large", 335_141_888)],
)  # fmt: skip
def test_presets_have_as_many_weights_as_published(name: str, expected: int) -> None:
    """Encoder and pooler (Devlin et al. 2018, table 1; Turc et al. 2019, table 1)."""
    with torch.device("meta"):
        model = BertModel(preset(name), "sequence", 2)
    assert count(model, lambda one: not one.startswith("head.classifier")) == expected


def test_a_base_classifier_has_the_tensors_of_the_published_one() -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = BertModel(preset("base"), "sequence", 2)
        peer = transformers.BertForSequenceClassification(transformers.BertConfig())
    ours = {name: tuple(one.shape) for name, one in to_published(model.state_dict(), "sequence").items()}
    assert len(ours) == 201
    assert ours == {name: tuple(one.shape) for name, one in peer.named_parameters()}
