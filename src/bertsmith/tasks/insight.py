"""What the answers of a model show beside its scores: where it is right, where it is wrong, and how sure it was.

Enters: gold and predicted answers as numbers, with their texts. Leaves: plain data that a report draws and lists. Knows
nothing of models, tokens or how it will look.

E below is the number of evaluated examples, C the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.tasks.metrics import Calibration, score_labels

MOST_MISTAKES = 20  # that a report lists


@dataclass(frozen=True)
class Classes:
    """Answers of a classifier, in the order of the file.

    labels:        C names
    gold:          (E,) indices into ``labels``
    predicted:     (E,) indices into ``labels``
    probabilities: (E, C)
    batch_size:    examples in a bar of the plot of MCC per batch
    """

    labels: Sequence[str]
    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.floating[Any]]
    batch_size: int = 32


@dataclass(frozen=True)
class Regression:
    """Gold and predicted scores, each (E,)."""

    gold: NDArray[np.floating[Any]]
    predicted: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Breakdown:
    """Scores by group: by entity type, by question word, by label of a many-label classifier.

    title:   heading of the table
    group:   heading of the first column
    columns: headings of the others
    rows:    (name of the group, one value a column); whole numbers are shown as counts, fractions as scores
    """

    title: str
    group: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | int | None]]]


@dataclass(frozen=True)
class Mistake:
    """An answer that was wrong. ``confidence`` is the model's probability of it, or None for a task without one."""

    text: str
    gold: str
    predicted: str
    confidence: float | None = None
    text_pair: str | None = None


@dataclass(frozen=True)
class Insight:
    """What a task has to say of its answers to labelled examples; each part is left out where it says nothing.

    calibration: how right it is when it is how sure
    mistakes:    the worst first
    """

    classes: Classes | None = None
    regression: Regression | None = None
    calibration: Calibration | None = None
    breakdowns: Sequence[Breakdown] = ()
    mistakes: Sequence[Mistake] = ()


def surest(wrong: NDArray[np.bool_], confidence: NDArray[np.floating[Any]]) -> list[int]:
    """The wrong answers of which the model was most sure, the surest first, `MOST_MISTAKES` at most.

    Shape: wrong (E,); confidence (E,).
    """
    rows = np.flatnonzero(wrong)
    order: list[int] = rows[np.argsort(-confidence[rows], kind="stable")][:MOST_MISTAKES].tolist()
    return order


def worst_mistakes(classes: Classes, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Mistake]:
    """The wrong answers that the model was most sure of."""
    confidence = classes.probabilities[np.arange(len(classes.gold)), classes.predicted]
    return [
        Mistake(
            text=texts[i],
            gold=classes.labels[classes.gold[i]],
            predicted=classes.labels[classes.predicted[i]],
            confidence=float(confidence[i]),
            text_pair=None if pairs is None else pairs[i],
        )
        for i in surest(classes.gold != classes.predicted, confidence)
    ]


def widest_misses(regression: Regression, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Mistake]:
    """The predicted scores farthest from the gold ones."""
    order = np.argsort(-np.abs(regression.predicted - regression.gold), kind="stable")
    return [
        Mistake(
            text=texts[i],
            gold=f"{regression.gold[i]:.2f}",
            predicted=f"{regression.predicted[i]:.2f}",
            text_pair=None if pairs is None else pairs[i],
        )
        for i in order[:MOST_MISTAKES].tolist()
    ]


def break_down_labels(
    labels: Sequence[str], gold: NDArray[np.floating[Any]], probabilities: NDArray[np.floating[Any]]
) -> Breakdown:
    """Scores of each of the labels that hold or not; one is predicted when its probability is 0.5 or more.

    Shape: gold (E, C) of 0 and 1; probabilities (E, C).
    """
    scores = score_labels(gold, probabilities >= 0.5)
    by_score = [one.tolist() for one in (scores.precision, scores.recall, scores.f1, scores.support)]
    rows = list(zip(labels, zip(*by_score, strict=True), strict=True))
    return Breakdown("By label", "label", ["precision", "recall", "f1", "examples"], rows)


def worst_label_sets(
    labels: Sequence[str],
    gold: NDArray[np.floating[Any]],
    probabilities: NDArray[np.floating[Any]],
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
) -> list[Mistake]:
    """The answers with a wrong label that the model was most sure of; its confidence is that in this label.

    Shape: gold (E, C) of 0 and 1; probabilities (E, C).
    """
    predicted = probabilities >= 0.5
    sure = np.where(predicted, probabilities, 1 - probabilities)
    sure_of_wrong = np.where(predicted != (gold > 0), sure, 0.0).max(1)  # (E,)

    def listed(held: NDArray[np.bool_]) -> str:
        return ", ".join(labels[label] for label in np.flatnonzero(held).tolist())

    return [
        Mistake(
            text=texts[i],
            gold=listed(gold[i] > 0),
            predicted=listed(predicted[i]),
            confidence=float(sure_of_wrong[i]),
            text_pair=None if pairs is None else pairs[i],
        )
        for i in surest(sure_of_wrong > 0, sure_of_wrong)
    ]
