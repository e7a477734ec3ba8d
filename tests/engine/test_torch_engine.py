"""The torch engine: outputs in the order of the sequences, whatever batches they were computed in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertsmith.engine.torch_engine import TorchEngine, batches_by_length
from bertsmith.model import Batch, BertConfig, BertModel
from bertsmith.model.heads import HeadKind
from bertsmith.text.ragged import Ragged, bounds_of
from bertsmith.training import Precision

FP32 = Precision("fp32", torch.device("cpu"), "for a test")
HEADS: list[tuple[HeadKind, int]] = [("sequence", 3), ("choice", 1), ("token", 5), ("span", 2)]


def model_of(head: HeadKind, num_outputs: int) -> BertModel:
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return BertModel(config, head, num_outputs, torch.Generator().manual_seed(0))


def sequences_of(lengths: list[int]) -> Ragged:
    generator, size = np.random.default_rng(0), sum(lengths)
    return Ragged(
        generator.integers(0, 50, size).astype(np.int32),
        generator.integers(0, 2, size).astype(np.uint8),
        bounds_of(lengths),
        np.zeros(len(lengths), np.int32),
    )


def compute_one_by_one(model: BertModel, sequences: Ragged) -> NDArray[np.float32]:
    """Each sequence as a batch of its own."""
    outputs = []
    for row in range(len(sequences)):
        one = sequences.take([row])
        ids, segments = torch.from_numpy(one.ids.astype(np.int64)), torch.from_numpy(one.segments.astype(np.int64))
        with torch.no_grad():
            outputs.append(model.eval()(Batch(ids, segments, torch.tensor([len(ids)]))).numpy())
    return np.concatenate(outputs)


@pytest.mark.parametrize("pass_tokens", [1, 70, 8192])
@pytest.mark.parametrize(("head", "num_outputs"), HEADS)
def test_outputs_are_those_of_each_sequence_alone(head: HeadKind, num_outputs: int, pass_tokens: int) -> None:
    model, lengths = model_of(head, num_outputs), [5, 64, 1, 9, 9, 30, 2, 64, 17, 1]
    sequences = sequences_of(lengths)
    outputs = TorchEngine(model, FP32, pass_tokens).outputs(sequences)
    expected = compute_one_by_one(model, sequences)
    assert outputs.dtype == np.float32
    assert outputs.shape == ((202 if head in ("token", "span") else 10), num_outputs)
    assert expected.std() > 0.1
    np.testing.assert_allclose(outputs, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("head", "num_outputs"), HEADS)
def test_no_sequences_have_no_outputs(head: HeadKind, num_outputs: int) -> None:
    assert TorchEngine(model_of(head, num_outputs), FP32).outputs(Ragged.empty()).shape == (0, num_outputs)


def test_a_training_model_answers_without_dropout() -> None:
    model, sequences = model_of("sequence", 3).train(), sequences_of([9, 30, 2])
    outputs = TorchEngine(model, FP32).outputs(sequences)
    assert (outputs == TorchEngine(model, FP32).outputs(sequences)).all()
    np.testing.assert_allclose(outputs, compute_one_by_one(model, sequences), atol=1e-5, rtol=0)


def test_half_the_bits_give_nearly_the_same_in_float32() -> None:
    model, sequences = model_of("token", 5), sequences_of([9, 30, 2])
    outputs = TorchEngine(model, Precision("bf16", torch.device("cpu"), "")).outputs(sequences)
    expected = TorchEngine(model, FP32).outputs(sequences)
    assert outputs.dtype == np.float32
    assert (outputs != expected).any()
    np.testing.assert_allclose(outputs, expected, atol=0.1, rtol=0.05)


def test_no_pass_is_larger_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = model_of("sequence", 3), []
    forward = model.forward

    def watch(batch: Batch) -> torch.Tensor:
        seen.append(batch.lengths.tolist())
        return forward(batch)

    monkeypatch.setattr(model, "forward", watch)
    TorchEngine(model, FP32, pass_tokens=40).outputs(sequences_of([5, 64, 1, 9, 9, 30, 2, 17, 1]))
    assert sorted(length for batch in seen for length in batch) == [1, 1, 2, 5, 9, 9, 17, 30, 64]
    assert all(sum(batch) <= 40 or len(batch) == 1 for batch in seen)
    assert len(seen) < 6


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=50), st.integers(1, 500))
def test_batches_hold_every_row_once_longest_first_within_the_budget(lengths: list[int], pass_tokens: int) -> None:
    sizes = np.array(lengths, dtype=np.int64)
    batches = batches_by_length(sizes, pass_tokens)
    order = [int(row) for batch in batches for row in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)
    for index, batch in enumerate(batches):
        assert len(batch) == 1 or sizes[batch].sum() <= pass_tokens
        if index + 1 < len(batches):  # and no batch is smaller than it must be
            assert sizes[batch].sum() + sizes[batches[index + 1][0]] > pass_tokens
