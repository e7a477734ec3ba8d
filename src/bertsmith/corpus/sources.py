"""Where text comes from: files, folders and globs of them, and `pydocs`.

Enters: what the user named. Leaves: `Source`s in a fixed order, each of a known form: the one the user named, or the
one that the beginning of the file tells. How a form is read stands in `forms.py`.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bertsmith.corpus.documents import LONGEST_TEXT, Document
from bertsmith.corpus.forms import READERS, TEXT
from bertsmith.corpus.lines import OPENERS, TextFile
from bertsmith.corpus.prose import are_wrapped
from bertsmith.corpus.sentences import split_sentences
from bertsmith.errors import DataError, SettingsError, nearest
from bertsmith.tables.hub import HUB, fetch
from bertsmith.tables.source import format_suffix, read_bytes

Form = Literal["auto", "wikiextractor", "json", "mediawiki", "sentences", "paragraphs", "parquet", "pydocs"]

LOOK = 1 << 16  # characters at the beginning of a file, by which its form is told
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
NO_RAW_TEXT = {  # suffixes of what would be read as prose, and is none
    ".csv": "a table; write its texts as JSON, an object a line",
    ".tsv": "a table; write its texts as JSON, an object a line",
    ".html": "a web page; take the text out of it first",
    ".htm": "a web page; take the text out of it first",
}

_DUMP = re.compile(r"(<\?xml[^>]*>\s*)?<mediawiki\b")


@dataclass(frozen=True)
class Source:
    """A file, or ``pydocs``: what can be read from its start again, and gives the same.

    name: the path, or ``pydocs``
    form: never ``auto``
    text: the column of the text, where the form has columns
    """

    name: str
    form: Form
    text: str = TEXT

    @property
    def size(self) -> int:
        """Bytes as it lies on the disk; 0 for what is no file."""
        return os.path.getsize(self.name) if os.path.isfile(self.name) else 0

    def documents(self, counts: Counter[str]) -> Iterator[Document]:
        """The documents, read as they are asked for. What is left out is added to ``counts``, in plain words.

        Raises `DataError` for a file that is damaged, or not of the form.
        """
        return READERS[self.form](self.name, self.text, counts)


def find_sources(inputs: Sequence[str], *, form: Form = "auto", text: str | None = None) -> list[Source]:
    """The sources that the user means, as the inputs are ordered; in folders and globs by name. No file comes twice.

    inputs: files, folders (with all in them but hidden files), globs (``**`` for any folders), addresses of files on
            the hub (``hf://datasets/OWNER/NAME/...``), ``pydocs``
    form:   of all of them; ``auto`` tells it by the beginning of each, but of packed files that share a folder and a
            suffix only by the first, as unpacking takes time
    text:   column of the text in JSON and Parquet; ``text`` when None

    Raises `DataError` for an input that is not there, holds no file, or cannot be a source of text, `SettingsError` for
    a form or column that fits none of them.
    """
    if form not in get_args(Form):
        raise SettingsError(f"--form {form}: unknown; {nearest(form, set(get_args(Form)))}")
    sources: dict[str, Source] = {}
    forms: dict[tuple[str, str], Form] = {}
    for name in inputs:
        if name == "pydocs" and not os.path.exists(name):
            sources[name] = Source(name, "pydocs")
            continue
        if form == "pydocs":
            raise SettingsError(f"{name}: no file is of the form pydocs; give pydocs itself as --input")
        for path in _files(name):
            found = _tell_form(path, forms) if form == "auto" else form
            sources.setdefault(os.path.realpath(path), Source(path, found, text or TEXT))
    if text is not None and not any(source.form in ("json", "parquet") for source in sources.values()):
        raise SettingsError(f"--text {text}: no input has columns (JSON, Parquet); leave it out")
    return list(sources.values())


def _files(name: str) -> list[str]:
    """The files of one input, by name."""
    if name.startswith(HUB):
        return [fetch(name)]
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        found = sorted(_inside(path), key=lambda one: Path(one).parts)
        if not found:
            raise DataError(f"{name}: no files in this folder; name another")
        return found
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{name}: no ordinary file; write it to the disk first, since it is read more than once")
    if os.path.exists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(one for one in glob.glob(path, recursive=True) if os.path.isfile(one))
    if not found:
        raise DataError(f"{name}: no file has such a name; check the path")
    return found


def _inside(folder: str) -> Iterator[str]:
    """The files in a folder and in those in it, links to folders among them; names that begin with a dot left out.

    Raises `DataError` for a folder that cannot be looked into.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be looked into ({error.strerror}); name the files, or open it")

    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (os.path.join(place, name) for name in files if not name.startswith("."))
        yield from (path for path in paths if os.path.isfile(path))


def _tell_form(path: str, forms: dict[tuple[str, str], Form]) -> Form:
    """The form of a file. ``forms`` are those told of packed files before, by folder and suffix."""
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError:
        read_bytes(path)  # which raises, and says why
        raise
    if head.startswith(b"PAR1"):
        return "parquet"
    key = os.path.dirname(path), format_suffix(path)
    if any(head.startswith(magic) for magic in OPENERS):
        return forms[key] if key in forms else forms.setdefault(key, _tell_by_text(path))
    return _tell_by_text(path)


def _tell_by_text(path: str) -> Form:
    suffix = format_suffix(path)
    if suffix in NO_RAW_TEXT:
        raise DataError(f"{path}: {NO_RAW_TEXT[suffix]} (or name a --form, if that is what it is)")
    lines: list[str] = []
    length = 0
    for line in TextFile(path, Counter()).lines(LONGEST_TEXT):
        lines.append(line.text)
        length += len(line.text)
        if length > LOOK:
            break
    beginning = " ".join(lines[:50]).lstrip()
    if beginning.startswith("<doc "):
        return "wikiextractor"
    if _DUMP.match(beginning):
        return "mediawiki"
    if suffix in JSON_SUFFIXES or beginning.startswith(('{"', '{ "')):
        return "json"
    return "sentences" if _are_sentences(lines) else "paragraphs"


def _are_sentences(lines: list[str]) -> bool:
    """Whether lines hold a sentence each: nine of ten do, and they are not merely broken at a width."""
    texts = [line for line in lines if line.strip()]
    single = sum(len(split_sentences([text])) == 1 for text in texts)
    return len(texts) > 1 and single >= 0.9 * len(texts) and not are_wrapped(lines)
