"""The arithmetic of training against torch's own count of what a step computes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bertsmith.model import Batch, BertConfig, attention
from bertsmith.model.pretraining import PretrainingModel
from bertsmith.model.work import training_flops


@pytest.mark.parametrize(("span", "masked"), [(16, 4), (64, 10)])
def test_it_is_what_torch_counts(span: int, masked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_fused_is_slow", lambda query: True)  # what is fused torch does not count on a CPU
    config = BertConfig(
        vocab_size=500,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=96,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    rows = 4
    model = PretrainingModel(config, "masked", torch.Generator().manual_seed(0))
    assert model.head.tokens is not None
    ids = torch.arange(rows * span) % 500
    batch = Batch(ids, torch.zeros_like(ids), torch.full((rows,), span))
    with FlopCounterMode(display=False) as counter:
        x, _ = model.vectors(batch)
        places = torch.arange(rows * masked)
        model.head.tokens.logits(x[places], model.words).logsumexp(-1).sum().backward()
    expected = training_flops(config, span=span, guessed=masked / span) * rows * span
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)
