"""The losses of pretraining against transformers' with the same weights, whole and in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertsmith.checkpoint import to_published
from bertsmith.checkpoint.architecture import PRETRAINING_HEADS
from bertsmith.corpus.instances import MaskedBatch
from bertsmith.model import BertConfig
from bertsmith.model.heads import PretrainingKind
from bertsmith.model.pretraining import PretrainingModel
from bertsmith.training.corpus_plan import to_batch
from bertsmith.training.loss import Loss
from bertsmith.training.objectives import pretraining_loss

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    max_position_embeddings=16,
)
LENGTHS = np.array([12, 7, 12, 9, 12])


def made() -> MaskedBatch:
    """Five instances, each with another number of masked places."""
    generator = np.random.default_rng(0)
    counts = np.array([3, 1, 2, 0, 4])
    starts = np.cumsum(LENGTHS) - LENGTHS
    places = np.concatenate(
        [
            start + np.sort(generator.choice(length, number, replace=False))
            for start, length, number in zip(starts, LENGTHS, counts, strict=True)
        ]
    )
    segments = np.concatenate([(np.arange(length) >= length // 2).astype(np.int64) for length in LENGTHS])
    return MaskedBatch(
        generator.integers(5, 50, LENGTHS.sum()),
        segments,
        LENGTHS,
        places,
        generator.integers(5, 50, len(places)),
        counts,
        np.array([True, False, False, True, True]),
    )


def model_of(kind: PretrainingKind) -> PretrainingModel:
    config = BertConfig(**{**vars(CONFIG), "is_decoder": kind == "causal"})
    generator = torch.Generator().manual_seed(1)
    model = PretrainingModel(config, kind, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def peer_loss(model: PretrainingModel, built: MaskedBatch) -> tuple[Any, torch.Tensor]:
    """The published model and its loss on the padded batch, -100 where nothing is masked."""
    kind = model.head_kind
    peer = getattr(transformers, PRETRAINING_HEADS[kind])(transformers.BertConfig(**model.config.to_dict()))
    peer.load_state_dict(to_published(model.state_dict(), kind), strict=False)
    peer.tie_weights()
    mask = torch.arange(LENGTHS.max()) < torch.from_numpy(LENGTHS)[:, None]
    padded = {name: torch.zeros(mask.shape, dtype=torch.int64) for name in ("ids", "segments")}
    ids = torch.from_numpy(built.ids.copy())
    if kind in ("causal", "next_sentence"):  # they read the text as it was
        ids[torch.from_numpy(built.masked_places)] = torch.from_numpy(built.masked_ids)
    padded["ids"][mask], padded["segments"][mask] = ids, torch.from_numpy(built.segments)
    labels = torch.full((int(LENGTHS.sum()),), -100)
    labels[torch.from_numpy(built.masked_places)] = torch.from_numpy(built.masked_ids)
    if kind == "causal":
        labels = ids
    by_token = torch.full(mask.shape, -100)
    by_token[mask] = labels
    next_labels = torch.from_numpy(built.random_next.astype(np.int64))
    targets = {
        "pretraining": {"labels": by_token, "next_sentence_label": next_labels},
        "masked": {"labels": by_token},
        "next_sentence": {"labels": next_labels},
        "causal": {"labels": by_token},
    }[kind]
    inputs = {"input_ids": padded["ids"], "token_type_ids": padded["segments"], "attention_mask": mask.long()}
    return peer, peer(**inputs, **targets).loss


def whole_loss(model: PretrainingModel, built: MaskedBatch) -> Loss:
    return pretraining_loss(model, to_batch(built, share=1.0, step_masked=float(len(built.masked_ids))))


@pytest.mark.parametrize("kind", list(PRETRAINING_HEADS))
def test_loss_and_gradients_are_the_peers(kind: PretrainingKind) -> None:
    model, built = model_of(kind), made()
    loss = whole_loss(model, built).mean
    peer, expected = peer_loss(model, built)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    theirs = dict(peer.named_parameters())
    ours = to_published({name: parameter.grad for name, parameter in model.named_parameters()}, kind)
    assert len(ours) > 30
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name].grad, atol=1e-5, rtol=0, msg=name)


def test_passes_add_up_to_the_whole_step() -> None:
    """The sum over passes is the published total: each mean is over the step, not over the pass."""
    model, built = model_of("pretraining"), made()
    whole = whole_loss(model, built)
    cuts = [(0, 2), (2, 3), (3, 5)]
    passes = [
        pretraining_loss(
            model,
            to_batch(built.part(low, high), share=(high - low) / 5, step_masked=float(len(built.masked_ids))),
        )
        for low, high in cuts
    ]
    torch.testing.assert_close(sum(one.sum for one in passes), whole.sum)
    assert sum(float(one.count) for one in passes) == pytest.approx(5.0)  # rows
    for name, (total, number) in whole.parts.items():
        torch.testing.assert_close(torch.as_tensor(sum(one.parts[name][0] for one in passes)), torch.as_tensor(total))
        assert sum(float(one.parts[name][1]) for one in passes) == float(number)


def test_parts_are_means_and_shares() -> None:
    model, built = model_of("pretraining"), made()
    parts = {
        name: float(total.detach()) / float(number) for name, (total, number) in whole_loss(model, built).parts.items()
    }
    assert set(parts) == {"mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"}
    assert parts["mlm_loss"] + parts["nsp_loss"] == pytest.approx(
        float(whole_loss(model, built).mean.detach()), rel=1e-5
    )
    assert 0 <= parts["mlm_accuracy"] <= 1
    assert 0 <= parts["nsp_accuracy"] <= 1
