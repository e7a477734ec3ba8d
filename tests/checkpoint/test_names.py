"""The name table against the real models of transformers, and there and back again."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
import transformers
from torch import Tensor

from bertsmith.checkpoint.names import HEADS, canonical, canonical_name, from_published, published_names, to_published
from bertsmith.errors import CheckpointError
from bertsmith.model import PRESETS, BertConfig, BertModel, Encoder
from bertsmith.model.heads import AnyHead, EncoderModel, PretrainingKind
from bertsmith.model.pretraining import PretrainingModel
from bertsmith.model.sentence import Pooling, SentenceModel

PUBLISHED: dict[AnyHead, type[transformers.PreTrainedModel]] = {
    "sequence": transformers.BertForSequenceClassification,
    "choice": transformers.BertForMultipleChoice,
    "token": transformers.BertForTokenClassification,
    "span": transformers.BertForQuestionAnswering,
    "pretraining": transformers.BertForPreTraining,
    "masked": transformers.BertForMaskedLM,
    "next_sentence": transformers.BertForNextSentencePrediction,
    "causal": transformers.BertLMHeadModel,
}
OURS_ALONE = {"sentence"}  # what stands on it has no class in transformers: see `test_sentence_files`


def shapes(weights: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in weights.items()}


def build(config: BertConfig, head: AnyHead) -> EncoderModel:
    if head in get_args(PretrainingKind):
        return PretrainingModel(config, head)
    if head == "sentence":
        return SentenceModel(config, Pooling(dense=3), num_classes=2)
    return BertModel(config, head, 1 if head == "choice" else 2)


def ours(config: BertConfig, head: AnyHead) -> dict[str, Tensor]:
    with torch.device("meta"):
        return build(config, head).state_dict()


def theirs(config: BertConfig, head: AnyHead) -> dict[str, Tensor]:
    """The published tensors, without the last matrix and bias of pretraining, which are others once more."""
    with torch.device("meta"):
        published = PUBLISHED[head](transformers.BertConfig(**config.to_dict() | {"num_labels": 2})).state_dict()
    return {name: tensor for name, tensor in published.items() if not name.startswith("cls.predictions.decoder.")}


@pytest.mark.parametrize("head", [head for head in HEADS if head not in OURS_ALONE])
@pytest.mark.parametrize("name", ["L2-H128", "L4-H256", "L12-H768"])
def test_names_and_shapes_are_those_of_transformers(name: str, head: AnyHead) -> None:
    config = PRESETS[name]
    assert shapes(to_published(ours(config, head), head)) == shapes(theirs(config, head))


def test_a_base_classifier_has_201_tensors() -> None:
    assert len(to_published(ours(PRESETS["base"], "sequence"), "sequence")) == 201


@pytest.mark.parametrize("name", sorted({name for name in PRESETS if name not in ("base", "large")}))
def test_names_of_every_preset_survive_the_round_trip(name: str) -> None:
    weights = ours(PRESETS[name], "sequence")
    assert shapes(from_published(to_published(weights, "sequence"), "sequence")) == shapes(weights)


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("options", [{}, {"use_relative_positions": True}, {"norm_placement": "pre"}])
def test_values_survive_the_round_trip(head: AnyHead, options: dict[str, Any]) -> None:
    config = BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=12, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=6, **options,
    )  # fmt: skip
    weights = build(config, head).state_dict()
    back = from_published(to_published(weights, head), head)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_an_encoder_alone_is_the_published_encoder_without_its_pooler() -> None:
    config = PRESETS["L2-H128"]
    with torch.device("meta"):
        encoder = {f"encoder.{name}": tensor for name, tensor in Encoder(config).state_dict().items()}
        published = transformers.BertModel(transformers.BertConfig(**config.to_dict())).state_dict()
    with_prefix = canonical(published, where="x")
    assert shapes(to_published(encoder, None)) == shapes(
        {name: tensor for name, tensor in with_prefix.items() if "pooler" not in name}
    )


def test_query_key_and_value_are_the_rows_of_the_fused_matrix_in_that_order() -> None:
    fused = torch.arange(12.0).view(6, 2)
    published = to_published({"encoder.layers.7.attention.qkv.weight": fused}, None)
    assert {name.split(".")[-2]: tensor.tolist() for name, tensor in published.items()} == {
        "query": fused[:2].tolist(),
        "key": fused[2:4].tolist(),
        "value": fused[4:].tolist(),
    }


def test_pieces_and_strangers_keep_their_published_names() -> None:
    weights = {"bert.encoder.layer.0.attention.self.query.bias": torch.zeros(2), "cls.predictions.bias": torch.ones(3)}
    assert from_published(weights, "sequence").keys() == weights.keys()


def test_a_name_of_no_row_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        published_names("encoder.layers.0.unheard_of.weight", "token")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
        ("encoder.layer.0.output.dense.bias", "bert.encoder.layer.0.output.dense.bias"),
        ("pooler.dense.weight", "bert.pooler.dense.weight"),
        ("classifier.weight", "classifier.weight"),
        ("cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight"),
        ("embeddings.position_ids", None),
        ("bert.embeddings.position_ids", None),
    ],
)
def test_old_names_are_understood(name: str, expected: str | None) -> None:
    assert canonical_name(name) == expected


def test_one_tensor_under_two_names_is_refused() -> None:
    twice = {"bert.pooler.dense.bias": torch.zeros(1), "pooler.dense.bias": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"f\.bin: holds tensor 'bert.pooler.dense.bias' twice"):
        canonical(twice, where="f.bin")
