"""Classification of texts and of pairs of texts: one label of several, or any number of labels.

Enters: a text column (or two) and a label column. Leaves: ``{"label": ..., "probabilities": {label: p}}``; with
``multi_label`` the label is a list of names. The head and the losses are those of Devlin et al. 2018, section 4.1.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.model.batch import Batch
from bertsmith.model.heads import ProblemType
from bertsmith.tables.table import Table
from bertsmith.tasks.insight import Classes, Insight, break_down_labels, worst_label_sets, worst_mistakes
from bertsmith.tasks.labels import check_loss_options, label_name, label_names, learn_weights, number_of, ordered
from bertsmith.tasks.losses import class_loss, label_set_loss, weights_by_class
from bertsmith.tasks.metrics import class_calibration, class_scores, label_set_calibration, label_set_scores
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import (
    Texts,
    check_text_truncation,
    count_empty,
    encode_texts,
    read_texts,
    texts_of_inputs,
)
from bertsmith.text.join import Truncation
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss

LABEL_COLUMNS = ["label", "labels", "class", "category", "quality", "target", "topic", "sentiment", "gold_label"]


@dataclass(frozen=True)
class Classify(Task):
    """A classifier.

    labels:          names by number
    pairs:           whether it was trained on pairs of texts; ``None`` takes either
    multi_label:     any number of the labels may hold at once
    label_smoothing: share of the target spread over all labels, from 0 to below 1
    focal_gamma:     how strongly the loss leaves out what is easy; 0 is cross entropy
    class_weights:   weight of each label in the loss, 1 where not named; `learn` also takes ``"balanced"``
    truncation:      what is cut of a text too long, as `bertsmith.text.join.arrange` says
    """

    labels: tuple[str, ...]
    pairs: bool | None = None
    multi_label: bool = False
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: Mapping[str, float] | None = None
    truncation: Truncation = "longest_first"

    name: ClassVar[str] = "classify"
    head: ClassVar[Literal["sequence"]] = "sequence"
    metric: ClassVar[str] = "accuracy"
    options: ClassVar[tuple[str, ...]] = (
        "multi_label",
        "label_smoothing",
        "focal_gamma",
        "class_weights",
        "truncation",
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        check_loss_options(self.labels, self.label_smoothing, self.focal_gamma, self.class_weights)
        check_text_truncation(self.truncation, self.pairs)

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Texts:
        """Texts of a table with the raw values of their labels."""
        return read_texts(table, columns, LABEL_COLUMNS, labelled=labelled)

    @classmethod
    def strata(cls, examples: Texts) -> Sequence[Hashable]:
        """The labels, all that hold for an example together."""
        return [tuple(label_names(label, examples.where(row))) for row, label in enumerate(examples.labels or ())]

    @classmethod
    def learn(cls, examples: Texts, **options: Any) -> Self:
        """The labels that the examples have, and the options of the class.

        Raises `DataError` for fewer than two labels (fewer than one when many may hold).
        """
        cls.check_options(options)
        multi_label = options.get("multi_label", False)
        names = [name for row in range(len(examples)) for name in _names(examples, row, multi_label)]
        labels = ordered(names)
        if len(labels) < (1 if multi_label else 2):
            found = f"the only label is {labels[0]!r}" if labels else "there are no labels"
            place = examples.where(0) if len(examples) else "no examples"
            raise DataError(f"{place}: {found} in all {len(examples)} rows; training needs two or more")
        options["class_weights"] = learn_weights(
            options.get("class_weights"), names, labels, num_rows=len(examples) if multi_label else None
        )
        return cls(labels=labels, pairs=examples.pairs is not None, **options)

    @property
    def label_names(self) -> Sequence[str]:
        return self.labels

    @property
    def problem(self) -> ProblemType:
        return "multi_label_classification" if self.multi_label else "single_label_classification"

    def label_sets(self, examples: Texts) -> Sequence[Sequence[str]]:
        return [_names(examples, row, self.multi_label) for row in range(len(examples))]

    def check(self, examples: Texts) -> None:
        """Raise `DataError` for a label not seen in training, naming its line."""
        if examples.labels is not None:
            self.targets(examples)

    def targets(self, examples: Texts) -> NDArray[Any]:
        """Label numbers (R,) int64; with ``multi_label`` 0 and 1 by label, (R, C) float32."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        rows = [
            [number_of(name, numbers, examples.where(row)) for name in names]
            for row, names in enumerate(self.label_sets(examples))
        ]
        if not self.multi_label:
            return np.array([number for (number,) in rows], dtype=np.int64)
        targets = np.zeros((len(rows), len(self.labels)), dtype=np.float32)
        for row, found in enumerate(rows):
            targets[row, found] = 1.0
        return targets

    def encode(self, examples: Texts, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence a row; the target ``label`` when the examples have labels."""
        sequences = encode_texts(examples, tokenizer, max_length, self.pairs, self.truncation)
        return Encoded(
            sequences,
            np.arange(len(examples) + 1),
            {} if examples.labels is None else {"label": self.targets(examples)},
            cut=sequences.cut,
            counts={"text without tokens": count_empty(sequences)},
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Cross entropy, or binary cross entropy when many labels may hold. Shape: logits (B, C)."""
        function = label_set_loss if self.multi_label else class_loss
        return function(
            logits,
            batch.targets["label"],
            class_weights=weights_by_class(self.class_weights, self.labels),
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
        )

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each label, by row: softmax, or the sigmoid when many labels may hold. Shape: (S, C) -> (S, C)."""
        outputs = outputs.astype(np.float64)
        result: NDArray[np.float64] = expit(outputs) if self.multi_label else softmax(outputs, axis=1)
        return result

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> list[Answer]:
        """The most probable label (or all that are at least 0.5 probable), and every label's probability."""
        answers = []
        for row in self.probabilities(outputs):
            by_label = dict(zip(self.labels, row.tolist(), strict=True))
            label = (
                [name for name, probability in by_label.items() if probability >= 0.5]
                if self.multi_label
                else self.labels[int(row.argmax())]
            )
            answers.append({"label": label, "probabilities": by_label})
        return answers

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> dict[str, float]:
        """Those of `metrics.class_scores`, or of `metrics.label_set_scores` when many labels may hold."""
        score = label_set_scores if self.multi_label else class_scores
        return score(self.probabilities(outputs), encoded.row_targets["label"])

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> Insight:
        """Gold and predicted classes, or the scores by label when many may hold; the surest of the wrong answers."""
        probabilities, gold = self.probabilities(outputs), encoded.row_targets["label"]
        if self.multi_label:
            breakdown = break_down_labels(self.labels, gold, probabilities)
            mistakes = worst_label_sets(self.labels, gold, probabilities, examples.texts, examples.pairs)
            calibration = label_set_calibration(probabilities, gold)
            return Insight(calibration=calibration, breakdowns=[breakdown], mistakes=mistakes)
        classes = Classes(self.labels, gold, probabilities.argmax(1), probabilities)
        return Insight(
            classes=classes,
            calibration=class_calibration(probabilities, gold),
            mistakes=worst_mistakes(classes, examples.texts, examples.pairs),
        )

    def examples_of_texts(self, texts: Sequence[Any]) -> Texts:
        """Strings, pairs of strings, or mappings by column name."""
        return texts_of_inputs(texts)


def _names(examples: Texts, row: int, multi_label: bool) -> list[str]:
    if examples.labels is None:
        raise DataError(f"{examples.where(row)}: no label; name its column with --label")
    value, where = examples.labels[row], examples.where(row)
    return label_names(value, where) if multi_label else [label_name(value, where)]
