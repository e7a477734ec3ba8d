from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from bertsmith.report.classifier import count_confusions, score_batches, score_classes
from bertsmith.tasks.insight import Classes

from .conftest import make_classes


@st.composite
def some_classes(draw: st.DrawFn) -> Classes:
    num_classes = draw(st.integers(2, 6))
    answers = draw(st.lists(st.tuples(*2 * [st.integers(0, num_classes - 1)]), min_size=1, max_size=40))
    gold, predicted = np.array(answers).T
    return Classes([f"c{i}" for i in range(num_classes)], gold, predicted, np.eye(num_classes)[predicted])


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
