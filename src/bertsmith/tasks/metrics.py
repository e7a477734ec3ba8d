"""Scores of predictions against the truth, as pure functions.

Enters: arrays of class numbers, probabilities or scores. Leaves: floats, and the tables a report draws. Knows nothing
of files, tasks or models. Spans of tags are scored in `tagging`, answers to questions in `squad`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

LESS_IS_BETTER = frozenset({"loss", "mse", "ece", "uniformity"})  # of all the scores of tasks


def class_scores(probabilities: Floats, gold: Classes) -> dict[str, float]:
    """Scores of one class among C: ``accuracy``, ``f1``, ``f1_macro``, ``mcc``, ``ece``.

    ``f1`` is that of class 1 when there are two classes (as GLUE counts MRPC and QQP), else the macro mean.

    Shape: probabilities (M, C); gold (M,).
    """
    predicted = probabilities.argmax(1)
    macro = f1_macro(gold, predicted)
    return {
        "accuracy": float(np.mean(predicted == gold)),
        "f1": f1_binary(gold, predicted) if probabilities.shape[1] == 2 else macro,
        "f1_macro": macro,
        "mcc": mcc(gold, predicted),
        "ece": class_calibration(probabilities, gold).error,
    }


def label_set_scores(probabilities: Floats, gold: Classes) -> dict[str, float]:
    """Scores of C labels that hold or not: ``accuracy`` (the whole set right), ``f1`` (micro), ``f1_macro``, ``ece``.

    A label is predicted when its probability is 0.5 or more.

    Shape: probabilities (M, C); gold (M, C) of 0 and 1.
    """
    predicted = probabilities >= 0.5
    by_label = score_labels(gold, predicted)
    overall = score_labels(gold.reshape(-1, 1), predicted.reshape(-1, 1))
    return {
        "accuracy": float(np.mean((predicted == gold).all(1))),
        "f1": float(overall.f1[0]),
        "f1_macro": float(by_label.f1.mean()),
        "ece": label_set_calibration(probabilities, gold).error,
    }


@dataclass(frozen=True)
class LabelScores:
    """Scores of each of C labels that hold or not, each (C,); 0 where nothing was predicted or holds.

    support: rows in which the label holds
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: Classes


def score_labels(gold: NDArray[Any], predicted: NDArray[np.bool_]) -> LabelScores:
    """Scores of each label by itself. Shape: gold (M, C) of 0 and 1; predicted (M, C)."""
    holds = gold > 0
    found, support, right = predicted.sum(0), holds.sum(0), (predicted & holds).sum(0)
    return LabelScores(
        precision=right / np.maximum(1, found),
        recall=right / np.maximum(1, support),
        f1=2 * right / np.maximum(1, found + support),
        support=support,
    )


def number_scores(predicted: Floats, gold: Floats) -> dict[str, float]:
    """Scores of predicted numbers: ``pearson``, ``spearman``, ``mse``.

    A correlation that is not defined (fewer than two rows, or one side constant) is 0.

    Shape: predicted (M,); gold (M,).
    """
    from scipy.stats import pearsonr, spearmanr

    defined = len(gold) > 1 and np.ptp(gold) > 0 and np.ptp(predicted) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of nearly constant input; its answer stands
        pearson = float(pearsonr(predicted, gold).statistic) if defined else 0.0
        spearman = float(spearmanr(predicted, gold).statistic) if defined else 0.0
    return {"pearson": pearson, "spearman": spearman, "mse": float(np.mean((predicted - gold) ** 2))}


def f1_binary(gold: Classes, predicted: Classes) -> float:
    """F1 of class 1."""
    from sklearn.metrics import f1_score

    return float(f1_score(gold, predicted, labels=[1], average="macro", zero_division=0))


def f1_macro(gold: Classes, predicted: Classes) -> float:
    """Mean of the F1 of every class that occurs in the truth or the predictions."""
    from sklearn.metrics import f1_score

    return float(f1_score(gold, predicted, average="macro", zero_division=0))


def mcc(gold: Classes, predicted: Classes) -> float:
    """Matthews correlation coefficient, of any number of classes; 0 where it is not defined."""
    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single class in both is defined as 0 here, no reason to warn
        return float(matthews_corrcoef(gold, predicted))


def mcc_by_batch(gold: Classes, predicted: Classes, batch_size: int = 32) -> list[float]:
    """Matthews correlation of each run of ``batch_size`` rows in order; the last may be shorter."""
    return [
        mcc(gold[first : first + batch_size], predicted[first : first + batch_size])
        for first in range(0, len(gold), batch_size)
    ]


@dataclass(frozen=True)
class Calibration:
    """How often predictions of each confidence are right: what a reliability diagram draws.

    edges:      (bins + 1,) bounds of the bins on confidence
    confidence: (bins,) mean confidence in each bin, 0 in an empty one
    accuracy:   (bins,) share that is right in each bin, 0 in an empty one
    count:      (bins,) predictions in each bin
    """

    edges: Floats
    confidence: Floats
    accuracy: Floats
    count: Classes

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of accuracy and confidence, bins weighted by their counts."""
        return float(np.abs(self.accuracy - self.confidence) @ self.count / max(1, self.count.sum()))


def class_calibration(probabilities: Floats, gold: Classes) -> Calibration:
    """Of the most probable of C classes. Shape: probabilities (M, C); gold (M,)."""
    return calibration(probabilities.max(1), probabilities.argmax(1) == gold)


def label_set_calibration(probabilities: Floats, gold: NDArray[Any]) -> Calibration:
    """Of C decisions a row, whether each label holds. Shape: probabilities (M, C); gold (M, C) of 0 and 1."""
    confidence = np.maximum(probabilities, 1 - probabilities)
    return calibration(confidence.ravel(), ((probabilities >= 0.5) == gold).ravel())


def calibration(confidence: Floats, correct: NDArray[np.bool_], bins: int = 15) -> Calibration:
    """Predictions in bins of equal width by confidence (Guo et al. 2017, section 2). Bins hold their upper edge.

    Shape: confidence (M,) from 0 to 1; correct (M,).
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = np.maximum(count, 1)
    return Calibration(
        edges,
        np.bincount(place, weights=confidence, minlength=bins) / filled,
        np.bincount(place, weights=correct, minlength=bins) / filled,
        count,
    )
