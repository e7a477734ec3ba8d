"""Multiple choice: which of some endings fits a prompt.

Enters: a prompt and two or more endings a question, as many as each question has. Leaves: ``{"choice": index, "text":
ending, "probabilities": [...]}``, the index counting from 0. Every ending is a pair (prompt, ending) of its own, scored
by one output; the loss is the cross entropy over the endings of one question (the published multiple-choice head; SWAG
in Devlin et al. 2018, section 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.model.batch import Batch
from bertsmith.tables.table import Table
from bertsmith.tasks.choices import Choices, ending_index, read_choices
from bertsmith.tasks.insight import Breakdown, Insight, Mistake, surest
from bertsmith.tasks.labels import check_loss_options
from bertsmith.tasks.losses import segment_cross_entropy
from bertsmith.tasks.metrics import calibration
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import count_empty
from bertsmith.text.ragged import bounds_of
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss


@dataclass(frozen=True)
class Choose(Task):
    """A chooser.

    label_smoothing: share of the target spread over all endings of a question, from 0 to below 1
    focal_gamma:     how strongly the loss leaves out what is easy; 0 is cross entropy
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0

    name: ClassVar[str] = "choose"
    head: ClassVar[Literal["choice"]] = "choice"
    metric: ClassVar[str] = "accuracy"
    options: ClassVar[tuple[str, ...]] = ("label_smoothing", "focal_gamma")

    def __post_init__(self) -> None:
        check_loss_options((), self.label_smoothing, self.focal_gamma)

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Choices:
        """Questions of a table with the raw values of their labels."""
        return read_choices(table, columns, labelled=labelled)

    @classmethod
    def learn(cls, examples: Choices, **options: Any) -> Self:
        """The options of the class; raises `DataError` for a label that names none of its endings."""
        cls.check_options(options)
        task = cls(**options)
        task.check(examples)
        return task

    def check(self, examples: Choices) -> None:
        """Raise `DataError` for a label that names none of its question's endings, naming its line."""
        self.targets(examples)

    def targets(self, examples: Choices) -> NDArray[np.int64]:
        """Indices of the right endings, (R,)."""
        targets = [
            ending_index(label, len(examples.endings[row]), examples.where(row))
            for row, label in enumerate(examples.labels or [])
        ]
        return np.array(targets, dtype=np.int64)

    def encode(self, examples: Choices, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence an ending, one row a question; targets ``endings`` (their number) and ``label``."""
        counts = np.array([len(endings) for endings in examples.endings], dtype=np.int64)
        prompts = [prompt for prompt, count in zip(examples.prompts, counts, strict=True) for _ in range(count)]
        seconds = [
            f"{lead} {ending}" if lead else ending
            for lead, endings in zip(examples.leads, examples.endings, strict=True)
            for ending in endings
        ]
        sequences = tokenizer.encode(prompts, seconds, max_length=max_length)
        targets = {"endings": counts}
        if examples.labels is not None:
            targets["label"] = self.targets(examples)
        rows = bounds_of(counts)
        return Encoded(
            sequences,
            rows,
            targets,
            cut=np.add.reduceat(sequences.cut, rows[:-1]),
            counts={"text without tokens": count_empty(sequences)},
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Cross entropy over each question's own endings. Shape: logits (S,) or (S, 1)."""
        return segment_cross_entropy(
            logits.reshape(-1),
            batch.targets["endings"],
            batch.targets["label"],
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
        )

    def probabilities(self, outputs: NDArray[np.float32], encoded: Encoded) -> list[NDArray[np.float64]]:
        """Of the endings of each question. Shape: outputs (S,) or (S, 1)."""
        by_question = np.split(outputs.reshape(-1).astype(np.float64), encoded.rows[1:-1])
        return [softmax(logits) for logits in by_question[: len(encoded)]]

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Choices) -> list[Answer]:
        """The index and the text of the most probable ending, and the probability of each."""
        return [
            {
                "choice": int(row.argmax()),
                "text": endings[int(row.argmax())],
                "probabilities": row.tolist(),
            }
            for row, endings in zip(self.probabilities(outputs, encoded), examples.endings, strict=True)
        ]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Choices) -> dict[str, float]:
        """``accuracy`` and ``ece``."""
        chosen, confidence = self._chosen(outputs, encoded)
        correct = chosen == encoded.row_targets["label"]
        return {"accuracy": float(correct.mean()), "ece": calibration(confidence, correct).error}

    def _chosen(self, outputs: NDArray[np.float32], encoded: Encoded) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The index of the most probable ending of each question, and its probability, each (R,)."""
        probabilities = self.probabilities(outputs, encoded)
        chosen = np.array([row.argmax() for row in probabilities], dtype=np.int64)
        return chosen, np.array([row.max() for row in probabilities], dtype=np.float64)

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Choices) -> Insight:
        """Wrong choices, the surest first; accuracy by number of endings, where that differs."""
        gold, counts = encoded.row_targets["label"], encoded.row_targets["endings"]
        chosen, confidence = self._chosen(outputs, encoded)
        mistakes = [
            Mistake(
                text=examples.shown(row)[0],
                gold=examples.endings[row][gold[row]],
                predicted=examples.endings[row][chosen[row]],
                confidence=float(confidence[row]),
            )
            for row in surest(chosen != gold, confidence)
        ]
        distinct = np.unique(counts).tolist()
        by_count = Breakdown(
            "By number of endings",
            "endings",
            ["accuracy", "examples"],
            [
                (str(count), (float(np.mean((chosen == gold)[counts == count])), int(np.sum(counts == count))))
                for count in distinct
            ],
        )
        return Insight(
            calibration=calibration(confidence, chosen == gold),
            breakdowns=[by_count] if len(distinct) > 1 else [],
            mistakes=mistakes,
        )

    def examples_of_texts(self, texts: Sequence[Any]) -> Choices:
        """Mappings with a prompt and endings: ``{"prompt": ..., "endings": [...]}``, or the columns of a file."""
        for row, one in enumerate(texts):
            if not isinstance(one, Mapping):
                raise DataError(f"input {row + 1}: give a mapping with 'prompt' and a list of 'endings'")
        return self.read(Table.from_rows(texts, path="input"), Columns(), labelled=False)
