"""CSV and TSV: lines of fields.

Enters: the text of a file. Leaves: a `Table` whose values are all strings, exactly as written. Tab-separated text has
no quoting: a quote is a character like any other, as GLUE, MRPC and STS-B write it. Comma-separated text is quoted as
RFC 4180 says. Does not know what a column means.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables.source import split_lines
from bertsmith.tables.table import Table

SKIP = "_"  # a name for columns to leave out
REST = "..."  # as the last name: further fields may follow, and are left out

Row = tuple[int, list[str]]  # the 1-based line on which it starts, and its fields


def is_tab_separated(text: str, sample: int = 20) -> bool:
    """Whether each of the first lines that are not empty holds a tab, whatever the file is called."""
    head = text[: 1 << 16]
    lines = [line for line in split_lines(head) if line.strip()][:sample]
    if len(head) < len(text) and len(lines) > 1:
        del lines[-1]  # it may be cut
    return bool(lines) and all("\t" in line for line in lines)


def parse_tsv(text: str, path: str, columns: Sequence[str] | None = None) -> Table:
    """Tab-separated text as a table. See `_table` for ``columns`` and errors."""
    return _table(_tsv_rows(text), path, columns, "tab")


def parse_csv(text: str, path: str, columns: Sequence[str] | None = None) -> Table:
    """Comma-separated text (RFC 4180) as a table. See `_table` for ``columns`` and errors."""
    return _table(_csv_rows(text, path), path, columns, "comma")


def _tsv_rows(text: str) -> Iterator[Row]:
    return ((number, line.split("\t")) for number, line in enumerate(split_lines(text), start=1))


def _csv_rows(text: str, path: str) -> Iterator[Row]:
    if "\n" not in text:
        text = text.replace("\r", "\n")
    # Not str.splitlines: it would break a quoted field at a Unicode line separator and lose count of lines.
    reader = csv.reader((line + "\n" for line in text.removesuffix("\n").split("\n")), strict=True)
    start = 1
    # The module's limit on the length of a field is one number for the whole process: lift it and put it back.
    limit = csv.field_size_limit(len(text) + 1)
    try:
        for fields in reader:
            yield start, fields or [""]
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {start}: not valid CSV ({error}); put fields that hold commas, quotes or line ends in "
            "double quotes and double the quotes inside, or save the file as .tsv"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _table(rows: Iterator[Row], path: str, columns: Sequence[str] | None, separator: str) -> Table:
    """Rows under names: those of the first row, or ``columns`` for a file without a header.

    In ``columns``, ``_`` leaves a field out, and a last ``...`` lets rows have further fields. Empty lines are skipped
    in tables of more than one column. Raises `DataError` for an empty file, a row with another number of fields than
    names, and a header that names a column twice.
    """
    if columns is None:
        header_line, header = next(((line, row) for line, row in rows if row != [""]), (0, []))
        if not header:
            raise DataError(f"{path}: the file is empty; give one with a header and at least one row")
        names, more = _header_names(header, path, header_line), False
    else:
        names, more = check_names(columns)
    width = len(names)
    lines: list[int] = []
    kept: list[list[str]] = []
    for line, fields in rows:
        if fields == [""] and width > 1:
            continue
        if len(fields) != width and not (more and len(fields) > width):
            raise _ragged(path, line, fields, names, more, separator, columns is None)
        lines.append(line)
        kept.append(fields)
    if not kept:
        what = "the file is empty" if columns is not None else "a header and no rows"
        raise DataError(f"{path}: {what}; give a file with at least one row")
    by_name = {name: [fields[place] for fields in kept] for place, name in enumerate(names) if name != SKIP}
    return Table(path, by_name, lines)


def check_names(columns: Sequence[str]) -> tuple[list[str], bool]:
    """The names a user gave for a file without a header, and whether further fields may follow (a last ``...``).

    Raises `SettingsError` for a name given twice, an empty one, or nothing but ``_``.
    """
    names = [name.strip() for name in columns]
    more = bool(names) and names[-1] == REST
    if more:
        del names[-1]
    real = [name for name in names if name != SKIP]
    twice = next((name for name in real if real.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"--columns: {twice!r} is given twice; name each column once, or _ to leave one out")
    if not real or "" in real or REST in real:
        raise SettingsError(
            f"--columns: cannot use {','.join(columns)!r}; write names with commas between, _ to leave a column out, "
            "... at the end alone"
        )
    return names, more


def _header_names(header: list[str], path: str, line: int) -> list[str]:
    """A header's names; one without a name is called by its place. Raises `DataError` for a name that comes twice."""
    names = [name.strip() or f"column {place}" for place, name in enumerate(header, start=1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{path}, line {line}: two columns are called {twice!r}; rename one, or if this line is data and not a "
            "header, name the columns with --columns"
        )
    return names


def _ragged(
    path: str, line: int, fields: list[str], names: list[str], more: bool, separator: str, has_header: bool
) -> DataError:
    expected = f"{len(names)}{' or more' if more else ''} fields ({', '.join(itertools.islice(names, 8))})"
    if has_header:
        way_out = (
            f"mend the line (a {separator} inside a text?), or if the first line is data and not a header, name the "
            "columns with --columns (a last ... allows further fields)"
        )
    elif len(fields) > len(names):
        way_out = f"mend the line (a {separator} inside a text?), or end --columns with ,... to allow further fields"
    else:
        way_out = f"mend the line (a {separator} or a line end too many?), or give fewer names to --columns"
    return DataError(f"{path}, line {line}: {len(fields)} fields where {expected} are expected; {way_out}")
