"""The forms that text comes in, one function each: a file to its documents.

Enters: the path of a file of the form. Leaves: `Document`s as they are read, and in ``counts`` what was left out, in
plain words. Memory grows with neither the file nor a line of it. How the form of a file is told is not known here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from typing import Any

import pyarrow
import pyarrow.parquet

from bertsmith.corpus.documents import LONGEST_TEXT, Document, Parts, gather
from bertsmith.corpus.lines import Line, TextFile, pieces
from bertsmith.corpus.mediawiki import read_dump
from bertsmith.corpus.prose import are_wrapped, is_head, join_lines, tidy_wiki
from bertsmith.errors import DataError, nearest
from bertsmith.text import pydocs

LONGEST_RECORD = 1 << 24  # characters of a line of JSON, or of a value in Parquet
LOOK = 500  # lines by which to tell whether a text is broken at a width
TEXT = "text"  # the column that is read when none is named
WIKI_COLUMNS = {"id", "url", "title", TEXT}  # of what WikiExtractor writes with --json

TITLES = "titles"
HEADS = "section heads and fragments of lists"
MARKUP = "lines of markup"
LONG_LINES = f"lines over {LONGEST_TEXT:,} characters, cut into pieces"
LONG_RECORDS = f"records over {LONGEST_RECORD:,} characters"
NO_TEXT = "documents without text"

_DOC = re.compile(r'<doc .*?title="(.*)".*>')


def read_wikiextractor(path: str, _column: str, counts: Counter[str]) -> Iterator[Document]:
    """What WikiExtractor writes: ``<doc ... title="...">``, the title, a paragraph or head a line, ``</doc>``."""

    def parts() -> Parts:
        file = TextFile(path, counts)
        inside, title, kept = False, "", 0
        outside: tuple[str, int] | None = None  # a line outside of documents, and its number
        for line in _lines(file):
            text = line.text.strip()
            if not text:
                continue
            if outside:
                break
            if text.startswith("<doc ") and (match := _DOC.fullmatch(text)):
                inside, title, kept = True, match[1], 0
                yield None
            elif text == "</doc>":
                if not kept:
                    counts[NO_TEXT] += 1
                inside = False
                yield None
            elif not inside:
                outside = text, line.number
            elif text := _of_wiki(text, "" if kept else title, counts, dotted=True):
                kept += 1
                yield text, f"{path}, line {line.number}"
        else:
            if inside or (outside and outside[0].startswith("<doc ")):
                file.note_cut_off()
                outside = None
        if outside:
            raise DataError(
                f"{path}, line {outside[1]}: text outside <doc ...> and </doc>, so this is not what WikiExtractor "
                "writes; name its form"
            )

    return gather(parts(), False, counts)


def read_mediawiki(path: str, _column: str, counts: Counter[str]) -> Iterator[Document]:
    """A dump of a wiki, through WikiExtractor."""

    def parts() -> Parts:
        for article in read_dump(path, counts):
            texts = _article(plain_text("\n".join(article.paragraphs)), "", counts, dotted=False)
            yield from _record(texts, f"{path}, page {article.title!r}", counts)

    return gather(parts(), False, counts)


def read_json(path: str, column: str, counts: Counter[str]) -> Iterator[Document]:
    """A JSON object a line: any that has its text in ``column``, or what WikiExtractor writes with ``--json``."""

    def parts() -> Parts:
        file = TextFile(path, counts)
        read, broken = 0, None
        for line in _short_lines(file):
            if broken is not None:
                raise broken
            where = f"{path}, line {line.number}"
            try:
                record = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                broken = DataError(f"{where}: not valid JSON ({error}); write one whole object a line")
                continue
            text = _value(record, column, where, needed=read == 0)
            read += 1
            if column == TEXT and record.keys() >= WIKI_COLUMNS:
                texts = _article(text, str(record["title"]), counts, dotted=True)
            else:
                texts = _free_text(text, counts)
            yield from _record(texts, where, counts)
        if broken is not None and read == 0:
            raise broken
        if broken is not None:  # the last line only, so the rest of the file is missing
            file.note_cut_off()

    return gather(parts(), False, counts)


def read_parquet(path: str, column: str, counts: Counter[str]) -> Iterator[Document]:
    """A table in Parquet, its text in ``column``, a document a row."""

    def parts() -> Parts:
        try:
            # Without these two a whole row group is read at once, which is often the whole file.
            with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
                kind = _column_kind(file.schema_arrow, column, path)
                row = 0
                for batch in file.iter_batches(batch_size=64, columns=[column]):
                    for value in batch.column(0).cast(kind):
                        row += 1
                        text = value.as_py() or ""
                        if len(text) > LONGEST_RECORD:
                            counts[LONG_RECORDS] += 1
                        else:
                            yield from _record(_free_text(text, counts), f"{path}, row {row}", counts)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not readable as Parquet ({reason}); copy or write it again") from None

    return gather(parts(), False, counts)


def read_sentences(path: str, _column: str, counts: Counter[str]) -> Iterator[Document]:
    """A sentence a line and an empty line between documents, as google-research/bert reads it."""

    def parts() -> Parts:
        for line in _lines(TextFile(path, counts)):
            text = line.text.strip()
            yield (text, f"{path}, line {line.number}") if text else None

    return gather(parts(), True, counts)


def read_paragraphs(path: str, _column: str, counts: Counter[str]) -> Iterator[Document]:
    """A paragraph a line, or several lines broken at a width, with an empty line between paragraphs. A file is one
    document."""
    lines = ((line.text, f"{path}, line {line.number}") for line in _lines(TextFile(path, counts)))
    return gather(_prose(lines, counts), False, counts)


def read_pydocs(_path: str, _column: str, counts: Counter[str]) -> Iterator[Document]:
    """The docstrings of the running Python's standard library, a document a module."""
    for module, docstrings in groupby(pydocs.harvest(), key=lambda one: one.module):
        yield from gather(((one.text, f"pydocs, module {module}") for one in docstrings), False, counts)


