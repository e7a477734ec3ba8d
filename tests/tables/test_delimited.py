"""CSV against the csv module and polars, TSV against joining; ragged and odd files."""

from __future__ import annotations

import csv
import io
from typing import Literal

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables.delimited import check_names, is_tab_separated, parse_csv, parse_tsv

ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\r\n"), max_size=8)


@given(st.lists(st.tuples(ANY, ANY, ANY), min_size=1), st.sampled_from(["\n", "\r\n"]))
def test_csv_reads_back_what_the_csv_module_writes(rows: list[tuple[str, str, str]], end: str) -> None:
    buffer = io.StringIO(newline="")
    # Before Python 3.13 the writer leaves a carriage return bare unless it is part of the line's end.
    quoting: Literal[0, 1] = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    csv.writer(buffer, lineterminator=end, quoting=quoting).writerows([("a", "b", "c"), *rows])
    table = parse_csv(buffer.getvalue(), "x.csv")
    assert list(zip(*table.columns.values(), strict=True)) == rows


@given(st.lists(st.tuples(PLAIN, PLAIN), min_size=1), st.sampled_from(["\n", "\r\n"]))
def test_tsv_takes_every_character_literally(rows: list[tuple[str, str]], end: str) -> None:
    text = "".join("\t".join(row) + end for row in [("a", "b"), *rows])
    table = parse_tsv(text, "x.tsv")
    assert list(zip(*table.columns.values(), strict=True)) == rows
    assert table.lines == list(range(2, len(rows) + 2))


def test_csv_agrees_with_polars() -> None:
    text = 'text,label\n"a, ""b""\nc",1\nplain,2\n"",3\n'
    ours = parse_csv(text, "x.csv")
    frame = polars.read_csv(io.BytesIO(text.encode()), infer_schema=False, empty_string_is_null=False)
    assert ours.columns == frame.to_dict(as_series=False)
    assert ours.lines == [2, 4, 5]


def test_lone_carriage_returns() -> None:
    assert parse_tsv("a\tb\nx\ry\tz\n", "x").column("a") == ["x\ry"]
    assert parse_csv('a,b\n"x\ry",z\n', "x").column("a") == ["x\ry"]
    assert parse_csv("a,b\rx,y\r", "x").columns == {"a": ["x"], "b": ["y"]}
    with pytest.raises(DataError, match="x, line 2: not valid CSV"):
        parse_csv("a,b\nx\ry,z\n", "x")


def test_a_quote_never_closed_names_the_line_it_opens() -> None:
    with pytest.raises(DataError, match="x, line 3: not valid CSV"):
        parse_csv('a,b\n1,2\n"open,2\n3,4\n', "x")


def test_fields_longer_than_the_csv_modules_limit_and_the_limit_is_left_alone() -> None:
    before = csv.field_size_limit()
    long = "x" * (before + 10)
    assert parse_csv(f"a,b\n{long},1\n", "x").column("a") == [long]
    assert csv.field_size_limit() == before


def test_ragged_rows_name_line_and_counts() -> None:
    with pytest.raises(DataError, match=r"x, line 3: 1 fields where 2 fields \(a, b\) are expected; .*--columns"):
        parse_tsv("a\tb\n1\t2\n3\n", "x")
    with pytest.raises(DataError, match=r"line 2: 3 fields where 2 fields .*end --columns with ,\.\.\."):
        parse_tsv("1\t2\n1\t2\t3\n", "x", ["a", "b"])
    with pytest.raises(DataError, match="line 1: 1 fields where 2 or more fields"):
        parse_tsv("1\n", "x", ["a", "b", "..."])


def test_names_skip_fields_and_allow_more() -> None:
    table = parse_tsv("1\t2\t3\n4\t5\t6\t7\n", "x", ["a", "_", "b", "..."])
    assert table.columns == {"a": ["1", "4"], "b": ["3", "6"]}
    assert table.lines == [1, 2]


@pytest.mark.parametrize("columns", [[], ["_"], ["..."], ["a", ""], ["a", "...", "b"], ["a", "a"]])
def test_useless_names_are_refused(columns: list[str]) -> None:
    with pytest.raises(SettingsError, match="--columns"):
        check_names(columns)


def test_empty_lines_are_skipped_unless_a_row_may_be_empty() -> None:
    assert parse_tsv("a\tb\n\n1\t2\n\n\n", "x").lines == [3]
    assert parse_tsv("a\n1\n\n2\n", "x").columns == {"a": ["1", "", "2"]}


def test_headers() -> None:
    assert parse_tsv("\tb\n1\t2\n", "x").names == ["column 1", "b"]
    with pytest.raises(DataError, match="two columns are called 'a'"):
        parse_tsv("a\ta\n1\t2\n", "x")
    with pytest.raises(DataError, match="a header and no rows"):
        parse_tsv("a\tb\n", "x")


def test_tabs_are_told_from_commas() -> None:
    assert is_tab_separated("a, b\tc\nd\te\n\n")
    assert not is_tab_separated("a,b\nc\td,e\n")
    assert not is_tab_separated("")
