"""What a batch of logits costs, as pure functions.

Enters: logits and targets. Leaves: a `Loss` (sum and count), equal to the loss of the published heads where the options
are off. Knows nothing of tasks, labels or models.

The arithmetic is in fp32 whatever the precision of the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.training.loss import Loss

IGNORED = -100  # a target that costs nothing, torch's and transformers' convention


def weights_by_class(weights: Mapping[str, float] | None, names: Sequence[str]) -> Tensor | None:
    """Weights by name as the losses below take them: (C,) in the order of ``names``, 1 for what is not named."""
    return None if weights is None else torch.tensor([weights.get(name, 1.0) for name in names])


def class_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Loss:
    """Cross entropy of one class among C.

    With ``w`` the class weights (1 by default) and ``y`` the target, row ``i`` costs
    ``(1 - s) * w[y] * -log p[y] + s / C * sum_c w[c] * -log p[c]`` (label smoothing ``s``: Szegedy et al. 2016,
    section 7), times ``(1 - p[y]) ** gamma`` (focal loss: Lin et al. 2017, equation 5, whose alpha is ``w``). The count
    is the sum of ``w[y]``, so that sum / count is ``F.cross_entropy(..., reduction="mean")`` when gamma is 0.

    Shape: logits (M, C); targets (M,) int64, `IGNORED` where there is none; class_weights (C,).
    """
    logits = logits.float()
    if class_weights is not None:
        class_weights = class_weights.to(logits.device, torch.float32)
    costs = F.cross_entropy(
        logits,
        targets,
        weight=class_weights,
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )  # (M,)
    valid = targets != IGNORED
    known = targets.clamp_min(0)
    if focal_gamma:
        target_probabilities = logits.softmax(-1).gather(-1, known[:, None])[:, 0]  # (M, C) -> (M,)
        costs = costs * focal_factor(target_probabilities, focal_gamma)
    count = valid.sum() if class_weights is None else (class_weights[known] * valid).sum()
    return Loss(costs.sum(), count)


def label_set_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Loss:
    """Binary cross entropy of C labels that hold or not, each by itself.

    Targets are softened to ``y * (1 - s) + s / 2``; the term of labels that hold is multiplied by ``class_weights``
    (``pos_weight`` of torch); gamma multiplies each decision's cost by ``(1 - p of the truth) ** gamma`` (Lin et al.
    2017, equation 4). The count is all B * C decisions, so that sum / count is ``F.binary_cross_entropy_with_logits``.

    Shape: logits (B, C); targets (B, C), 1 where the label holds and 0 where not; class_weights (C,).
    """
    logits, truth = logits.float(), targets.float()
    if class_weights is not None:
        class_weights = class_weights.to(logits.device, torch.float32)
    softened = truth * (1 - label_smoothing) + label_smoothing / 2
    costs = F.binary_cross_entropy_with_logits(logits, softened, pos_weight=class_weights, reduction="none")
    if focal_gamma:
        target_probabilities = torch.where(truth > 0.5, logits, -logits).sigmoid()
        costs = costs * focal_factor(target_probabilities, focal_gamma)
    return Loss(costs.sum(), float(costs.numel()))


def squared_loss(logits: Tensor, targets: Tensor) -> Loss:
    """Squared error of one number a row. Shape: logits (B, 1); targets (B,)."""
    return Loss(((logits.float()[:, 0] - targets.float()) ** 2).sum(), float(len(targets)))


def segment_cross_entropy(
    logits: Tensor,
    lengths: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
) -> Loss:
    """Cross entropy of one place within each of R segments that lie end to end, whatever their lengths.

    Targets outside their segment cost nothing and do not count. For segments of one length this is
    ``F.cross_entropy(logits.view(R, length), targets)``.

    Shape: logits (S,); lengths (R,) int64, at least 1, their sum is S; targets (R,) int64, places from 0.
    """
    lengths = lengths.to(logits.device)
    log_probabilities = segment_log_softmax(logits[:, None], lengths)[:, 0]  # (S,)
    valid = (targets >= 0) & (targets < lengths)
    places = lengths.cumsum(0) - lengths + targets.clamp_min(0).minimum(lengths - 1)  # (R,)
    truth = log_probabilities[places]
    costs = -truth
    if label_smoothing:
        means = torch.segment_reduce(log_probabilities, "sum", lengths=lengths, unsafe=True) / lengths
        costs = (1 - label_smoothing) * costs - label_smoothing * means
    if focal_gamma:
        costs = costs * focal_factor(truth.exp(), focal_gamma)
    return Loss((costs * valid).sum(), valid.sum())


def segment_log_softmax(logits: Tensor, lengths: Tensor) -> Tensor:
    """Log-softmax of every column over each segment of rows, in fp32.

    Shape: logits (S, K); lengths (R,) int64, at least 1, their sum is S -> (S, K).
    """
    logits = logits.float()
    lengths = lengths.to(logits.device)
    owner = torch.repeat_interleave(lengths, output_size=len(logits))  # (S,)
    highest = torch.segment_reduce(logits.detach(), "max", lengths=lengths, axis=0, unsafe=True)  # (R, K)
    shifted = logits - highest[owner]
    totals = torch.segment_reduce(shifted.exp(), "sum", lengths=lengths, axis=0, unsafe=True)  # (R, K)
    return shifted - totals.log()[owner]


def span_loss(logits: Tensor, lengths: Tensor, starts: Tensor, ends: Tensor) -> Loss:
    """Mean of the cross entropies of the first and the last token of a span, over each sequence's own tokens.

    As in the published head, targets below 0 are clamped to 0, and those past the sequence are ignored. When some
    sequences lose one of their two targets, each half is still the mean over its own valid targets.

    Shape: logits (N, 2); lengths (B,), their sum is N; starts, ends (B,) int64, places from 0 in the sequence. The
    count is the number of sequences with a valid target.
    """
    lengths = lengths.to(logits.device)  # a batch's lengths may stay on the CPU
    log_probabilities = segment_log_softmax(logits, lengths)  # (N, 2)
    first = lengths.cumsum(0) - lengths  # (B,)
    targets = torch.stack([starts, ends], dim=1).clamp_min(0)  # (B, 2)
    valid = targets < lengths[:, None]
    places = first[:, None] + targets.minimum(lengths[:, None] - 1)
    costs = -log_probabilities.gather(0, places) * valid  # (B, 2)
    valid_by_half = valid.sum(0)  # (2,)
    count = valid_by_half.max()
    halves = costs.sum(0) * (count / valid_by_half.clamp_min(1))
    return Loss(halves.sum() / 2, count)


def focal_factor(probabilities: Tensor, gamma: float) -> Tensor:
    """``(1 - p) ** gamma``, with a finite gradient where p is 1 and gamma is below 1."""
    return (1 - probabilities).clamp_min(1e-12) ** gamma
