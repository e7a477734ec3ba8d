"""Multiple choice: which of some endings fits a prompt.

Enters: a prompt and two or more endings a question, as many as each question has. Leaves: ``{"choice": index, "text":
ending, "probabilities": [...]}``. Every ending is a pair (prompt, ending) of its own, scored by one output; the loss is
the cross entropy over the endings of one question (the published multiple-choice head; SWAG in Devlin et al. 2018,
section 4.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.model.batch import Batch
from bertsmith.tables.columns import find_column, look_for_column
from bertsmith.tables.table import Table
from bertsmith.tasks.labels import check_loss_options
from bertsmith.tasks.losses import segment_cross_entropy
from bertsmith.tasks.metrics import calibration
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import count_empty, texts_of_column
from bertsmith.text.ragged import bounds_of
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss

PROMPT_COLUMNS = ["sent1", "prompt", "context", "article", "startphrase", "question", "sentence", "text", "ctx"]
LEAD_COLUMNS = ["sent2"]  # what stands before every ending in the second text, as in SWAG
LABEL_COLUMNS = ["label", "answer", "gold", "gold_label", "target", "correct"]
LIST_COLUMNS = ["endings", "choices", "options"]
ENDING_COLUMN = re.compile(r"(?:ending|choice|option|answer)[ _-]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Choices:
    """R questions.

    prompts: what is to be continued
    leads:   what stands before every ending of a question in the second text, often nothing
    endings: two or more for each
    labels:  raw values of the label column, or ``None`` when unlabelled
    where:   names the place a question came from, for messages
    """

    prompts: list[str]
    leads: list[str]
    endings: list[list[str]]
    labels: list[Any] | None
    where: Callable[[int], str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def strata(self) -> None:
        return None

    @property
    def groups(self) -> None:
        return None

    def shown(self, row: int) -> tuple[str, ...]:
        """The prompt and the endings."""
        return (f"{self.prompts[row]} {self.leads[row]}".strip(), *self.endings[row])


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
        """Choices of a table.

        The prompt is a column (``--text``), the endings are columns ``ending0``, ``ending1``, ... or one column of
        lists; ``--text-pair`` (in SWAG ``sent2``) is what stands before every ending. An empty ending column means that
        the question has fewer endings. Raises `DataError` for a question with fewer than two.
        """
        prompt = find_column(table, columns.text, PROMPT_COLUMNS, "prompt", "--text")
        lead = look_for_column(table, columns.text_pair, LEAD_COLUMNS, "--text-pair")
        labels = None
        if labelled:
            name = find_column(table, columns.label, LABEL_COLUMNS, "label", "--label")
            labels = list(table.column(name))
        return Choices(
            texts_of_column(table, prompt),
            [""] * len(table) if lead is None else texts_of_column(table, lead),
            _read_endings(table),
            labels,
            table.where,
        )

    @classmethod
    def learn(cls, examples: Choices, **options: Any) -> Self:
        """The options of the class; raises `DataError` for a label that is not the index of an ending."""
        cls.check_options(options)
        task = cls(**options)
        task.targets(examples)
        return task

    @property
    def num_outputs(self) -> int:
        return 1

    def check(self, examples: Choices, *, where: str) -> None:
        """Raise `DataError` for a label that is not the index of one of its question's endings, naming its line."""
        self.targets(examples)

    def targets(self, examples: Choices) -> NDArray[np.int64]:
        """Indices of the right endings, (R,)."""
        targets = []
        for row, value in enumerate(examples.labels or []):
            count = len(examples.endings[row])
            try:
                index = float(value)
            except (TypeError, ValueError):
                index = -1.0
            if not (0 <= index < count and index.is_integer()):
                raise DataError(
                    f"{examples.where(row)}: the label is {value!r}, but there are {count} endings; "
                    f"give the index of the right one, from 0 to {count - 1}"
                )
            targets.append(int(index))
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
        return Encoded(sequences, bounds_of(counts), targets, counts={"texts without tokens": count_empty(sequences)})

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
        probabilities = self.probabilities(outputs, encoded)
        predicted = np.array([row.argmax() for row in probabilities])
        confidence = np.array([row.max() for row in probabilities])
        correct = predicted == encoded.row_targets["label"]
        return {"accuracy": float(correct.mean()), "ece": calibration(confidence, correct).error}

    def settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, "focal_gamma": self.focal_gamma}

    def examples_of_texts(self, texts: Sequence[Any]) -> Choices:
        """Mappings with a prompt and endings: ``{"prompt": ..., "endings": [...]}``, or the columns of a file."""
        for row, one in enumerate(texts):
            if not isinstance(one, dict):
                raise DataError(f"input {row + 1}: give a mapping with 'prompt' and a list of 'endings'")
        return self.read(Table.from_rows(list(texts), path="input"), Columns(), labelled=False)


def _read_endings(table: Table) -> list[list[str]]:
    numbered = sorted((int(found[1]), name) for name in table.names if (found := ENDING_COLUMN.fullmatch(name.strip())))
    if numbered:
        columns = [table.column(name) for _, name in numbered]
        rows: list[Sequence[Any]] = list(zip(*columns, strict=True))
    else:
        rows = table.column(find_column(table, None, LIST_COLUMNS, "endings", "--columns"))
    endings = []
    for row, values in enumerate(rows):
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise DataError(f"{table.where(row)}: the endings are {values!r}; give a list of texts")
        kept = [str(value) for value in values if value is not None and str(value) != ""]
        if any(value is None or str(value) == "" for value in values[: len(kept)]):
            raise DataError(f"{table.where(row)}: an empty ending stands before others; leave out the last ones only")
        if len(kept) < 2:
            raise DataError(f"{table.where(row)}: {len(kept)} ending(s); a choice needs two or more")
        endings.append(kept)
    return endings
