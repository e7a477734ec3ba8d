"""What the answers of a classifier add up to.

Enters: gold and predicted classes (E,), probabilities (E, C). Leaves: the numbers behind the tables and figures of the
report. Knows nothing of how they are shown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bertsmith.report.record import ClassScores
from bertsmith.tasks.insight import Classes
from bertsmith.tasks.metrics import mcc_by_batch


def score_classes(classes: Classes) -> list[ClassScores]:
    """Precision, recall, F1 and support of every class, in label order; 0 where nothing was predicted or expected."""
    precision, recall, f1, support = precision_recall_fscore_support(
        classes.gold, classes.predicted, labels=np.arange(len(classes.labels)), zero_division=0
    )
    return [
        ClassScores(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, label in enumerate(classes.labels)
    ]


def count_confusions(classes: Classes) -> NDArray[np.int64]:
    """(C, C) number of examples by gold class (row) and predicted class (column)."""
    counts: NDArray[np.int64] = confusion_matrix(classes.gold, classes.predicted, labels=np.arange(len(classes.labels)))
    return counts


def score_batches(classes: Classes, *, at_most: int = 100) -> tuple[NDArray[np.float64], int]:
    """MCC of each batch of examples in order, and the examples in a batch.

    A batch is ``classes.batch_size`` examples, or more where that would make more than ``at_most`` batches.
    """
    size = max(classes.batch_size, -(-len(classes.gold) // at_most), 1)
    return np.array(mcc_by_batch(classes.gold, classes.predicted, size)), size
