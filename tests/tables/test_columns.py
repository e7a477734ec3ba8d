"""Finding columns by given and usual names."""

from __future__ import annotations

import pytest

from bertsmith.errors import DataError
from bertsmith.tables import Table, find_column
from bertsmith.tables.columns import look_for_column

TABLE = Table.from_rows([{"Text": "a", "sentence": "b", "LABEL": 1}], path="x.tsv")


def test_exact_names_win_over_case_and_usual_names_have_an_order() -> None:
    assert find_column(TABLE, None, ["text", "sentence"], "text", "--text") == "sentence"
    assert find_column(TABLE, "text", ["sentence"], "text", "--text") == "Text"
    assert find_column(TABLE, None, ["label"], "label", "--label") == "LABEL"


def test_a_given_name_that_is_absent() -> None:
    with pytest.raises(DataError, match=r"x\.tsv: --text names 'sentense', .*did you mean 'sentence'\?"):
        find_column(TABLE, "sentense", ["text"], "text", "--text")
    with pytest.raises(DataError, match="--text names"):
        look_for_column(TABLE, "zzz", ["text"], "--text")


def test_no_usual_name_is_there() -> None:
    with pytest.raises(DataError, match=r"no answer column: looked for a, b among 'Text', .*; name it with --answer"):
        find_column(TABLE, None, ["a", "b"], "answer", "--answer")
    assert look_for_column(TABLE, None, ["a"], "--answer") is None


def test_a_first_row_that_is_no_header_is_shown() -> None:
    table = Table.from_rows([{"gj04": "", "1": "", "Our friends won't buy this analysis.": ""}], path="x.tsv")
    with pytest.raises(DataError, match=r"'gj04', '1'.*first line of data, name its 3 fields in order: --columns"):
        find_column(table, None, ["text"], "text", "--text")
