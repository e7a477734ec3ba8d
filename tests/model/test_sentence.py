"""Pooling: against loops over sequences, in both layouts, whatever the company in the batch."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from bertsmith.errors import SettingsError
from bertsmith.model import Batch, BertConfig, PaddedLayout
from bertsmith.model.sentence import Pooling, PoolingMode, SentenceModel

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=32,
    initializer_range=0.5,
)
LENGTHS = [3, 17, 2, 9]


def model_of(pooling: Pooling, num_classes: int = 0) -> SentenceModel:
    return SentenceModel(CONFIG, pooling, num_classes, torch.Generator().manual_seed(1)).eval()


def batch_of(lengths: list[int], seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 40, (sum(lengths),), generator=generator)
    return Batch(ids, torch.zeros_like(ids), torch.tensor(lengths))


def by_hand(model: SentenceModel, batch: Batch, mode: PoolingMode) -> Tensor:
    """Every sequence alone, its tokens one after another."""
    vectors = []
    for ids in batch.ids.split(batch.lengths.tolist()):
        layout = PaddedLayout(torch.ones(1, len(ids)))
        output = model.encoder(ids[None], None, layout, states=True)
        tokens = list(output.last[0])
        if mode == "first-last":
            tokens = [(one + other) / 2 for one, other in zip(output.states[1][0], output.states[-1][0], strict=True)]
        if mode == "cls":
            vectors.append(tokens[0])
        elif mode == "max":
            vectors.append(torch.stack([max(column) for column in zip(*tokens, strict=True)]))
        else:
            total = sum(tokens[1:], tokens[0])
            vectors.append(total / (len(tokens) ** 0.5 if mode == "mean-sqrt" else len(tokens)))
    return torch.stack(vectors)


@torch.inference_mode()
@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_pooling_is_what_a_loop_over_tokens_gives(mode: PoolingMode) -> None:
    model, batch = model_of(Pooling(mode, normalize=False)), batch_of(LENGTHS)
    torch.testing.assert_close(model(batch), by_hand(model, batch, mode), atol=2e-6, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_padding_is_never_counted(mode: PoolingMode) -> None:
    model, batch = model_of(Pooling(mode)), batch_of(LENGTHS)
    width = max(LENGTHS) + 4
    ids = torch.full((len(LENGTHS), width), 7)
    mask = torch.arange(width) < batch.lengths[:, None]
    ids[mask] = batch.ids
    padded = model.logits(ids, torch.zeros_like(ids), PaddedLayout(mask))
    torch.testing.assert_close(padded, model(batch), atol=2e-6, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_a_vector_does_not_depend_on_its_company(mode: PoolingMode) -> None:
    model, batch = model_of(Pooling(mode)), batch_of(LENGTHS)
    alone = [model(Batch(ids, torch.zeros_like(ids), torch.tensor([len(ids)]))) for ids in batch.ids.split(LENGTHS)]
    torch.testing.assert_close(torch.cat(alone), model(batch), atol=2e-6, rtol=1e-5)


@torch.inference_mode()
def test_vectors_are_cut_before_they_get_length_1() -> None:
    batch = batch_of(LENGTHS)
    whole = model_of(Pooling(normalize=False))(batch)
    cut = model_of(Pooling(dimensions=5))(batch)
    np.testing.assert_allclose(cut, torch.nn.functional.normalize(whole[:, :5], dim=1), atol=1e-6)
    np.testing.assert_allclose(cut.norm(dim=1), 1, atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("activation", ["none", "tanh"])
def test_a_linear_map_stands_behind_the_pooling(activation: str) -> None:
    batch = batch_of(LENGTHS)
    model = model_of(Pooling(dense=4, activation=activation, normalize=False))  # type: ignore[arg-type]
    plain = by_hand(model, batch, "mean")
    assert model.head.dense is not None
    expected = plain @ model.head.dense.weight.T + model.head.dense.bias
    torch.testing.assert_close(
        model(batch), expected.tanh() if activation == "tanh" else expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_every_pooling_can_be_trained(mode: PoolingMode) -> None:
    model, batch = model_of(Pooling(mode)).train(), batch_of(LENGTHS)
    model(batch)[:, 0].sum().backward()
    gradient = model.encoder.embeddings.word.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert gradient.isfinite().all()


def test_pairs_are_classified_from_both_vectors_and_their_difference() -> None:
    model = model_of(Pooling(), num_classes=3)
    one, other = torch.randn(2, 16), torch.randn(2, 16)
    assert model.head.classifier is not None
    told = torch.cat([one, other, (one - other).abs()], 1)
    torch.testing.assert_close(model.classify(one, other), model.head.classifier(told))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "men"}, "pooling is 'men'; did you mean 'mean'"),
        ({"activation": "relu"}, "activation is 'relu'; valid: 'none', 'tanh'"),
        ({"dimensions": -1}, "the width of a vector cannot be -1; give 1 or more"),
    ],
)
def test_a_pooling_that_is_none(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Pooling(**options)  # type: ignore[arg-type]


def test_more_numbers_than_a_vector_has_cannot_be_kept() -> None:
    with pytest.raises(SettingsError, match="dimensions is 17, and vectors have 16; give 16 or less"):
        model_of(Pooling(dimensions=17))
