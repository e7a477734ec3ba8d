"""The four heads against those of transformers, in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.checkpoint import Differences, load_weights, to_published
from bertsmith.model import Batch, BertModel, PackedLayout, PaddedLayout, PooledEncoder

Maker = Callable[..., Any]

# Four endings of each of three questions, one of them of one token.
LENGTHS = [7, 3, 20, 5, 1, 32, 9, 9, 2, 14, 30, 6]


def logits_of_peer(peer: Any, head: str, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
    """transformers' logits in our order: (B, C), or (B, T, C) for heads by token."""
    if head == "choice":
        shape = (3, 4, -1)
        logits = peer(ids.view(*shape), mask.view(*shape), segments.view(*shape)).logits  # (3, 4)
        return torch.as_tensor(logits.reshape(-1, 1))
    output = peer(ids, mask, segments)
    if head == "span":
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return torch.as_tensor(output.logits)


@pytest.mark.parametrize(
    ("head", "num_outputs"), [("sequence", 1), ("sequence", 3), ("choice", 1), ("token", 5), ("span", 2)]
)
def test_logits_and_gradients_are_those_of_transformers(
    head: Any, num_outputs: int, make_config: Maker, make_pair: Maker
) -> None:
    pair = make_pair(make_config(), LENGTHS, head, num_outputs)
    model, peer, mask = pair.model.train(), pair.peer.train(), pair.mask
    expected = logits_of_peer(peer, head, pair.ids, pair.segments, mask)
    if head in ("token", "span"):
        expected = expected[mask.bool()]
    packed, padded = model(pair.batch), model.logits(pair.ids, pair.segments, PaddedLayout(mask))
    assert packed.shape == expected.shape
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=0)
    if head in ("token", "span"):
        assert padded.shape == (*mask.shape, num_outputs)
        padded = padded[mask.bool()]
    torch.testing.assert_close(padded, expected, atol=1e-5, rtol=0)

    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3)) / len(expected)
    (expected * weights).sum().backward()
    theirs = {name: one.grad for name, one in peer.named_parameters()}
    for logits in (packed, padded):
        model.zero_grad()
        (logits * weights).sum().backward()
        ours = to_published({name: one.grad for name, one in model.named_parameters()}, head)
        assert ours.keys() == theirs.keys()
        for name, gradient in theirs.items():
            torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-3, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("head", ["sequence", "choice"])
def test_pooled_outputs_are_those_of_transformers(head: Any, make_config: Maker, make_pair: Maker) -> None:
    pair = make_pair(make_config(), LENGTHS, head, 1)
    batch, layout = pair.batch, PackedLayout(pair.batch.lengths)
    alone = PooledEncoder(pair.model.config).eval()
    differences = load_weights(alone, to_published(pair.model.state_dict(), head), None)
    assert differences == Differences(unexpected=("classifier.weight", "classifier.bias"))
    with torch.no_grad():
        expected = pair.peer.bert(pair.ids, pair.mask, pair.segments).pooler_output
        x = pair.model.encoder(batch.ids, batch.segments, layout).last
        for pooled in (pair.model.head.pooler(layout.first(x)), alone(batch)):
            torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=0)


def test_dropout_before_a_head_is_where_the_published_heads_have_it(
    make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    config = make_config(classifier_dropout=0.5)
    batch = make_batch(LENGTHS, config)
    for head, drops in [("sequence", True), ("choice", True), ("token", True), ("span", False)]:
        model = make_model(config, head, 2)
        with torch.no_grad():
            calm, noisy = model(batch), model.train()(batch)
        assert torch.allclose(calm, noisy, atol=1e-6) is not drops, head


def test_dropout_of_a_head_keeps_the_mean(make_config: Maker, make_model: Maker, make_batch: Maker) -> None:
    config = make_config(classifier_dropout=0.3)
    model, batch = make_model(config, "token", 2), make_batch([30, 5], config)
    with torch.no_grad():
        calm = model(batch)
        model.train()
        noisy = []
        for step in range(400):
            model.encoder.noise.seed(step)
            noisy.append(model(batch))
    draws = torch.stack(noisy)
    errors = draws.std(0) / 400**0.5
    assert ((draws.mean(0) - calm).abs() < 5 * errors).all()


def test_padding_changes_no_logit(make_config: Maker, make_model: Maker, make_batch: Maker, pad: Maker) -> None:
    config = make_config()
    model, batch = make_model(config), make_batch([4, 9], config)
    ids, segments = pad(batch.ids, batch.lengths), pad(batch.segments, batch.lengths)
    mask = torch.arange(9) < batch.lengths[:, None]
    with torch.no_grad():
        narrow = model.logits(ids, segments, PaddedLayout(mask))
        wide = model.logits(F.pad(ids, (0, 20), value=17), F.pad(segments, (0, 20)), PaddedLayout(F.pad(mask, (0, 20))))
    torch.testing.assert_close(wide, narrow, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [False, True], ids=["fused", "written out"])
def test_a_row_of_padding_alone_is_not_nan(
    kept: bool, dtype: torch.dtype, make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    config = make_config()
    model = make_model(config).to(dtype)
    mask = torch.tensor([[1, 1, 1], [0, 0, 0]])
    with torch.no_grad():
        output = model.encoder(torch.ones(2, 3, dtype=torch.int64), None, PaddedLayout(mask), attentions=kept)
    assert output.last.isfinite().all()


def test_the_model_is_its_encoder_and_its_head(make_config: Maker, make_model: Maker, make_batch: Maker) -> None:
    config = make_config()
    model: BertModel = make_model(config)
    batch: Batch = make_batch([4, 9, 2], config)
    layout = PackedLayout(batch.lengths)
    with torch.no_grad():
        x = model.encoder(batch.ids, batch.segments, layout).last
        assert torch.equal(model.head(x, layout), model(batch))
    assert (model.head_kind, model.num_outputs, model.config) == ("sequence", 3, config)
