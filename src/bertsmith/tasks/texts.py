"""Single texts and pairs of texts with what is known of them: the examples of `classify` and `regress`.

Enters: a table, or what a person passes to ``predict``. Leaves: `Texts`, and their tokens. Knows nothing of labels
beyond the raw values of their column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertsmith.errors import DataError, SettingsError, nearest
from bertsmith.tables.columns import find_column
from bertsmith.tables.table import Table, is_missing
from bertsmith.tasks.task import Columns, Examples
from bertsmith.text.join import TRUNCATIONS, Truncation
from bertsmith.text.ragged import Ragged
from bertsmith.text.tokenizer import Tokenizer

SINGLE_COLUMNS = ["sentence", "text", "review", "content", "document", "comment", "tweet", "string", "#1 string"]
PAIR_COLUMNS = [
    ("sentence1", "sentence2"),
    ("question", "sentence"),
    ("premise", "hypothesis"),
    ("text_a", "text_b"),
    ("text", "text_pair"),
    ("#1 String", "#2 String"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("query", "passage"),
]


@dataclass(frozen=True)
class Texts(Examples):
    """R examples.

    texts:  the first text of each
    pairs:  the second text of each, or ``None`` when there are no second texts
    labels: raw values of the label column, or ``None`` when unlabelled
    """

    texts: list[str]
    pairs: list[str] | None
    labels: list[Any] | None

    def __len__(self) -> int:
        return len(self.texts)

    def shown(self, row: int) -> tuple[str, ...]:
        """The one text, or both."""
        return (self.texts[row],) if self.pairs is None else (self.texts[row], self.pairs[row])


def read_texts(table: Table, columns: Columns, usual_labels: Sequence[str], *, labelled: bool) -> Texts:
    """Texts of a table, single or pairs, as `text_columns` finds them.

    Raises `DataError` for a missing column and for a text that is not there.
    """
    first, second = text_columns(table, columns)
    return Texts(
        texts_of_column(table, first),
        None if second is None else texts_of_column(table, second),
        raw_labels(table, columns.label, usual_labels) if labelled else None,
        where=table.where,
    )


def raw_labels(table: Table, given: str | None, usual: Sequence[str]) -> list[Any]:
    """The values of the label column. Raises `DataError` where there is none."""
    return list(table.column(find_column(table, given, usual, "label", "--label")))


def text_columns(table: Table, columns: Columns) -> tuple[str, str | None]:
    """Names of the columns of the first and second text.

    What is given is taken, and a first text alone means single texts. When nothing is given, both columns of a usual
    pair mean pairs, unless a usual column of single texts stands beside them.
    """
    present = {name.strip().lower(): name for name in table.names}
    pairs = [(one, two) for one, two in PAIR_COLUMNS if one.lower() in present and two.lower() in present]
    if columns.text is None and pairs:
        one, two = pairs[0]
        others = [name for name in SINGLE_COLUMNS if name in present and name not in (one.lower(), two.lower())]
        if columns.text_pair is None and not others:
            return present[one.lower()], present[two.lower()]
    if columns.text_pair is None:
        singles = [*SINGLE_COLUMNS, *(one for one, _ in PAIR_COLUMNS)]
        return find_column(table, columns.text, singles, "text", "--text"), None
    firsts = [*(one for one, _ in PAIR_COLUMNS), *SINGLE_COLUMNS]
    usual = [name for name in firsts if name.lower() != columns.text_pair.lower()]
    first = find_column(table, columns.text, usual, "first text", "--text")
    seconds = [two for _, two in PAIR_COLUMNS]
    return first, find_column(table, columns.text_pair, seconds, "second text", "--text-pair")


def texts_of_column(table: Table, name: str) -> list[str]:
    """The column's values as text. Raises `DataError` for one that is missing; an empty one is a text."""
    values = table.column(name)
    for row, value in enumerate(values):
        if is_missing(value) or isinstance(value, list | dict):
            shown = "no text" if is_missing(value) else f"a {type(value).__name__}"
            raise DataError(f"{table.where(row)}: {shown} in column {name!r}; give a text")
    return [str(value) for value in values]


def texts_of_inputs(inputs: Sequence[Any]) -> Texts:
    """Unlabelled examples of strings, pairs of strings, or mappings by column name; all of one kind."""
    kinds = [_kind_of_input(one, where_of_inputs(row)) for row, one in enumerate(inputs)]
    for row, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise DataError(f"{where_of_inputs(row)}: {kind} where the first is {kinds[0]}; give all inputs alike")
    if "a mapping" in kinds:
        return read_texts(Table.from_rows(inputs, path="input"), Columns(), [], labelled=False)
    if "a pair" in kinds:
        return Texts([one for one, _ in inputs], [two for _, two in inputs], None, where=where_of_inputs)
    return Texts(list(inputs), None, None, where=where_of_inputs)


def _kind_of_input(one: Any, where: str) -> str:
    if isinstance(one, str):
        return "a text"
    if isinstance(one, Mapping):
        return "a mapping"
    if is_pair(one):
        return "a pair"
    raise DataError(f"{where}: {one!r:.60} is no text; give a text, a pair of texts, or a mapping of columns to values")


def is_pair(one: Any) -> bool:
    """Whether this is two texts."""
    return isinstance(one, list | tuple | np.ndarray) and len(one) == 2 and all(isinstance(text, str) for text in one)


def where_of_inputs(row: int) -> str:
    """Names an input that came from no file."""
    return f"input {row + 1}"


def encode_texts(
    examples: Texts, tokenizer: Tokenizer, max_length: int, pairs: bool | None, truncation: Truncation
) -> Ragged:
    """Tokens of the examples. ``pairs`` says what the task was trained on; ``None`` takes either.

    Raises `DataError` when single texts are given for pairs, or pairs for single texts.
    """
    if len(examples) and pairs is not None and pairs != (examples.pairs is not None):
        trained, given = ("pairs of texts", "single texts") if pairs else ("single texts", "pairs of texts")
        way_out = "give each its second text (--text-pair)" if pairs else "give one text each (--text)"
        raise DataError(f"{examples.where(0)}: trained on {trained}, but given {given}; {way_out}")
    return tokenizer.encode(examples.texts, examples.pairs, max_length=max_length, truncation=truncation)


def check_text_truncation(truncation: str, pairs: bool | None) -> None:
    """Raise `SettingsError` for a way to cut texts that is none, or none for single texts."""
    if truncation not in TRUNCATIONS:
        raise SettingsError(f"truncation is {truncation!r}; {nearest(truncation, TRUNCATIONS)}")
    if truncation == "only_second" and pairs is False:
        raise SettingsError("truncation 'only_second' is for pairs of texts; single texts take only_first or head_tail")


def count_empty(sequences: Ragged) -> int:
    """Sequences with a text that has no tokens: it was empty, or cleaning left nothing of it."""
    second = np.diff(np.concatenate([[0], np.cumsum(sequences.segments, dtype=np.int64)])[sequences.bounds])
    first = sequences.lengths - second
    return int(np.sum((first <= 2) | (second == 1)))  # [CLS] and [SEP], or [SEP], are there without a text
