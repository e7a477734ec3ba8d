"""Regression: one number for a text or a pair of texts.

Enters: a text column (or two) and a column of numbers. Leaves: ``{"score": number}``. The head and the loss (squared
error of one output) are those of the published BERT on STS-B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.model.batch import Batch
from bertsmith.model.heads import ProblemType
from bertsmith.tables.table import Table
from bertsmith.tasks.insight import Insight, Regression, widest_misses
from bertsmith.tasks.losses import squared_loss
from bertsmith.tasks.metrics import number_scores
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

SCORE_COLUMNS = ["score", "similarity", "similarity_score", "relatedness_score", "label", "rating", "value", "target"]


@dataclass(frozen=True)
class Regress(Task):
    """A regressor.

    pairs:      whether it was trained on pairs of texts; ``None`` takes either
    truncation: what is cut of a text too long, as `bertsmith.text.join.arrange` says
    """

    pairs: bool | None = None
    truncation: Truncation = "longest_first"

    name: ClassVar[str] = "regress"
    head: ClassVar[Literal["sequence"]] = "sequence"
    continuous: ClassVar[bool] = True
    metric: ClassVar[str] = "pearson"
    options: ClassVar[tuple[str, ...]] = ("truncation",)

    def __post_init__(self) -> None:
        check_text_truncation(self.truncation, self.pairs)

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Texts:
        """Texts of a table with the raw values of their scores."""
        return read_texts(table, columns, SCORE_COLUMNS, labelled=labelled)

    @classmethod
    def strata(cls, examples: Texts) -> Sequence[float]:
        """The scores. Raises `DataError` for one that is no finite number."""
        return [_number(value, examples.where(row)) for row, value in enumerate(examples.labels or ())]

    @classmethod
    def learn(cls, examples: Texts, **options: Any) -> Self:
        """Whether the texts come in pairs, and the options. Raises `DataError` for a score that is no finite number."""
        cls.check_options(options)
        task = cls(pairs=examples.pairs is not None, **options)
        task.check(examples)
        return task

    @property
    def label_names(self) -> Sequence[str]:
        return ("score",)

    @property
    def problem(self) -> ProblemType:
        return "regression"

    def check(self, examples: Texts) -> None:
        """Raise `DataError` for a score that is not a finite number, naming its line."""
        self.strata(examples)

    def targets(self, examples: Texts) -> NDArray[np.float32]:
        """Scores (R,). Raises as `check`."""
        return np.array(self.strata(examples), dtype=np.float32)

    def encode(self, examples: Texts, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence a row; the target ``score`` when the examples have scores."""
        sequences = encode_texts(examples, tokenizer, max_length, self.pairs, self.truncation)
        return Encoded(
            sequences,
            np.arange(len(examples) + 1),
            {} if examples.labels is None else {"score": self.targets(examples)},
            cut=sequences.cut,
            counts={"text without tokens": count_empty(sequences)},
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Squared error. Shape: logits (B, 1)."""
        return squared_loss(logits, batch.targets["score"])

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> list[Answer]:
        """The number itself, on the scale of the training scores."""
        return [{"score": score} for score in outputs[:, 0].tolist()]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> dict[str, float]:
        """``pearson``, ``spearman`` and ``mse``."""
        return number_scores(outputs[:, 0].astype(np.float64), encoded.row_targets["score"].astype(np.float64))

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> Insight:
        """Predicted scores against the gold ones, and those farthest off."""
        regression = Regression(encoded.row_targets["score"], outputs[:, 0])
        return Insight(regression=regression, mistakes=widest_misses(regression, examples.texts, examples.pairs))

    def examples_of_texts(self, texts: Sequence[Any]) -> Texts:
        """Strings, pairs of strings, or mappings by column name."""
        return texts_of_inputs(texts)


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{where}: the score is {value!r}, which is not a number; correct it or leave the row out"
        ) from None
    if not math.isfinite(number):
        raise DataError(f"{where}: the score is {value!r}; give a finite number or leave the row out")
    return number
