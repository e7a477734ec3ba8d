"""What answers show beside their scores."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.tasks.insight import (
    MOST_MISTAKES,
    Classes,
    Regression,
    break_down_labels,
    surest,
    widest_misses,
    worst_label_sets,
    worst_mistakes,
)


def test_worst_mistakes_are_the_surest_first() -> None:
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8]])
    classes = Classes(["no", "yes"], np.array([1, 0, 0, 1]), probabilities.argmax(1), probabilities)
    texts = ["a", "b", "c", "d"]
    mistakes = worst_mistakes(classes, texts)
    assert [(one.text, one.gold, one.predicted) for one in mistakes] == [
        ("b", "no", "yes"),
        ("c", "no", "yes"),
        ("a", "yes", "no"),
    ]
    assert mistakes[0].confidence == pytest.approx(0.9)


def test_widest_misses() -> None:
    misses = widest_misses(
        Regression(np.array([1.0, 2.0, 5.0]), np.array([1.5, 4.0, 4.9])), ["a", "b", "c"], ["x", "y", "z"]
    )
    assert [(one.text, one.text_pair, one.gold, one.predicted) for one in misses] == [
        ("b", "y", "2.00", "4.00"),
        ("a", "x", "1.00", "1.50"),
        ("c", "z", "5.00", "4.90"),
    ]


def test_scores_by_label() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 0], [1, 0]])
    probabilities = np.array([[0.9, 0.1], [0.5, 0.6], [0.7, 0.2], [0.1, 0.3]])
    table = break_down_labels(["a", "b"], gold, probabilities)
    assert table.rows == [("a", pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))), ("b", (0.0, 0.0, 0.0, 0))]


def test_worst_label_sets_are_those_with_the_surest_wrong_label() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 0], [1, 0]])
    probabilities = np.array([[0.9, 0.1], [0.5, 0.6], [0.99, 0.8], [0.1, 0.3]])
    mistakes = worst_label_sets(["a", "b"], gold, probabilities, ["r", "s", "t", "u"], ["1", "2", "3", "4"])
    assert [(one.text, one.text_pair, one.gold, one.predicted) for one in mistakes] == [
        ("t", "3", "", "a, b"),
        ("u", "4", "a", ""),
        ("s", "2", "a", "a, b"),
    ]
    assert [one.confidence for one in mistakes] == pytest.approx([0.99, 0.9, 0.6])


def test_no_more_than_a_report_lists_are_told() -> None:
    confidence = np.linspace(0, 1, 100)
    assert surest(confidence < 0.9, confidence) == list(range(89, 89 - MOST_MISTAKES, -1))
