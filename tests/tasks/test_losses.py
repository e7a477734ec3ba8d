"""The losses against torch's, against the published heads of transformers, and against slow twins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.tasks.losses import (
    IGNORED,
    class_loss,
    label_set_loss,
    segment_cross_entropy,
    segment_log_softmax,
    span_loss,
    squared_loss,
)

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,  # logits well away from equal
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def published(name: str, **config: Any) -> Any:
    """A small published model with random weights, without dropout."""
    transformers = pytest.importorskip("transformers")
    return getattr(transformers, name)(transformers.BertConfig(**SMALL, **config)).eval()


def random_ids(*shape: int) -> Tensor:
    return torch.randint(5, 50, shape)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignoring", [False, True])
def test_class_loss_is_torchs_cross_entropy(label_smoothing: float, weighted: bool, ignoring: bool) -> None:
    logits = torch.randn(9, 4, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0])
    if ignoring:
        targets[[1, 5]] = IGNORED
    weights = torch.tensor([0.5, 1.0, 2.0, 3.5]) if weighted else None
    expected = F.cross_entropy(logits, targets, weight=weights, label_smoothing=label_smoothing)
    loss = class_loss(logits, targets, class_weights=weights, label_smoothing=label_smoothing)
    torch.testing.assert_close(loss.mean, expected)
    (gradient,) = torch.autograd.grad(loss.mean, logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    logits, targets = torch.randn(10, 3), torch.tensor([0, 1, 2, IGNORED, 0, 1, 1, 1, IGNORED, 2])
    weights = torch.tensor([1.0, 5.0, 0.2])
    whole = class_loss(logits, targets, class_weights=weights, label_smoothing=0.2, focal_gamma=1.5)
    parts = [
        class_loss(logits[part], targets[part], class_weights=weights, label_smoothing=0.2, focal_gamma=1.5)
        for part in (slice(0, 2), slice(2, 9), slice(9, 10))
    ]
    torch.testing.assert_close(sum(part.sum for part in parts), whole.sum)
    torch.testing.assert_close(sum(part.count for part in parts), whole.count)


def test_focal_loss_is_the_papers_formula() -> None:
    logits, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, IGNORED, 0])
    alpha = torch.tensor([0.25, 0.75, 1.5])
    total = weight = 0.0
    for row, target in zip(logits.softmax(1).tolist(), targets.tolist(), strict=True):
        if target != IGNORED:
            probability = torch.tensor(row[target])
            total -= float(alpha[target] * (1 - probability) ** 2 * probability.log())
            weight += float(alpha[target])
    loss = class_loss(logits, targets, class_weights=alpha, focal_gamma=2.0)
    assert float(loss.sum) == pytest.approx(total, rel=1e-5)
    assert float(loss.count) == pytest.approx(weight)


def test_focal_loss_of_a_certain_prediction_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    class_loss(logits, torch.tensor([0]), focal_gamma=0.5).mean.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_nothing_to_learn_costs_nothing() -> None:
    loss = class_loss(torch.randn(2, 3), torch.tensor([IGNORED, IGNORED]))
    assert (float(loss.sum), float(loss.count)) == (0.0, 0.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_label_set_loss_is_torchs_binary_cross_entropy(weighted: bool) -> None:
    logits, targets = torch.randn(7, 4), torch.randint(0, 2, (7, 4)).float()
    weights = torch.tensor([0.5, 1.0, 2.0, 3.5]) if weighted else None
    torch.testing.assert_close(
        label_set_loss(logits, targets, class_weights=weights).mean,
        F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights),
    )
    torch.testing.assert_close(
        label_set_loss(logits, targets, class_weights=weights, label_smoothing=0.2).mean,
        F.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1, pos_weight=weights),
    )


def test_focal_loss_of_label_sets_is_the_papers_formula() -> None:
    logits, targets = torch.randn(3, 2), torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    probabilities = torch.where(targets == 1, logits.sigmoid(), 1 - logits.sigmoid())
    expected = (-((1 - probabilities) ** 2) * probabilities.log()).mean()
    torch.testing.assert_close(label_set_loss(logits, targets, focal_gamma=2.0).mean, expected)


def test_the_published_classifier_of_one_label() -> None:
    model = published("BertForSequenceClassification", num_labels=3)
    targets = torch.tensor([0, 2, 1, 1])
    output = model(random_ids(4, 6), labels=targets)
    torch.testing.assert_close(class_loss(output.logits, targets).mean, output.loss)


def test_the_published_classifier_of_many_labels() -> None:
    model = published("BertForSequenceClassification", num_labels=3, problem_type="multi_label_classification")
    targets = torch.randint(0, 2, (4, 3)).float()
    output = model(random_ids(4, 6), labels=targets)
    torch.testing.assert_close(label_set_loss(output.logits, targets).mean, output.loss)


def test_the_published_regressor() -> None:
    model = published("BertForSequenceClassification", num_labels=1)
    targets = torch.tensor([0.5, 4.0, 2.2, 5.0])
    output = model(random_ids(4, 6), labels=targets)
    torch.testing.assert_close(squared_loss(output.logits, targets).mean, output.loss)


def test_the_published_multiple_choice() -> None:
    model = published("BertForMultipleChoice")
    targets = torch.tensor([3, 0, 2])
    output = model(random_ids(3, 4, 6), labels=targets)
    loss = segment_cross_entropy(output.logits.reshape(-1), torch.tensor([4, 4, 4]), targets)
    torch.testing.assert_close(loss.mean, output.loss)


def test_the_published_token_classifier() -> None:
    model = published("BertForTokenClassification", num_labels=5)
    targets = torch.randint(0, 5, (3, 7))
    targets[0, 4:] = IGNORED
    targets[:, 0] = IGNORED
    output = model(random_ids(3, 7), labels=targets)
    loss = class_loss(output.logits.reshape(-1, 5), targets.reshape(-1))
    torch.testing.assert_close(loss.mean, output.loss)


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        ([1, 4, 0], [3, 4, 0]),
        ([1, 7, 2], [3, 9, 2]),  # past the end, both ends: ignored
        ([1, 6, 2], [3, 7, 100]),  # past the end, one of them
        ([-1, -5, 2], [3, 4, -1]),  # below 0: clamped to it
    ],
)
def test_the_published_question_answerer(starts: list[int], ends: list[int]) -> None:
    model = published("BertForQuestionAnswering")
    start, end = torch.tensor(starts), torch.tensor(ends)
    output = model(random_ids(3, 7), start_positions=start.clone(), end_positions=end.clone())
    logits = torch.stack([output.start_logits, output.end_logits], dim=-1).reshape(-1, 2)
    loss = span_loss(logits, torch.tensor([7, 7, 7]), start, end)
    torch.testing.assert_close(loss.mean, output.loss)


def test_span_loss_of_unequal_sequences_is_a_loop_over_them() -> None:
    lengths, starts, ends = [3, 8, 1, 5], [0, 7, 0, 9], [2, 7, 0, 9]
    logits = torch.randn(sum(lengths), 2, requires_grad=True)
    costs = [
        (F.cross_entropy(part[:, 0], torch.tensor(start)) + F.cross_entropy(part[:, 1], torch.tensor(end))) / 2
        for part, start, end in zip(logits.split(lengths)[:3], starts, ends, strict=False)
    ]
    loss = span_loss(logits, torch.tensor(lengths), torch.tensor(starts), torch.tensor(ends))
    torch.testing.assert_close(loss.sum, torch.stack(costs).sum())
    assert float(loss.count) == 3
    (gradient,) = torch.autograd.grad(loss.sum, logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(torch.stack(costs).sum(), logits)[0])


def test_span_loss_without_any_target_is_zero() -> None:
    past = torch.tensor([9, 9])
    loss = span_loss(torch.randn(6, 2), torch.tensor([3, 3]), past, past)
    assert (float(loss.sum), float(loss.count)) == (0.0, 0.0)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_segments_of_unequal_length_are_a_loop_over_them(label_smoothing: float) -> None:
    lengths, targets = [2, 5, 3, 2], [1, 0, 2, 7]
    logits = torch.randn(sum(lengths), requires_grad=True)
    expected = torch.stack(
        [
            F.cross_entropy(part, torch.tensor(target), label_smoothing=label_smoothing)
            for part, target in zip(logits.split(lengths)[:3], targets, strict=False)  # the last has none
        ]
    ).sum()
    loss = segment_cross_entropy(logits, torch.tensor(lengths), torch.tensor(targets), label_smoothing=label_smoothing)
    torch.testing.assert_close(loss.sum, expected)
    assert float(loss.count) == 3
    (gradient,) = torch.autograd.grad(loss.sum, logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_focal_loss_of_segments_of_one_length_is_that_of_classes() -> None:
    logits, targets = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(
        segment_cross_entropy(logits.reshape(-1), torch.tensor([3, 3, 3, 3]), targets, focal_gamma=2.0).sum,
        class_loss(logits, targets, focal_gamma=2.0).sum,
    )


def test_segment_log_softmax_holds_for_large_logits() -> None:
    logits = torch.tensor([[1e4], [1e4 - 1], [-1e4]], dtype=torch.float32)
    result = segment_log_softmax(logits, torch.tensor([2, 1]))
    torch.testing.assert_close(result[:2, 0], torch.tensor([0.0, -1.0]).log_softmax(0))
    assert float(result[2, 0]) == 0.0


def test_half_precision_logits_are_reckoned_in_full() -> None:
    logits = torch.randn(4, 3).bfloat16()
    loss = class_loss(logits, torch.tensor([0, 1, 2, 0]))
    assert loss.sum.dtype == torch.float32
    torch.testing.assert_close(loss.mean, F.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0])))
