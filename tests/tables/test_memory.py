"""Rows that a program holds: dicts, data frames, and what only looks like rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.errors import DataError
from bertsmith.tables import Table
from bertsmith.tables.memory import path_or_table, rows_of

ROWS = [{"text": "a", "score": 1.5}, {"text": None, "score": 2.0}]


class PandasFrame:
    """The part of a pandas DataFrame that is asked for, with NaN for what is missing."""

    columns = ("text", "score")

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def astype(self, kind: type) -> PandasFrame:
        return self

    def notna(self) -> list[dict[str, bool]]:
        return [{name: value is not np.nan for name, value in row.items()} for row in self.rows]

    def where(self, kept: list[dict[str, bool]], other: Any) -> PandasFrame:
        rows = zip(self.rows, kept, strict=True)
        return PandasFrame([{name: row[name] if keep[name] else other for name in row} for row, keep in rows])

    def to_dict(self, orient: str = "dict") -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows


def test_paths_and_tables_stay_what_they_are() -> None:
    table = Table.from_rows(ROWS)
    assert path_or_table(table, "train") is table
    assert path_or_table(Path("a") / "b.tsv", "train") == "a/b.tsv"
    assert path_or_table("hf://x/y", "train") == "hf://x/y"


@pytest.mark.parametrize("form", [list, tuple, iter])
def test_rows_become_a_table_with_a_name(form: Any) -> None:
    table = path_or_table(form(ROWS), "train")
    assert isinstance(table, Table)
    assert table.columns == {"text": ["a", None], "score": [1.5, 2.0]}
    assert table.where(1) == "train (rows in memory), row 2"


def test_a_polars_frame_is_its_rows() -> None:
    assert rows_of(pytest.importorskip("polars").DataFrame(ROWS)) == ROWS


def test_a_pandas_frame_is_its_rows_without_nan() -> None:
    assert rows_of(PandasFrame([ROWS[0], {"text": np.nan, "score": 2.0}])) == ROWS
    answers = {"text": np.array(["x"], dtype=object), "answer_start": np.array([3])}
    nested = rows_of(PandasFrame([{"words": np.array(["a", "b"]), "answers": answers}]))
    assert nested == [{"words": ["a", "b"], "answers": {"text": ["x"], "answer_start": [3]}}]
    assert isinstance(nested[0]["words"], list)


def test_a_real_pandas_frame_is_its_rows_without_nan() -> None:
    pandas = pytest.importorskip("pandas")
    assert rows_of(pandas.DataFrame(ROWS)) == ROWS
    assert rows_of(pandas.Series(["a", "b"])) == ["a", "b"]


def test_columns_are_no_rows() -> None:
    with pytest.raises(DataError, match=r"^train \(rows in memory\), row 1: 'text'; give a mapping of column names"):
        path_or_table({"text": ["a", "b"]}, "train")  # type: ignore[arg-type]
