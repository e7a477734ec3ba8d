"""Table: columns, rows and where they came from."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.errors import DataError
from bertsmith.tables import Table


def test_rows_become_columns_in_order_of_first_appearance() -> None:
    table = Table.from_rows([{"b": 1}, {"a": 2, "b": 3}])
    assert table.names == ["b", "a"]
    assert table.column("a") == [None, 2]
    assert len(table) == 2
    assert table.row(1) == {"b": 3, "a": 2}


def test_a_row_knows_its_line_after_selection() -> None:
    table = Table("train.tsv", {"x": ["a", "b", "c"]}, [2, 3, 5])
    picked = table.select(np.array([2, 0]))
    assert picked.column("x") == ["c", "a"]
    assert picked.where(0) == "train.tsv, line 5"


def test_without_lines_a_row_is_named_by_its_number_in_the_source() -> None:
    table = Table.from_rows([{"x": number} for number in range(9)], path="train.parquet")
    assert table.where(0) == "train.parquet, row 1"
    assert table.select([4, 7]).where(1) == "train.parquet, row 8"
    assert table.select(range(3, 9)).select(np.array([0, 5])).where(1) == "train.parquet, row 9"


def test_a_row_that_is_no_mapping_is_named() -> None:
    with pytest.raises(DataError, match=r"^rows in memory, row 2: 'ab'; give a mapping of column names to values"):
        Table.from_rows([{"x": 1}, "ab"])  # type: ignore[list-item]


def test_unknown_column_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no column 'sentense'; did you mean 'sentence'\?"):
        Table.from_rows([{"sentence": "a", "label": 1}]).column("sentense")


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="a 2, b 1"):
        Table("x", {"a": [1, 2], "b": [1]})


def test_no_rows() -> None:
    assert len(Table.from_rows([])) == 0
