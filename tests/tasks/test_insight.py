"""What answers show beside their scores."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.tasks.insight import Classes, Regression, widest_misses, worst_mistakes


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
    assert [one.text for one in worst_mistakes(classes, texts, limit=1)] == ["b"]
    without = Classes(classes.labels, classes.gold, classes.predicted)
    assert [(one.text, one.confidence) for one in worst_mistakes(without, texts)] == [
        ("a", None),
        ("b", None),
        ("c", None),
    ]


def test_widest_misses() -> None:
    misses = widest_misses(
        Regression(np.array([1.0, 2.0, 5.0]), np.array([1.5, 4.0, 4.9])), ["a", "b", "c"], ["x", "y", "z"]
    )
    assert [(one.text, one.text_pair, one.gold, one.predicted) for one in misses] == [
        ("b", "y", "2.00", "4.00"),
        ("a", "x", "1.00", "1.50"),
        ("c", "z", "5.00", "4.90"),
    ]
