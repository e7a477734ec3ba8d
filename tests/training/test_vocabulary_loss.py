"""The loss over a vocabulary against torch's cross entropy of all logits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bertsmith.training.vocabulary_loss import CPU_CHUNK as CHUNK
from bertsmith.training.vocabulary_loss import vocabulary_loss


@pytest.mark.parametrize("num_tokens", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 3])
def test_loss_and_gradients_are_those_of_all_logits_at_once(num_tokens: int) -> None:
    generator = torch.Generator().manual_seed(num_tokens)
    x = torch.randn(num_tokens, 12, generator=generator)
    words = torch.randn(301, 12, generator=generator)
    bias = torch.randn(301, generator=generator)
    targets = torch.randint(0, 301, (num_tokens,), generator=generator)
    ours = [one.clone().requires_grad_() for one in (x, words, bias)]
    loss = vocabulary_loss(ours[0], ours[1], ours[2], targets)
    (loss.sum / 7).backward()
    theirs = [one.clone().requires_grad_() for one in (x, words, bias)]
    logits = theirs[0] @ theirs[1].T + theirs[2]
    expected = F.cross_entropy(logits, targets, reduction="sum")
    (expected / 7).backward()
    torch.testing.assert_close(loss.sum, expected)
    assert int(loss.correct) == int((logits.argmax(1) == targets).sum())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_far_logits_neither_overflow_nor_vanish() -> None:
    x = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    words = torch.tensor([[500.0], [-500.0]])
    loss = vocabulary_loss(x, words, torch.zeros(2), torch.tensor([0, 0]))
    assert loss.sum.item() == pytest.approx(1000.0)
    loss.sum.backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[0.0], [-1000.0]]))


def test_under_autocast_the_products_are_in_its_format_and_the_sums_in_fp32() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 16, generator=generator, requires_grad=True)
    words = torch.randn(90, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 90, (40,), generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        loss = vocabulary_loss(x, words, torch.zeros(90), targets)
    loss.sum.backward()
    rounded = F.cross_entropy((x.bfloat16() @ words.bfloat16().T).float(), targets, reduction="sum")
    assert loss.sum.dtype == torch.float32
    torch.testing.assert_close(loss.sum, rounded)
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_a_backward_pass_that_comes_too_late_is_told() -> None:
    x, words = torch.ones(2, 3, requires_grad=True), torch.ones(5, 3, requires_grad=True)
    targets = torch.tensor([1, 4])
    first = vocabulary_loss(x, words, torch.zeros(5), targets)
    vocabulary_loss(x, words, torch.zeros(5), targets).sum.backward()
    with pytest.raises(RuntimeError, match="the backward pass must come before another loss"):
        first.sum.backward()


def test_in_fp16_rare_tokens_learn_all_the_same() -> None:
    """Shares of a large vocabulary are under the least that fp16 holds."""
    x, words = torch.full((1, 2), 0.5, requires_grad=True), torch.zeros(50_000, 2, requires_grad=True)
    with torch.no_grad():
        words[0] = 8.0
    with torch.autocast("cpu", torch.float16):
        vocabulary_loss(x, words, torch.zeros(50_000), torch.tensor([0])).sum.backward()
    assert words.grad is not None
    share = 1 / (50_000 - 1 + torch.tensor(8.0).exp())
    torch.testing.assert_close(words.grad[7], (share * 0.5).expand(2), rtol=1e-3, atol=0)


def test_without_targets_there_is_no_loss_and_no_gradient() -> None:
    x = torch.zeros(0, 4, requires_grad=True)
    words = torch.ones(5, 4, requires_grad=True)
    loss = vocabulary_loss(x, words, torch.zeros(5), torch.zeros(0, dtype=torch.int64))
    loss.sum.backward()
    assert loss.sum.item() == 0
    assert words.grad is not None
    assert not words.grad.any()
