"""Groups of texts that belong together: the examples of `embed` and `rerank`.

Enters: a table, or what a person passes to ``predict``. Leaves: `Groups`: single texts, pairs with or without what is
known of them, or anchors with a positive and hard negatives. Knows nothing of tokens or models.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.tables.columns import look_for_column
from bertsmith.tables.table import Table, is_missing
from bertsmith.tasks.classify import LABEL_COLUMNS
from bertsmith.tasks.regress import SCORE_COLUMNS
from bertsmith.tasks.task import Columns, Examples
from bertsmith.tasks.texts import text_columns, texts_of_column, texts_of_inputs

ANCHOR_COLUMNS = ["anchor", "query", "question", "sent0", "sentence1"]
POSITIVE_COLUMNS = ["positive", "pos", "answer", "document", "sent1"]
NEGATIVE_COLUMNS = ["negative", "neg", "hard_neg"]  # and negative_1, negative_2, ...


@dataclass(frozen=True)
class Groups(Examples):
    """R groups of K texts.

    texts:  K lists of R texts: the first (or only) of each group, the second, ...
    labels: raw values of the label or score column, or ``None`` when there is none
    """

    texts: list[list[str]]
    labels: list[Any] | None

    def __len__(self) -> int:
        return len(self.texts[0])

    @property
    def groups(self) -> Sequence[Hashable] | None:
        """The first text: what is asked of it belongs on one side of a split."""
        return self.texts[0] if len(self.texts) > 1 else None

    def shown(self, row: int) -> tuple[str, ...]:
        """The texts of one group."""
        return tuple(column[row] for column in self.texts)


def read_groups(table: Table, columns: Columns, *, labelled: bool) -> Groups:
    """Groups of a table.

    Columns anchor and positive, maybe with negatives (``negative``, or ``negative_1``, ``negative_2``, ...); else
    the columns of a pair or of single texts, with their score or label where there is one. Raises `DataError` for a
    text that is not there.
    """
    named = columns.text is not None or columns.text_pair is not None
    anchor = None if named else look_for_column(table, None, ANCHOR_COLUMNS, "--text")
    positive = None if named else look_for_column(table, None, POSITIVE_COLUMNS, "--text-pair")
    if anchor is not None and positive is not None:
        names = [anchor, positive, *_negatives(table)]
    else:
        first, second = text_columns(table, columns)
        names = [first] if second is None else [first, second]
    label = look_for_column(table, columns.label, [*SCORE_COLUMNS, *LABEL_COLUMNS], "--label")
    wanted = labelled and len(names) == 2 and label is not None
    return Groups(
        [texts_of_column(table, name) for name in names],
        list(table.column(label)) if wanted and label is not None else None,
        where=table.where,
    )


def groups_of_inputs(inputs: Sequence[Any]) -> Groups:
    """Unlabelled groups of texts, pairs of texts, or mappings by column name."""
    texts = texts_of_inputs(inputs)
    return Groups([texts.texts] if texts.pairs is None else [texts.texts, texts.pairs], None, where=texts.where)


def numbers_of(labels: Sequence[Any]) -> NDArray[np.float32] | None:
    """Labels as finite numbers, or ``None`` where one is none."""
    try:
        numbers = np.array([math.nan if is_missing(label) else float(label) for label in labels], dtype=np.float32)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _negatives(table: Table) -> list[str]:
    """The columns of hard negatives, in their order."""
    return [name for name in table.names if name.strip().lower().rstrip("0123456789").rstrip("_- ") in NEGATIVE_COLUMNS]
