"""Files to rows, whatever the format: the one place that chooses a reader.

Enters: a path, a ``hf://datasets/...`` address, or the name of a source that the caller passes. Leaves: a `Table`.
Knows formats by suffix, and by content where suffixes lie; knows nothing of columns' meaning.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence

import polars

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables.conll import looks_like_conll, parse_conll
from bertsmith.tables.delimited import is_tab_separated, parse_csv, parse_tsv
from bertsmith.tables.hub import HUB, fetch
from bertsmith.tables.json_rows import parse_json
from bertsmith.tables.source import decode, format_suffix, read_bytes, read_text, split_lines
from bertsmith.tables.table import Table

Sources = Mapping[str, Callable[[], Table]]  # rows that come from no file, by the name to give instead of a path

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet", ".pq")
CONLL_SUFFIXES = (".conll", ".conll03", ".bio", ".iob", ".iob2", ".bioes")
CONLL_2003_SUFFIXES = (".train", ".testa", ".testb")  # eng.train and the like


def read(
    path: str | os.PathLike[str], *, columns: Sequence[str] | None = None, sources: Sources | None = None
) -> Table:
    """The rows of a file.

    path:    CSV, TSV, JSON lines, a JSON list, SQuAD JSON, Parquet or CoNLL columns, each but Parquet also packed
             (.gz, .bz2, .xz, .zst); ``hf://datasets/owner/name/file`` for any of them; or a name in ``sources``
    columns: names for a file without a header; ``_`` leaves a column out, a last ``...`` allows further fields
    sources: what is read under a name instead of a path, such as ``bertsmith.text.pydocs.SOURCES``: this folder knows
             no source of its own, and imports none

    Raises `DataError` when there is no such file, or it is empty, or not what it seems; the message names the line.
    """
    path = os.fspath(path)
    if sources is not None and path in sources:
        _refuse_columns(path, columns, "a built-in source")
        return sources[path]()
    suffix = format_suffix(path)
    data = read_bytes(fetch(path) if path.startswith(HUB) else path)
    if suffix in PARQUET_SUFFIXES or data[:4] == b"PAR1":
        _refuse_columns(path, columns, "Parquet")
        return _parse_parquet(data, path)
    text = decode(data, path)
    if suffix in JSON_SUFFIXES:
        _refuse_columns(path, columns, "JSON")
        return parse_json(text, path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; give one with at least one row")
    return _text_parser(suffix, text, path, columns)(text, path, columns)


def read_texts(
    path: str | os.PathLike[str], *, columns: Sequence[str] | None = None, sources: Sources | None = None
) -> Table:
    """The rows of a file to predict on: as `read`, but a file that is no table (.txt or a suffix unknown) is plain
    text, one row a line in the column ``text``, empty lines among them, so that answers keep the lines' order."""
    path = os.fspath(path)
    suffix = format_suffix(path)
    known = (*JSON_SUFFIXES, *PARQUET_SUFFIXES, *CONLL_SUFFIXES, *CONLL_2003_SUFFIXES, ".tsv", ".csv", ".tab")
    if suffix in known or columns is not None or (sources is not None and path in sources):
        return read(path, columns=columns, sources=sources)
    lines = split_lines(read_text(fetch(path) if path.startswith(HUB) else path))
    if not lines:
        raise DataError(f"{path}: the file is empty; give one with at least one line of text")
    return Table(path, {"text": list(lines)}, list(range(1, len(lines) + 1)))


def _text_parser(
    suffix: str, text: str, path: str, columns: Sequence[str] | None
) -> Callable[[str, str, Sequence[str] | None], Table]:
    """The parser for a text that is no JSON, by suffix and, where suffixes lie, by content."""
    if suffix in CONLL_SUFFIXES or suffix in CONLL_2003_SUFFIXES:
        return parse_conll
    if suffix == ".csv":
        return parse_tsv if is_tab_separated(text) else parse_csv
    if looks_like_conll(text):
        return parse_conll
    if suffix in (".tsv", ".tab") or is_tab_separated(text) or columns is not None:
        return parse_tsv
    raise DataError(
        f"{path}: cannot tell its format by the suffix {suffix or '(none)'!r} and there are no tabs; call it .csv, "
        ".tsv, .jsonl, .parquet, .conll or .json (SQuAD), or name its columns with --columns"
    )


def _parse_parquet(data: bytes, path: str) -> Table:
    try:
        frame = polars.read_parquet(io.BytesIO(data))
    except (polars.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not readable as Parquet ({reason}); copy or write the file again") from None
    if frame.height == 0:
        raise DataError(f"{path}: no rows; give a file with at least one")
    return Table(path, {name: frame[name].to_list() for name in frame.columns})


def _refuse_columns(path: str, columns: Sequence[str] | None, what: str) -> None:
    if columns is not None:
        raise SettingsError(
            f"{path}: {what} names its own columns; leave --columns out, and choose with --text and --label"
        )
