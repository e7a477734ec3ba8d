"""CoNLL columns: one word a line, an empty line after each sentence.

Enters: the text of a file. Leaves: a `Table` of one row a sentence, each value a list with one item a word. Tags are
passed on as written (IOB1, BIO or BIOES): what they mean is for the task to know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertsmith.errors import DataError
from bertsmith.tables.delimited import SKIP, check_names
from bertsmith.tables.source import split_lines
from bertsmith.tables.table import Table

USUAL_NAMES = {
    2: ["words", "tags"],
    3: ["words", "pos", "tags"],
    4: ["words", "pos", "chunk", "entity"],
}

DOCUMENT_START = "-DOCSTART-"

_TAG = re.compile(r"O|[BIESLUM]-\S+")


def looks_like_conll(text: str) -> bool:
    """Whether text is made of CoNLL columns: it opens with -DOCSTART-, or its first lines all have the same number of
    columns, two or more, end in a tag, and an empty line stands between some of them."""
    head = text[: 1 << 16]
    lines = split_lines(head)
    if len(head) < len(text):
        del lines[-1]  # it may be cut
    if lines and lines[0].startswith(DOCUMENT_START):
        return True
    rows = [_fields(line) for line in lines if line.strip()]
    return (
        len(rows) > 1
        and len({len(row) for row in rows}) == 1
        and len(rows[0]) > 1
        and all(_TAG.fullmatch(row[-1]) for row in rows)
        and any(not line.strip() for line in lines[:-1])
    )


def parse_conll(text: str, path: str, columns: Sequence[str] | None = None) -> Table:
    """CoNLL columns as a table of sentences, -DOCSTART- lines left out.

    Columns are called words, tags (of 2), words, pos, tags (of 3) or words, pos, chunk, entity (of 4), or as
    ``columns`` says (``_`` leaves one out, a last ``...`` allows further ones). Raises `DataError` for an empty file
    and for a line with another number of columns than the first.
    """
    names, more = (None, False) if columns is None else check_names(columns)
    sentences: list[list[list[str]]] = []
    lines: list[int] = []
    inside = False
    for number, line in enumerate(split_lines(text), start=1):
        fields = _fields(line)
        if not fields or fields[0] == DOCUMENT_START:
            inside = False
            continue
        if names is None:
            names = _usual_names(len(fields), path, number)
        if len(fields) != len(names) and not (more and len(fields) > len(names)):
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns where {len(names)} ({', '.join(names)}) are expected; "
                "mend the line, or name the columns with --columns"
            )
        if not inside:
            sentences.append([])
            lines.append(number)
            inside = True
        sentences[-1].append(fields)
    if names is None or not sentences:
        raise DataError(f"{path}: no sentences; give a file with one word and its tag a line")
    by_name: dict[str, list[list[str]]] = {
        name: [[fields[place] for fields in sentence] for sentence in sentences]
        for place, name in enumerate(names)
        if name != SKIP
    }
    return Table(path, by_name, lines)


def _fields(line: str) -> list[str]:
    """Fields of a line: between tabs where it has any, else between spaces. None in an empty line."""
    if not line.strip():
        return []
    if "\t" in line:
        return [field.strip() for field in line.split("\t")]
    return [field for field in line.split(" ") if field]


def _usual_names(count: int, path: str, line: int) -> list[str]:
    if count not in USUAL_NAMES:
        raise DataError(
            f"{path}, line {line}: {count} columns, and usual names are known for 2, 3 and 4 only; name them with "
            "--columns words,_,tags (_ leaves one out)"
        )
    return USUAL_NAMES[count]
