"""Attention by the fused kernel and written out: the same numbers, whichever is the faster one here."""

from __future__ import annotations

import pytest
import torch

from bertsmith.model import Batch, BertConfig, attention
from bertsmith.model.encoder import Encoder
from bertsmith.model.layout import PackedLayout


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_both_ways_give_one_gradient(precision: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    encoder = Encoder(config).train()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    lengths = torch.tensor([5, 12, 12, 3])
    ids = torch.randint(0, 60, (32,))
    batch = Batch(ids, torch.zeros_like(ids), lengths)

    def gradients(slow: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        monkeypatch.setattr(attention, "_fused_is_slow", lambda query: slow)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            x = encoder(batch.ids, batch.segments, PackedLayout(lengths)).last
        loss = (x.float() * torch.linspace(-1, 1, x.numel()).view_as(x)).sum()
        return x.detach(), list(torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True))

    tolerance = {"rtol": 1e-4, "atol": 1e-4} if precision == torch.float32 else {"rtol": 0.1, "atol": 0.1}
    fused, written = gradients(False), gradients(True)
    torch.testing.assert_close(written[0].float(), fused[0].float(), **tolerance)
    for one, other in zip(written[1], fused[1], strict=True):
        if one is not None:
            scale = other.abs().max().clamp(min=1e-6)
            torch.testing.assert_close(one / scale, other / scale, **tolerance)


def test_the_fused_kernel_is_left_where_it_is_slow_alone() -> None:
    narrow = torch.zeros(2, dtype=torch.bfloat16)
    assert not attention._fused_is_slow(narrow)
    assert attention._fused_is_slow(narrow.clone().requires_grad_())
    assert not attention._fused_is_slow(torch.zeros(2, requires_grad=True))
