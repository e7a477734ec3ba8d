from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from bertsmith.report.classifier import (
    calibrate,
    count_confusions,
    score_batches,
    score_classes,
    widest_misses,
    worst_mistakes,
)
from bertsmith.report.record import Classes, Regression

from .conftest import make_classes


@st.composite
def some_classes(draw: st.DrawFn) -> Classes:
    num_classes = draw(st.integers(2, 6))
    answers = draw(st.lists(st.tuples(*2 * [st.integers(0, num_classes - 1)]), min_size=1, max_size=40))
    gold, predicted = np.array(answers).T
    return Classes([f"c{i}" for i in range(num_classes)], gold, predicted)


@settings(max_examples=50, deadline=None)
@given(some_classes())
def test_class_scores_are_sklearns(classes: Classes) -> None:
    expected = classification_report(
        classes.gold,
        classes.predicted,
        labels=range(len(classes.labels)),
        target_names=classes.labels,
        output_dict=True,
        zero_division=0,
    )
    rows = score_classes(classes)
    assert [row.label for row in rows] == classes.labels
    for row in rows:
        theirs = expected[row.label]
        assert (row.precision, row.recall, row.f1) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
        assert row.support == theirs["support"]


@settings(max_examples=50, deadline=None)
@given(some_classes())
def test_confusions_by_counting(classes: Classes) -> None:
    counts = count_confusions(classes)
    slow = np.zeros_like(counts)
    for gold, predicted in zip(classes.gold, classes.predicted, strict=True):
        slow[gold, predicted] += 1
    assert (counts == slow).all()


def test_batches_grow_when_there_would_be_too_many() -> None:
    classes = make_classes(2, 1000)
    scores, size = score_batches(classes)
    assert (len(scores), size) == (32, 32)
    scores, size = score_batches(classes, at_most=10)
    assert (len(scores), size) == (10, 100)


def test_calibration_needs_probabilities() -> None:
    assert calibrate(Classes(["a", "b"], np.array([0]), np.array([0]))) is None
    sure = np.array([[0.9, 0.1]] * 10)
    calibration = calibrate(Classes(["a", "b"], np.array([0] * 6 + [1] * 4), np.zeros(10, int), sure))
    assert calibration is not None
    assert calibration.error == pytest.approx(0.3)


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
