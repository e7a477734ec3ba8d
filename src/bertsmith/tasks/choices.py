"""Questions with endings to choose from: the examples of `choose`.

Enters: a table. Leaves: `Choices`, with as many endings as each question has, and the indices of the right ones. Knows
nothing of tokens or models.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertsmith.errors import DataError, count
from bertsmith.tables.columns import find_column, look_for_column
from bertsmith.tables.table import Table, is_missing
from bertsmith.tasks.task import Columns, Examples
from bertsmith.tasks.texts import raw_labels, texts_of_column

PROMPT_COLUMNS = ["sent1", "prompt", "context", "article", "startphrase", "question", "sentence", "text", "ctx"]
LEAD_COLUMNS = ["sent2"]  # what stands before every ending in the second text, as in SWAG
LABEL_COLUMNS = ["label", "answer", "gold", "gold_label", "target", "correct"]
LIST_COLUMNS = ["endings", "choices", "options"]
ENDING_COLUMN = re.compile(r"(?:ending|choice|option|answer)[ _-]?(\d+)", re.IGNORECASE)
LETTERS = string.ascii_uppercase  # of endings, in order


@dataclass(frozen=True)
class Choices(Examples):
    """R questions.

    prompts: what is to be continued
    leads:   what stands before every ending of a question in the second text, often nothing
    endings: two or more for each
    labels:  raw values of the label column (see `ending_index`), or ``None`` when unlabelled
    """

    prompts: list[str]
    leads: list[str]
    endings: list[list[str]]
    labels: list[Any] | None

    def __len__(self) -> int:
        return len(self.prompts)

    def shown(self, row: int) -> tuple[str, ...]:
        """The prompt and the endings."""
        return (f"{self.prompts[row]} {self.leads[row]}".strip(), *self.endings[row])


def read_choices(table: Table, columns: Columns, *, labelled: bool) -> Choices:
    """Choices of a table.

    The prompt is a column (``--text``), the endings are columns ``ending0``, ``ending1``, ... or one column of lists;
    ``--text-pair`` (in SWAG ``sent2``) is what stands before every ending. An empty ending column means that the
    question has fewer endings. A label is what `ending_index` reads. Raises `DataError` for a question with fewer than
    two endings.
    """
    prompt = find_column(table, columns.text, PROMPT_COLUMNS, "prompt", "--text")
    lead = look_for_column(table, columns.text_pair, LEAD_COLUMNS, "--text-pair")
    return Choices(
        texts_of_column(table, prompt),
        [""] * len(table) if lead is None else texts_of_column(table, lead),
        read_endings(table),
        raw_labels(table, columns.label, LABEL_COLUMNS) if labelled else None,
        where=table.where,
    )


def read_endings(table: Table) -> list[list[str]]:
    """The endings of each question: columns with a number in their name, in its order, or one column of lists."""
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
        written = ["" if is_missing(value) else str(value) for value in values]
        kept = [ending for ending in written if ending]
        if not all(written[: len(kept)]):
            raise DataError(f"{table.where(row)}: an empty ending stands before others; leave out the last ones only")
        if len(kept) < 2:
            raise DataError(f"{table.where(row)}: {count(len(kept), 'ending')}; a choice needs two or more")
        endings.append(kept)
    return endings


def ending_index(label: Any, num_endings: int, where: str) -> int:
    """The index of the right ending, from 0, of a label that is such an index or a letter: A (or a) for the first.

    Raises `DataError` for anything else, and for an ending that is not there.

    >>> ending_index("2", 4, ""), ending_index(2.0, 4, ""), ending_index(" C", 4, ""), ending_index("c", 4, "")
    (2, 2, 2, 2)
    """
    written = str(label).strip().upper()
    try:
        index = float(LETTERS.index(written)) if len(written) == 1 and written in LETTERS else float(label)
    except (TypeError, ValueError):
        index = -1.0
    if 0 <= index < num_endings and index.is_integer():
        return int(index)
    last = LETTERS[min(num_endings, len(LETTERS)) - 1]
    raise DataError(
        f"{where}: the label is {label!r}, but there are {num_endings} endings; "
        f"give the index of the right one, from 0 to {num_endings - 1}, or its letter, from A to {last}"
    )
