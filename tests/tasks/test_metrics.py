"""Scores against scikit-learn, scipy and hand-worked values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from bertsmith.tasks.metrics import (
    LESS_IS_BETTER,
    calibration,
    class_scores,
    f1_binary,
    label_set_scores,
    mcc,
    mcc_by_batch,
    number_scores,
    score_labels,
)


def random_probabilities(rows: int, classes: int) -> np.ndarray:
    return np.random.default_rng(classes).dirichlet(np.ones(classes), rows)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_class_scores_are_scikit_learns(classes: int) -> None:
    probabilities = random_probabilities(200, classes)
    gold = np.random.default_rng(1).integers(0, classes, 200)
    predicted = probabilities.argmax(1)
    scores = class_scores(probabilities, gold)
    average = "binary" if classes == 2 else "macro"
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(gold, predicted))
    assert scores["f1"] == pytest.approx(sk.f1_score(gold, predicted, average=average))
    assert scores["f1_macro"] == pytest.approx(sk.f1_score(gold, predicted, average="macro"))
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(gold, predicted))
    assert all(type(value) is float for value in scores.values())


def test_f1_of_two_classes_is_that_of_the_second() -> None:
    gold, predicted = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 1])
    assert f1_binary(gold, predicted) == pytest.approx(0.5)  # 1 right of 2 found and of 2 there
    assert f1_binary(np.zeros(3, int), np.zeros(3, int)) == 0.0


def test_mcc_worked_by_hand() -> None:
    gold = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    predicted = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    # 3 true and 1 false positive, 5 true and 1 false negative
    assert mcc(gold, predicted) == pytest.approx((3 * 5 - 1 * 1) / np.sqrt(4 * 4 * 6 * 6))
    assert mcc(gold, np.ones(10, int)) == 0.0


def test_every_score_is_better_greater_or_less() -> None:
    """A perfect answer scores at least as well as a wrong one by each score of every kind."""
    gold = np.array([0, 1, 1, 0])
    right, wrong = np.eye(2)[gold], np.eye(2)[1 - gold]
    found = [
        (class_scores(right, gold), class_scores(wrong, gold)),
        (label_set_scores(right, right), label_set_scores(wrong, right)),
        (number_scores(gold * 1.0, gold * 1.0), number_scores(1.0 - gold, gold * 1.0)),
    ]
    for best, worst in found:
        for name in best:
            assert (best[name] < worst[name]) == (name in LESS_IS_BETTER), name


def test_mcc_by_batch_is_mcc_of_each_run_of_rows() -> None:
    gold, predicted = np.random.default_rng(0).integers(0, 2, (2, 70))
    expected = [sk.matthews_corrcoef(gold[a:b], predicted[a:b]) for a, b in [(0, 32), (32, 64), (64, 70)]]
    assert mcc_by_batch(gold, predicted) == pytest.approx(expected)


def test_label_set_scores_are_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    probabilities, gold = generator.random((50, 4)), generator.integers(0, 2, (50, 4))
    predicted = (probabilities >= 0.5).astype(int)
    scores = label_set_scores(probabilities, gold)
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(gold, predicted))
    assert scores["f1"] == pytest.approx(sk.f1_score(gold, predicted, average="micro"))
    assert scores["f1_macro"] == pytest.approx(sk.f1_score(gold, predicted, average="macro"))


def test_label_scores_are_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    gold, predicted = generator.integers(0, 2, (40, 5)), generator.random((40, 5)) < 0.4
    gold[:, 1], predicted[:, 2] = 0, False
    gold[:, 3], predicted[:, 3] = 0, False
    scores = score_labels(gold.astype(np.float32), predicted)
    expected = sk.precision_recall_fscore_support(gold, predicted, zero_division=0)
    for ours, theirs in zip([scores.precision, scores.recall, scores.f1, scores.support], expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_a_single_label_that_holds_or_not_has_its_own_f1() -> None:
    probabilities, gold = np.array([[0.9], [0.8], [0.1], [0.2]]), np.array([[1], [0], [1], [0]])
    scores = label_set_scores(probabilities, gold)
    assert (scores["f1"], scores["f1_macro"], scores["accuracy"]) == (0.5, 0.5, 0.5)
    assert label_set_scores(probabilities, np.array([[1], [1], [0], [0]]))["f1"] == 1.0
    assert label_set_scores(probabilities, np.array([[0], [0], [0], [0]]))["f1"] == 0.0


def test_number_scores_are_scipys() -> None:
    generator = np.random.default_rng(0)
    gold = generator.random(40)
    predicted = gold**3 + 0.1 * generator.random(40)
    scores = number_scores(predicted, gold)
    assert scores["pearson"] == pytest.approx(stats.pearsonr(predicted, gold)[0])
    assert scores["spearman"] == pytest.approx(stats.spearmanr(predicted, gold)[0])
    assert scores["mse"] == pytest.approx(((predicted - gold) ** 2).mean())


@pytest.mark.parametrize("predicted", [np.ones(3), np.arange(3.0)])
def test_correlation_with_a_constant_is_zero(predicted: np.ndarray) -> None:
    scores = number_scores(predicted, np.full(3, 2.0))
    assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)


def test_calibration_worked_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, False, True, True])
    table = calibration(confidence, correct, bins=10)
    assert table.count.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 3]
    assert table.accuracy[[5, 9]] == pytest.approx([1.0, 2 / 3])
    assert table.error == pytest.approx((2 * 0.45 + 3 * (0.95 - 2 / 3)) / 5)


def test_calibration_is_a_loop_over_bins() -> None:
    generator = np.random.default_rng(0)
    confidence, correct = generator.random(500), generator.random(500) < 0.6
    confidence[:16] = np.linspace(0, 1, 16)  # the edges themselves
    edges = np.linspace(0, 1, 16)
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high) | ((low == 0) & (confidence == 0))
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration(confidence, correct).error == pytest.approx(expected)
