"""Texts of a file, one a row, read as they are asked for.

Enters: a file of lines, of JSON objects a line, or a table. Leaves: its texts in order. Lines and JSON lines are read
in memory that does not grow with the file; tables are read whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith.corpus.lines import TextFile
from bertsmith.errors import DataError
from bertsmith.stages.options import ColumnOptions
from bertsmith.tables import Table, read_texts
from bertsmith.tables.columns import find_column
from bertsmith.tables.hub import HUB, fetch
from bertsmith.tables.json_rows import parse_object
from bertsmith.tables.source import format_suffix
from bertsmith.tasks.texts import PAIR_COLUMNS, SINGLE_COLUMNS, texts_of_column
from bertsmith.text.pydocs import SOURCES

LONGEST_LINE = 1 << 20  # characters of a line that are read; no model reads so many
BLANK = "line without text, kept as a row"
CUT_LINE = "line of which only the beginning is read"
_TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".json")
_LINES_OF_JSON = (".jsonl", ".ndjson")
_ID_COLUMNS = ("id", "_id")


TextSource = Annotated[str | Table, Parameter(accepts_keys=False, n_tokens=1, metavar="FILE")]  # an option's type


@dataclass(frozen=True)
class TextColumns:
    """Where the texts of a table stand."""

    text: str | None = None
    """Column of the texts, if it has no usual name."""
    columns: str | None = None
    """Names of the columns of a file without a header: id,text (_ leaves one out, a last ... the rest)."""

    def rows(self, source: str | Table, counts: Counter[str]) -> Iterator[Row]:
        """The rows of a file or a table, as `stream_rows` reads them."""
        return stream_rows(source, columns=ColumnOptions(self.columns).names, text=self.text, counts=counts)


@dataclass(frozen=True)
class Row:
    """A text, and its id where the file has one."""

    text: str
    id: Any = None


def name_of(source: str | Table) -> str:
    """What messages call a file or a table."""
    return source if isinstance(source, str) else source.path


def stream_rows(
    source: str | Table, *, columns: list[str] | None, text: str | None, counts: Counter[str]
) -> Iterator[Row]:
    """The rows of a file, or of a table that is in memory.

    columns: names for a table without a header
    text:    the column of the text, if it has no usual name
    counts:  takes what a person should hear of, by what one of them is

    Raises `DataError` for a file that is missing, empty or damaged, and for a row without a text.
    """
    if isinstance(source, Table):
        return _rows_of_table(source, text)
    suffix = format_suffix(source)
    if suffix in _TABLES or columns is not None or source in SOURCES:
        return _rows_of_table(read_texts(source, columns=columns, sources=SOURCES), text)
    place = fetch(source) if source.startswith(HUB) else source
    if suffix in _LINES_OF_JSON:
        return _rows_of_objects(place, text, counts)
    return _rows_of_lines(place, counts)


def _rows_of_lines(path: str, counts: Counter[str]) -> Iterator[Row]:
    empty = True
    goes_on = False
    for line in TextFile(path, counts).lines(LONGEST_LINE):
        empty = False
        if not goes_on:
            counts[BLANK] += not line.text.strip()
            counts[CUT_LINE] += line.goes_on
            yield Row(line.text)
        goes_on = line.goes_on
    if empty:
        raise DataError(f"{path}: the file is empty; give one with at least one line of text")


def _rows_of_objects(path: str, text: str | None, counts: Counter[str]) -> Iterator[Row]:
    column: str | None = None
    empty = True
    for line in TextFile(path, counts).lines(LONGEST_LINE * 64):
        if not line.text.strip():
            continue
        row = parse_object(line.text, f"{path}, line {line.number}")
        if column is None:
            column = text_column(Table(path, {name: [value] for name, value in row.items()}), text)
        value = row.get(column)
        if not isinstance(value, str):
            shown = "no text" if value is None else f"a {type(value).__name__}"
            raise DataError(f"{path}, line {line.number}: {shown} in {column!r}; give a text")
        empty = False
        yield Row(value, next((row[name] for name in _ID_COLUMNS if name in row), None))
    if empty:
        raise DataError(f"{path}: the file is empty; give one with at least one JSON object")


def _rows_of_table(table: Table, text: str | None) -> Iterator[Row]:
    ids = next((table.columns[name] for name in _ID_COLUMNS if name in table.columns), [None] * len(table))
    texts = texts_of_column(table, text_column(table, text))
    return (Row(one, identity) for one, identity in zip(texts, ids, strict=True))


def text_column(table: Table, given: str | None) -> str:
    """The column of the texts, by its usual names unless given; the only one, where there is only one."""
    if given is None and len(table.names) == 1:
        return table.names[0]
    return find_column(table, given, [*SINGLE_COLUMNS, *(one for one, _ in PAIR_COLUMNS)], "text", "--text")
