"""Reranking: how well a document answers a query, by a model that reads both at once (a cross-encoder).

Enters: pairs of a query and a document with a label (1 where they belong together, or any scale of scores), or queries
with a document that answers each and maybe some that do not. Leaves: ``{"score": probability}``. One output, binary
cross entropy (Nogueira and Cho 2019, "Passage re-ranking with BERT", section 3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.model.batch import Batch
from bertsmith.tables.table import Table
from bertsmith.tasks.groups import Groups, numbers_of, read_groups
from bertsmith.tasks.insight import Insight, Regression, widest_misses
from bertsmith.tasks.metrics import number_scores
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import Texts, count_empty, encode_texts, texts_of_inputs
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss
from bertsmith.training.plan import shuffled

_STRANGERS = 4  # documents of other queries that are paired with a query whose own negatives are not known


@dataclass(frozen=True)
class Rerank(Task):
    """A cross-encoder.

    scale: the lowest and the highest score of the training data, which are probabilities 0 and 1
    """

    scale: tuple[float, float] = (0.0, 1.0)

    name: ClassVar[str] = "rerank"
    head: ClassVar[Literal["sequence"]] = "sequence"
    continuous: ClassVar[bool] = True
    metric: ClassVar[str] = "average_precision"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(self.scale))

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Texts:
        """Pairs of query and document with their label; of groups, every document with its query."""
        groups = read_groups(table, columns, labelled=labelled)
        if len(groups.texts) == 1:
            raise DataError(f"{table.path}: only single texts; give pairs of a query and a document (--text-pair)")
        if groups.labels is not None or not labelled:
            return Texts(groups.texts[0], groups.texts[1], groups.labels, where=groups.where)
        return pairs_of_groups(groups)

    @classmethod
    def learn(cls, examples: Texts, **options: Any) -> Self:
        """The scale of the labels. Raises `DataError` for one that is no number, and where all are the same."""
        cls.check_options(options)
        scores = cls._numbers(examples)
        if scores.min() == scores.max():
            raise DataError(
                f"{examples.where(0)}: every label is {scores[0]:g}; give pairs that do not belong together"
            )
        return cls(scale=(float(scores.min()), float(scores.max())))

    def check(self, examples: Texts) -> None:
        """Raise `DataError` for a label that is no number, naming its line."""
        self.targets(examples)

    def targets(self, examples: Texts) -> NDArray[np.float32]:
        """Labels as probabilities, (R,)."""
        low, high = self.scale
        return ((self._numbers(examples) - low) / (high - low)).clip(0, 1)

    @staticmethod
    def _numbers(examples: Texts) -> NDArray[np.float32]:
        scores = numbers_of(examples.labels or [])
        if scores is None:
            row = next(row for row, label in enumerate(examples.labels or []) if numbers_of([label]) is None)
            raise DataError(
                f"{examples.where(row)}: the label is {(examples.labels or [])[row]!r}; give 1 for a document that "
                "answers its query and 0 for one that does not, or a score"
            )
        return scores

    def encode(self, examples: Texts, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence a pair, of whose document the end is cut; target ``score``."""
        sequences = encode_texts(examples, tokenizer, max_length, True, "only_second")
        return Encoded(
            sequences,
            np.arange(len(examples) + 1, dtype=np.int64),
            {} if examples.labels is None else {"score": self.targets(examples)},
            cut=sequences.cut,
            counts={"text without tokens": count_empty(sequences)},
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Binary cross entropy. Shape: logits (B, 1)."""
        costs = F.binary_cross_entropy_with_logits(
            logits.float()[:, 0], batch.targets["score"].float(), reduction="none"
        )
        return Loss(costs.sum(), float(len(costs)))

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> list[Answer]:
        """The probability that the document answers the query."""
        return [{"score": score} for score in expit(outputs[:, 0].astype(np.float64)).tolist()]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> dict[str, float]:
        """``average_precision`` and ``accuracy`` of documents that score at least half, ``mrr@10`` of the documents of
        each query where queries have several, ``spearman``."""
        from sklearn.metrics import average_precision_score

        predicted, gold = outputs[:, 0].astype(np.float64), encoded.row_targets["score"]
        belongs = gold >= 0.5
        scores = {
            "average_precision": float(average_precision_score(belongs, predicted)) if belongs.any() else 0.0,
            "accuracy": float(np.mean((predicted >= 0) == belongs)),
            "spearman": number_scores(predicted, gold.astype(np.float64))["spearman"],
        }
        by_query: dict[str, list[int]] = defaultdict(list)
        for row, query in enumerate(examples.texts):
            by_query[query].append(row)
        places = [_place_of_first(predicted[rows], belongs[rows]) for rows in by_query.values() if belongs[rows].any()]
        if len(by_query) < len(examples) and places:
            scores["mrr@10"] = float(np.mean([1 / place if place <= 10 else 0.0 for place in places]))
        return scores

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Texts) -> Insight:
        """Probabilities against labels, and those farthest off."""
        regression = Regression(encoded.row_targets["score"], expit(outputs[:, 0]))
        return Insight(regression=regression, mistakes=widest_misses(regression, examples.texts, examples.pairs))

    def examples_of_texts(self, texts: Sequence[Any]) -> Texts:
        """Pairs of query and document, or mappings by column name."""
        return texts_of_inputs(texts)


def pairs_of_groups(groups: Groups) -> Texts:
    """Every document of each group with its query: label 1 for the first, 0 for the others. Where groups have no
    others, the documents of some other groups are taken, the same ones every time."""
    number = len(groups)
    queries, positives, *negatives = groups.texts
    if not negatives:
        answers: dict[str, set[str]] = defaultdict(set)
        for query, document in zip(queries, positives, strict=True):
            answers[query].add(document)
        for turn in range(min(_STRANGERS, number - 1)):
            order = shuffled(number, 0, turn)
            strangers = [""] * number
            for row, other in zip(order.tolist(), np.roll(order, 1).tolist(), strict=True):
                strangers[row] = positives[other]
            negatives.append(strangers)
    else:
        answers = defaultdict(set)
    rows = [
        (row, column, document)
        for row in range(number)
        for column, document in enumerate([positives[row], *(one[row] for one in negatives)])
        if column == 0 or document not in answers[queries[row]]
    ]
    return Texts(
        [queries[row] for row, _, _ in rows],
        [document for _, _, document in rows],
        [int(column == 0) for _, column, _ in rows],
        where=lambda place: groups.where(rows[place][0]),
    )


def _place_of_first(scores: NDArray[np.float64], belongs: NDArray[np.bool_]) -> int:
    """The place, from 1, of the best document that belongs."""
    order = np.argsort(-scores, kind="stable")
    return int(np.flatnonzero(belongs[order])[0]) + 1