def _lines(file: TextFile) -> Iterator[Line]:
    """Lines of `LONGEST_TEXT`; of a longer one the pieces, and it is counted."""
    goes_on = False
    for line in file.lines(LONGEST_TEXT):
        if line.goes_on and not goes_on:
            file.counts[LONG_LINES] += 1
        goes_on = line.goes_on
        yield line


def _short_lines(file: TextFile) -> Iterator[Line]:
    """Lines of `LONGEST_RECORD` that are not empty; a longer one is counted and left out."""
    goes_on = False
    for line in file.lines(LONGEST_RECORD):
        if line.goes_on and not goes_on:
            file.counts[LONG_RECORDS] += 1
        elif not line.goes_on and not goes_on and line.text.strip():
            yield line
        goes_on = line.goes_on


def _value(record: Any, column: str, where: str, *, needed: bool) -> str:
    """The text in a record; "" where there is none, unless it is ``needed``."""
    if not isinstance(record, dict):
        raise DataError(f'{where}: a JSON {type(record).__name__} where an object is expected; write {{"text": ...}}')
    if needed and column not in record:
        raise DataError(
            f"{where}: no column {column!r} ({nearest(column, set(record))}); name that of the text with --text"
        )
    value = record.get(column) or ""
    if not isinstance(value, str):
        raise DataError(
            f"{where}: the column {column!r} holds no text but {json.dumps(value)[:40]}; name another with --text"
        )
    return plain_text(value)


def plain_text(text: str) -> str:
    """A text with the sign for an unknown character in place of lone surrogates.

    JSON can write those, and so can the character references of a wiki (``&#xD83D;``); no encoding can.
    """
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _column_kind(schema: pyarrow.Schema, column: str, path: str) -> Any:
    """The Arrow type to read a column as. Raises `DataError` unless it is there and holds text."""
    if column not in schema.names:
        raise DataError(
            f"{path}: no column {column!r} ({nearest(column, set(schema.names))}); name that of the text with --text"
        )
    kind = schema.field(column).type
    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise DataError(f"{path}: the column {column!r} holds no text but {kind}; name another with --text")
    return kind


def _record(texts: list[str], where: str, counts: Counter[str]) -> Parts:
    """A whole document as parts."""
    if not texts:
        counts[NO_TEXT] += 1
    yield from ((text, where) for text in texts)
    yield None


def _short(text: str, counts: Counter[str]) -> Iterator[str]:
    """The lines of a text in memory, those over `LONGEST_TEXT` in pieces."""
    for line in text.splitlines():
        if len(line) > LONGEST_TEXT:
            counts[LONG_LINES] += 1
        yield from pieces(line, LONGEST_TEXT)


def _free_text(text: str, counts: Counter[str]) -> list[str]:
    """The paragraphs of a text in memory."""
    return [part[0] for part in _prose(((line, "") for line in _short(text, counts)), counts) if part]


def _prose(lines: Iterator[tuple[str, str]], counts: Counter[str]) -> Parts:
    """The paragraphs of lines, each with where it stands, without heads; but all there is, if it is one paragraph."""
    look = list(islice(lines, LOOK))
    whole = ((text.strip(), where) for text, where in chain(look, lines))
    paragraphs = _joined(whole) if are_wrapped([text for text, _ in look]) else (line for line in whole if line[0])
    begin = list(islice(paragraphs, 2))
    for text, where in chain(begin, paragraphs):
        if len(begin) == 2 and is_head(text, dotted=False):
            counts[HEADS] += 1
        else:
            yield text, where


def _joined(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Lines broken at a width as paragraphs, which an empty line ends."""
    paragraph, place = "", ""
    for text, where in lines:
        if paragraph and text and len(paragraph) + len(text) < LONGEST_TEXT:
            paragraph = join_lines(paragraph, text)
            continue
        if paragraph:
            yield paragraph, place
        paragraph, place = text, where
    if paragraph:
        yield paragraph, place


def _article(text: str, title: str, counts: Counter[str], *, dotted: bool) -> list[str]:
    """The paragraphs of an article in memory."""
    texts: list[str] = []
    for line in _short(text, counts):
        if (line := line.strip()) and (kept := _of_wiki(line, "" if texts else title, counts, dotted=dotted)):
            texts.append(kept)
    return texts


def _of_wiki(line: str, title: str, counts: Counter[str], *, dotted: bool) -> str:
    """A line of an article, tidied; or "", and counted, where it is the title, a head or markup."""
    text = tidy_wiki(line)
    if title and text == tidy_wiki(title):
        counts[TITLES] += 1
    elif not text:
        counts[MARKUP] += 1
    elif is_head(text, dotted=dotted):
        counts[HEADS] += 1
    else:
        return text
    return ""


Reader = Callable[[str, str, Counter[str]], Iterator[Document]]  # path, column of the text, counts

READERS: Mapping[str, Reader] = {
    "wikiextractor": read_wikiextractor,
    "json": read_json,
    "mediawiki": read_mediawiki,
    "sentences": read_sentences,
    "paragraphs": read_paragraphs,
    "parquet": read_parquet,
    "pydocs": read_pydocs,
}
