"""The heads of pretraining against transformers' with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from bertsmith.checkpoint import to_published
from bertsmith.checkpoint.architecture import PRETRAINING_HEADS
from bertsmith.model import Batch, BertConfig, PaddedLayout
from bertsmith.model.heads import PretrainingKind
from bertsmith.model.pretraining import PretrainingModel

KINDS = list(PRETRAINING_HEADS)
LENGTHS = [9, 4, 9, 1]


def make_pair(config: BertConfig, kind: PretrainingKind) -> tuple[PretrainingModel, Any]:
    """A model whose every weight matters, and the peer with the same weights."""
    generator = torch.Generator().manual_seed(3)
    model = PretrainingModel(config, kind, generator).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.15)
    peer = getattr(transformers, PRETRAINING_HEADS[kind])(transformers.BertConfig(**config.to_dict())).eval()
    missing, unexpected = peer.load_state_dict(to_published(model.state_dict(), kind), strict=False)
    assert not unexpected
    assert all("decoder" in name or "position_ids" in name for name in missing)
    peer.tie_weights()
    return model, peer


def peer_logits(kind: PretrainingKind, output: Any) -> tuple[Tensor | None, Tensor | None]:
    if kind == "pretraining":
        return output.prediction_logits, output.seq_relationship_logits
    return (None, output.logits) if kind == "next_sentence" else (output.logits, None)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_and_padded_logits_are_the_peers(
    kind: PretrainingKind, make_config: Callable[..., BertConfig], make_batch: Callable[..., Batch]
) -> None:
    config = make_config(is_decoder=kind == "causal")
    model, peer = make_pair(config, kind)
    batch = make_batch(LENGTHS, config)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    ids, segments = torch.zeros(mask.shape, dtype=torch.int64), torch.zeros(mask.shape, dtype=torch.int64)
    ids[mask], segments[mask] = batch.ids, batch.segments
    with torch.inference_mode():
        expected = peer_logits(kind, peer(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments))
        packed = model(batch)
        layout = PaddedLayout(mask)
        padded = model.guess(model.encoder(ids, segments, layout).last, layout)
    for ours, by_rectangle, theirs in zip(
        (packed.tokens, packed.next_sentence), (padded.tokens, padded.next_sentence), expected, strict=True
    ):
        assert (ours is None) == (by_rectangle is None) == (theirs is None)
        if ours is not None and by_rectangle is not None and theirs is not None:
            by_token = theirs.dim() == 3
            torch.testing.assert_close(ours, theirs[mask] if by_token else theirs, atol=1e-5, rtol=0)
            torch.testing.assert_close(
                by_rectangle[mask] if by_token else by_rectangle,
                theirs[mask] if by_token else theirs,
                atol=1e-5,
                rtol=0,
            )


@pytest.mark.parametrize("kind", KINDS)
def test_new_weights_are_as_published(kind: PretrainingKind, make_config: Callable[..., BertConfig]) -> None:
    model = PretrainingModel(make_config(), kind, torch.Generator().manual_seed(0))
    for name, parameter in model.head.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" not in name:
            assert parameter.abs().max() <= 0.04
            assert 0.01 < parameter.std() < 0.03


def test_the_last_matrix_is_the_word_embedding(make_config: Callable[..., BertConfig]) -> None:
    model = PretrainingModel(make_config(), "masked")
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert shapes.count((61, 24)) == 1
    assert model.words is model.encoder.embeddings.word.weight


@pytest.mark.parametrize("grouped", [False, True])
def test_a_causal_token_knows_nothing_of_those_behind_it(
    grouped: bool, make_config: Callable[..., BertConfig], make_batch: Callable[..., Batch]
) -> None:
    config = make_config(is_decoder=True)
    model, _ = make_pair(config, "causal")
    batch = make_batch([8, 5] if grouped else [8], config)
    changed = Batch(batch.ids.clone(), batch.segments, batch.lengths)
    changed.ids[5] = 1 + batch.ids[5] % 50
    with torch.inference_mode():
        before, after = model(batch).tokens, model(changed).tokens
    torch.testing.assert_close(after[:5], before[:5])
    assert all((after[place] - before[place]).abs().max() > 1e-4 for place in range(5, 8))
