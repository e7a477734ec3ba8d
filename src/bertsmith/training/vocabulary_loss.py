"""Cross entropy over a large vocabulary, without ever holding all logits.

The logits of M tokens over V words are M x V numbers, which are written, read for the softmax, written as a gradient
and read twice more: for a small encoder that costs more than the encoder. Here some tokens at a time are taken through
all of it while they are in the cache, gradient included (as Hsu et al. 2024, "Liger Kernel", section 3.2, do on GPUs).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bertsmith.training.memory import scratch

CPU_CHUNK = 256  # tokens at a time; 128 and 512 are within 5 %, all 600 at once take 1.5 times as long
GPU_CHUNK = 2048  # a GPU has no such cache, and wants few large products


class VocabularyLoss(NamedTuple):
    """sum: of the cross entropies, a scalar that carries the gradient; correct: how many tokens scored best.

    A token that ties with others for the best score counts as correct.
    """

    sum: Tensor
    correct: Tensor


def vocabulary_loss(x: Tensor, words: Tensor, bias: Tensor, targets: Tensor) -> VocabularyLoss:
    """Cross entropy of ``x @ words.T + bias`` with the targets, summed.

    The gradient of ``words`` is added to ``words.grad`` in place, as that of the word embedding is
    (`bertsmith.training.live_rows`): a table of its own for each pass would be the largest tensor of the step.

    Shape: x (M, D), words (V, D), bias (V,), targets (M,) int64 -> scalars, fp32
    """
    learning = torch.is_grad_enabled()  # within a function of autograd it never is
    total, correct = _VocabularyLoss.apply(x, words, bias, targets, learning)  # type: ignore[no-untyped-call]
    return VocabularyLoss(total, correct)


class _VocabularyLoss(torch.autograd.Function):
    """The gradient is computed with the loss, for an outer gradient of one, and scaled in the backward pass.

    turn: how many losses were computed: the large gradient of the last one is held, and of no other
    """

    turn = 0

    @staticmethod
    def forward(ctx, x, words, bias, targets, learning):  # type: ignore[no-untyped-def]
        device = x.device
        compute = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else x.dtype
        if compute == torch.float16:  # most shares of a large vocabulary are less than it can hold
            compute = torch.float32
        held, matrix = x.detach().to(compute), words.detach()
        if compute != matrix.dtype:
            matrix = scratch("words", words.shape, compute, device).copy_(matrix)
        rows, size = min(len(x), CPU_CHUNK if device.type == "cpu" else GPU_CHUNK), len(words)
        products = scratch("logits", (rows, size), compute, device)
        wide = scratch("logits in fp32", (rows, size), torch.float32, device)
        shares = scratch("shares", (rows, size), torch.float32, device)
        needed = learning and any(ctx.needs_input_grad)
        if needed:
            x_gradient = torch.empty_like(held)
            bias_gradient = torch.zeros(bias.shape, device=device)
            product = scratch("a chunk's gradient of words", words.shape, compute, device)
            wide_product = scratch("the same in fp32", words.shape, torch.float32, device)
            words_gradient = scratch("gradient of words", words.shape, torch.float32, device).zero_()
        total = torch.zeros((), device=device)
        correct = torch.zeros((), device=device)
        for low in range(0, len(x), CPU_CHUNK if device.type == "cpu" else GPU_CHUNK):
            part, wanted = held[low : low + rows], targets[low : low + rows, None]
            m = len(part)
            logits = torch.mm(part, matrix.T, out=products[:m])  # (m, V)
            logits = wide[:m].copy_(logits).add_(bias)
            highest = logits.amax(1, keepdim=True)
            own = logits.gather(1, wanted)
            correct += (own == highest).sum()
            gradient = torch.softmax(logits, 1, out=shares[:m])
            # The highest share is 1 / V at least, so its logarithm is finite: it gives the logarithm of the sum.
            total += (highest - gradient.amax(1, keepdim=True).log() - own).sum()
            if needed:
                gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
                bias_gradient += gradient.sum(0)
                narrow = products[:m].copy_(gradient)
                torch.mm(narrow, matrix, out=x_gradient[low : low + rows])
                words_gradient += wide_product.copy_(torch.mm(narrow.T, part, out=product))
        if needed:
            _VocabularyLoss.turn += 1
            ctx.turn = _VocabularyLoss.turn
            ctx.gradients = x_gradient, words_gradient, bias_gradient
            ctx.words, ctx.types = words, (x.dtype, bias.dtype)
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    def backward(ctx, outer, _):  # type: ignore[no-untyped-def]
        if ctx.turn != _VocabularyLoss.turn:
            raise RuntimeError("vocabulary_loss: the backward pass must come before another loss is computed")
        x_gradient, words_gradient, bias_gradient = ctx.gradients
        x_type, bias_type = ctx.types
        if ctx.needs_input_grad[1]:
            words = ctx.words
            if words.grad is None:
                words.grad = torch.zeros_like(words)
            words.grad += words_gradient.mul_(outer)
        return (x_gradient * outer).to(x_type), None, (bias_gradient * outer).to(bias_type), None, None
