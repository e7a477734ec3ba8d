"""Cross entropy over a large vocabulary, without ever holding all logits.

The logits of M tokens over V words are M x V numbers, which are written, read for the softmax, written as a gradient
and read twice more: for a small encoder that costs more than the encoder. Here a few tokens at a time are taken through
all of it while they are in the cache, gradient included (as Hsu et al. 2024, "Liger Kernel", section 3.2, do on GPUs).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 128  # tokens at a time; measured: 64 and 256 are within 5 %, all 600 at once take 1.5 times as long


class VocabularyLoss(NamedTuple):
    """sum: of the cross entropies, a scalar that carries the gradient; correct: how many tokens scored best."""

    sum: Tensor
    correct: Tensor


def vocabulary_loss(x: Tensor, words: Tensor, bias: Tensor, targets: Tensor) -> VocabularyLoss:
    """Cross entropy of ``x @ words.T + bias`` with the targets, summed.

    Shape: x (M, D), words (V, D), bias (V,), targets (M,) int64 -> scalars, fp32
    """
    total, correct = _VocabularyLoss.apply(x, words, bias, targets)  # type: ignore[no-untyped-call]
    return VocabularyLoss(total, correct)


class _VocabularyLoss(torch.autograd.Function):
    """The gradient is computed with the loss, for an outer gradient of one, and scaled in the backward pass."""

    @staticmethod
    def forward(ctx, x, words, bias, targets):  # type: ignore[no-untyped-def]
        compute = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        held, matrix = x.detach().to(compute), words.detach().to(compute)
        needed = torch.is_grad_enabled() or any(ctx.needs_input_grad)
        x_gradient = torch.empty_like(held)
        words_gradient = torch.zeros(words.shape, device=x.device)
        bias_gradient = torch.zeros(bias.shape, device=x.device)
        total = torch.zeros((), device=x.device)
        correct = torch.zeros((), device=x.device)
        for low in range(0, len(x), CHUNK):
            part, wanted = held[low : low + CHUNK], targets[low : low + CHUNK, None]
            logits = (part @ matrix.T).float().add_(bias)  # (m, V)
            highest, best = logits.max(1, keepdim=True)
            correct += (best == wanted).sum()
            total -= (logits.gather(1, wanted) - highest).sum()
            shares = logits.sub_(highest).exp_()
            sums = shares.sum(1, keepdim=True)
            total += sums.log().sum()
            if needed:
                gradient = shares.div_(sums).scatter_add_(1, wanted, shares.new_full(wanted.shape, -1.0))
                bias_gradient += gradient.sum(0)
                narrow = gradient.to(compute)
                torch.mm(narrow, matrix, out=x_gradient[low : low + CHUNK])
                words_gradient += narrow.T @ part
        ctx.save_for_backward(x_gradient, words_gradient, bias_gradient)
        ctx.types = x.dtype, words.dtype, bias.dtype
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    def backward(ctx, outer, _):  # type: ignore[no-untyped-def]
        gradients = zip(ctx.saved_tensors, ctx.types, strict=True)
        return *((gradient * outer).to(dtype) for gradient, dtype in gradients), None
