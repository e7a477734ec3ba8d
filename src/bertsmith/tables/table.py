"""Rows of a file, by named columns, each row knowing where it came from.

Enters: columns or rows as Python values. Leaves: a `Table`. Knows nothing of file formats or of what a column means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import DataError, nearest


def is_missing(value: Any) -> bool:
    """Whether a value is none at all: None, or the NaN that data frames have in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class Table:
    """R rows in named columns.

    path:    where the rows came from, as the user named it; used in messages
    columns: by name, in the file's order, one list of R values each
    lines:   the 1-based line of the source on which each row starts, or ``None`` where lines mean nothing (Parquet,
             rows made in memory)
    rows:    the 0-based row of the source that each row was; ``None`` for all of them in their order
    """

    path: str
    columns: dict[str, list[Any]] = field(repr=False)
    lines: list[int] | None = field(default=None, repr=False)
    rows: list[int] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        lengths |= {
            name: len(numbers)
            for name, numbers in (("line numbers", self.lines), ("row numbers", self.rows))
            if numbers is not None
        }
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"{self.path}: columns of different lengths ({shown}); give one value for every row")

    @staticmethod
    def from_rows(rows: Sequence[Mapping[str, Any]], path: str = "rows in memory") -> Table:
        """A table of rows given as mappings. Columns keep the order of first appearance; what a row lacks is None.

        Raises `DataError` for a row that is no mapping.

        >>> Table.from_rows([{"text": "a", "label": 1}, {"text": "b"}]).column("label")
        [1, None]
        """
        for place, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise DataError(f"{path}, row {place}: {row!r:.60}; give a mapping of column names to values")
        names = dict.fromkeys(name for row in rows for name in row)
        return Table(path, {name: [row.get(name) for row in rows] for name in names})

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.columns)

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str) -> list[Any]:
        """The values of one column, one a row. Raises `DataError` for a name that is not there."""
        try:
            return self.columns[name]
        except KeyError:
            raise DataError(f"{self.path}: no column {name!r}; {nearest(name, self.names)}") from None

    def where(self, row: int) -> str:
        """Where a row came from, for messages: ``train.tsv, line 12``, or ``train.parquet, row 12`` (both from 1)."""
        if self.lines is not None:
            return f"{self.path}, line {self.lines[row]}"
        return f"{self.path}, row {(row if self.rows is None else self.rows[row]) + 1}"

    def row(self, row: int) -> dict[str, Any]:
        """One row by column name."""
        return {name: values[row] for name, values in self.columns.items()}

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Table:
        """The named rows, in the order named; each still knows where it came from."""
        picked = [int(row) for row in rows]
        return Table(
            self.path,
            {name: [values[row] for row in picked] for name, values in self.columns.items()},
            None if self.lines is None else [self.lines[row] for row in picked],
            picked if self.rows is None else [self.rows[row] for row in picked],
        )
