"""Reranking: how well a document answers a query, by a model that reads both at once (a cross-encoder).

Enters: pairs of a query and a document with a label (1 where they belong together, or any scale of scores), or queries
with a document that answers each and maybe some that do not. Leaves: ``{"score": probability}``. One output, binary
cross entropy (Nogueira and Cho 2019, "Passage re-ranking with BERT", section 3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from bertsmith.errors import DataError
from bertsmith.model.batch import Batch
from bertsmith.tables.table import Table
from bertsmith.tasks.groups import Groups, groups_of_inputs, numbers_of, read_groups
from bertsmith.tasks.insight import Insight, Regression, widest_misses
from bertsmith.tasks.metrics import number_scores
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import count_empty
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss
from bertsmith.training.plan import shuffled

_STRANGERS = 4  # documents of other queries that a query is paired with where no pair is known not to belong together


@dataclass(frozen=True)
class Pairs:
    """Every document of R groups with its query, group after group: P pairs.

    queries, documents: (P,) texts
    labels: (P,) numbers, or ``None`` where nothing is known
    first:  (R,) the number of each group's first pair
    """

    queries: list[str]
    documents: list[str]
    labels: NDArray[np.float32] | None
    first: NDArray[np.int64]


@dataclass(frozen=True)
class Rerank(Task):
    """A cross-encoder.

    scale: the lowest and the highest score of the training data, which are probabilities 0 and 1
    """

    scale: tuple[float, float] = (0.0, 1.0)

    name: ClassVar[str] = "rerank"
    head: ClassVar[Literal["sequence"]] = "sequence"
    metric: ClassVar[str] = "average_precision"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(self.scale))

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Groups:
        """Queries with a document and its label, or with one that answers them and maybe some that do not. A pair
        without a label belongs together."""
        groups = read_groups(table, columns, labelled=labelled)
        if len(groups.texts) == 1:
            raise DataError(f"{table.path}: only single texts; give pairs of a query and a document (--text-pair)")
        if not labelled:
            return replace(groups, texts=groups.texts[:2])
        return replace(groups, labels=[1] * len(groups)) if groups.labels is None else groups

    @classmethod
    def learn(cls, examples: Groups, **options: Any) -> Self:
        """The scale of the labels. Raises `DataError` for one that is no number, and where none belong together, or
        where nothing shows what does not."""
        cls.check_options(options)
        labels = pairs_of(examples).labels
        assert labels is not None
        if labels.min() == labels.max():
            raise DataError(f"{examples.where(0)}: every label is {labels[0]:g}; give pairs of other labels, too")
        return cls(scale=(float(labels.min()), float(labels.max())))

    @property
    def label_names(self) -> Sequence[str]:
        return ("score",)

    def check(self, examples: Groups) -> None:
        """Raise `DataError` for a label that is no number, naming its line."""
        pairs_of(examples)

    def encode(self, examples: Groups, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence a pair of query and document, of whose document the end is cut; target ``score``."""
        pairs = pairs_of(examples)
        sequences = tokenizer.encode(pairs.queries, pairs.documents, max_length=max_length, truncation="only_second")
        low, high = self.scale
        targets = {} if pairs.labels is None else {"score": ((pairs.labels - low) / (high - low)).clip(0, 1)}
        return Encoded(
            sequences,
            np.arange(len(pairs.queries) + 1, dtype=np.int64),
            targets,
            cut=np.add.reduceat(sequences.cut, pairs.first) if len(pairs.first) else sequences.cut,
            counts={"text without tokens": count_empty(sequences)},
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Binary cross entropy. Shape: logits (B, 1)."""
        targets = batch.targets["score"].float()
        costs = F.binary_cross_entropy_with_logits(logits.float()[:, 0], targets, reduction="none")
        return Loss(costs.sum(), float(len(costs)))

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Groups) -> list[Answer]:
        """The probability that the (first) document answers the query."""
        chances = expit(outputs[pairs_of(examples).first, 0].astype(np.float64))
        return [{"score": score} for score in chances.tolist()]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Groups) -> dict[str, float]:
        """``average_precision``, ``accuracy`` of telling documents that score at least half from others, ``mrr@10`` of
        the documents of each query where queries have several, ``spearman``."""
        from sklearn.metrics import average_precision_score

        predicted, gold = outputs[:, 0].astype(np.float64), encoded.row_targets["score"]
        belongs = gold >= 0.5
        scores = {
            "average_precision": float(average_precision_score(belongs, predicted)) if belongs.any() else 0.0,
            "accuracy": float(np.mean((predicted >= 0) == belongs)),
            "spearman": number_scores(predicted, gold.astype(np.float64))["spearman"],
        }
        by_query: dict[str, list[int]] = defaultdict(list)
        for row, query in enumerate(pairs_of(examples).queries):
            by_query[query].append(row)
        places = [_place_of_first(predicted[rows], belongs[rows]) for rows in by_query.values() if belongs[rows].any()]
        if len(by_query) < len(predicted) and places:
            scores["mrr@10"] = float(np.mean([1 / place if place <= 10 else 0.0 for place in places]))
        return scores

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Groups) -> Insight:
        """Probabilities against labels, and those farthest off."""
        pairs = pairs_of(examples)
        regression = Regression(encoded.row_targets["score"], expit(outputs[:, 0]))
        return Insight(regression=regression, mistakes=widest_misses(regression, pairs.queries, pairs.documents))

    def examples_of_texts(self, texts: Sequence[Any]) -> Groups:
        """Pairs of query and document, or mappings by column name. Raises `DataError` for single texts."""
        groups = groups_of_inputs(texts)
        if len(groups.texts) == 1:
            raise DataError(f"{groups.where(0)}: a single text; give a query and a document")
        return groups


def pairs_of(groups: Groups) -> Pairs:
    """Every document of each group with its query. Negatives have the label 0.

    Where all pairs belong together, each query is also paired with the documents of some other groups, label 0, the
    same ones every time; none of them belongs to the query elsewhere. Raises `DataError` for a label that is no number.
    """
    queries, positives, *negatives = groups.texts
    labels = None if groups.labels is None else _numbers(groups)
    if labels is not None and not negatives and len(labels) and labels.min() == labels.max() > 0:
        negatives = _strangers(positives)
    belong: dict[str, set[str]] = defaultdict(set)
    for query, document in zip(queries, positives, strict=True):
        belong[query].add(document)
    rows = [
        (row, column, document)
        for row, query in enumerate(queries)
        for column, document in enumerate([positives[row], *(one[row] for one in negatives)])
        if column == 0 or document not in belong[query]
    ]
    first = [place for place, (_, column, _) in enumerate(rows) if column == 0]
    numbers = None if labels is None else [0.0 if column else labels[row] for row, column, _ in rows]
    return Pairs(
        [queries[row] for row, _, _ in rows],
        [document for _, _, document in rows],
        None if numbers is None else np.array(numbers, dtype=np.float32),
        np.array(first, dtype=np.int64),
    )


def _strangers(documents: list[str]) -> list[list[str]]:
    """For each of R documents some others, in `_STRANGERS` columns."""
    number = len(documents)
    columns = []
    for turn in range(min(_STRANGERS, number - 1)):
        order = shuffled(number, 0, turn)
        column = [""] * number
        for row, other in zip(order.tolist(), np.roll(order, 1).tolist(), strict=True):
            column[row] = documents[other]
        columns.append(column)
    return columns


def _numbers(groups: Groups) -> NDArray[np.float32]:
    labels = groups.labels or []
    numbers = numbers_of(labels)
    if numbers is not None:
        return numbers
    row = next(row for row, label in enumerate(labels) if numbers_of([label]) is None)
    raise DataError(
        f"{groups.where(row)}: the label is {labels[row]!r}; give 1 for a document that answers its query and 0 for "
        "one that does not, or a score"
    )


def _place_of_first(scores: NDArray[np.float64], belongs: NDArray[np.bool_]) -> int:
    """The place, from 1, of the best document that belongs."""
    order = np.argsort(-scores, kind="stable")
    return int(np.flatnonzero(belongs[order])[0]) + 1
