"""The built-in source ``pydocs``: the docstrings of the Python that runs, labelled by topic.

Enters: the sources of the running Python's standard library. Leaves: real English texts, each with the chapter of the
library reference its module belongs to; the same in the same order on every machine with the same Python. Sources are
parsed, never imported; nothing of site-packages is read. Knows nothing of tokens or models.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertsmith.errors import DataError
from bertsmith.tables.table import Table

# Chapters of the Python library reference (https://docs.python.org/3/library/), small neighbours joined, and their
# modules. A module that is only the Python half of another (_pydecimal) stands with it. One that is not here, or not in
# the running Python, gives nothing.
TOPICS: dict[str, str] = {
    "text": """
        string re sre_compile sre_parse difflib textwrap stringprep rlcompleter gettext locale codecs
        encodings
    """,
    "data types": """
        datetime _pydatetime zoneinfo calendar _strptime collections _collections_abc heapq bisect weakref
        _weakrefset types copy pprint reprlib enum graphlib
    """,
    "numbers": """
        numbers decimal _pydecimal fractions random statistics
    """,
    "files": """
        pathlib posixpath ntpath genericpath os stat io _pyio fileinput filecmp tempfile glob fnmatch
        linecache shutil
    """,
    "storage": """
        pickle copyreg shelve dbm sqlite3 gzip bz2 lzma zipfile tarfile _compression compression csv
        configparser plistlib
    """,
    "operating system": """
        logging argparse optparse getopt getpass platform ctypes curses pty tty subprocess signal
    """,
    "concurrency": """
        threading _threading_local multiprocessing concurrent asyncio sched queue contextvars
    """,
    "internet": """
        socket ssl selectors webbrowser wsgiref urllib http ftplib poplib imaplib smtplib nntplib telnetlib
        uuid socketserver xmlrpc ipaddress asyncore asynchat smtpd cgi nturl2path
    """,
    "mail and markup": """
        email json mailbox mailcap mimetypes base64 quopri html xml _markupbase netrc tomllib
    """,
    "user interface": """
        tkinter turtle cmd shlex
    """,
    "testing": """
        unittest doctest pdb bdb profile cProfile pstats timeit trace tracemalloc cgitb
    """,
    "language": """
        ast symtable token keyword tokenize tabnanny pyclbr py_compile compileall dis opcode pickletools
        typing inspect code codeop pydoc annotationlib
    """,
    "runtime": """
        sysconfig warnings dataclasses contextlib abc _py_abc atexit traceback site functools operator
        importlib _py_warnings zipimport pkgutil modulefinder runpy venv zipapp ensurepip
    """,
}

LONGEST = 400  # characters; whole paragraphs, or whole sentences of the first
FEWEST_WORDS = 5  # between spaces, each with two letters together or more
MOST_LETTERS = 0.8  # the part of a text that must be letters and spaces: less is code, syntax or a drawing
SAME = 0.7  # two texts that share this part of the shorter one's three-word runs count as one

_WORD = re.compile(r"[^\W\d_]{2,}")
_SIGNATURE = re.compile(r"([\w.]+ ?= ?)?[\w.]+ ?\(.*\)\s*([-=]+>.*)?\.?")
_NOT_PROSE = re.compile(r"^\s*(>>>|\.\. |:param|:type|:return|@param|[-=~+*#|]{4,})|^\s*[\w-]+ = ", re.MULTILINE)
_SAYS_NOTHING = re.compile(
    r"(see (the )?(base|super|parent|doc|help)|internal\b|overridden|same as|alias (of|for)|todo|xxx)", re.I
)
_MARKUP = (
    (re.compile(r":[\w:]+:`~?([^`]*)`"), r"\1"),  # :func:`name`
    (re.compile(r"`{1,2}([^`']*)(`{1,2}|')"), r"\1"),  # ``code``, `code`, `code'
    (re.compile(r"\*{1,2}([\w.]+)\*{1,2}"), r"\1"),  # *name*
)


@dataclass(frozen=True)
class Docstring:
    """One documented thing of the standard library.

    text:   the opening paragraphs of its docstring, as running text
    topic:  the chapter of the library reference
    module: ``email.message``
    name:   the qualified name in the module, ``Message.as_string``; empty for the module itself
    """

    text: str
    topic: str
    module: str
    name: str


def harvest() -> list[Docstring]:
    """The docstrings of the standard library, by topic and module, then in the order of the source.

    No two of them are nearly the same text, so that any split of them is a fair one. Raises `DataError` for a Python
    installed without its sources.
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    found = [
        Docstring(text, topic, module, name)
        for topic, modules in TOPICS.items()
        for top in modules.split()
        for module, file in _modules(folder, top)
        for name, docstring in _docstrings(file)
        if (text := opening(docstring))
    ]
    if not found:
        raise DataError(
            f"{folder}: no sources of the standard library here; install a Python that has them, or use --train"
        )
    return _distinct(found)


def as_table() -> Table:
    """The harvest as rows: columns text, label (the topic), module, name."""
    found = harvest()
    columns = {
        "text": [one.text for one in found],
        "label": [one.topic for one in found],
        "module": [one.module for one in found],
        "name": [one.name for one in found],
    }
    return Table("pydocs", columns)


SOURCES = {"pydocs": as_table}  # for `bertsmith.tables.read(path, sources=SOURCES)`


def _modules(folder: Path, top: str) -> Iterator[tuple[str, Path]]:
    """Dotted names and files of a module, or of a package and all in it but its tests."""
    if (folder / f"{top}.py").is_file():
        yield top, folder / f"{top}.py"
    for file in sorted((folder / top).rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        if not any(part in ("test", "tests", "idle_test", "_bundled", "demo", "turtledemo") for part in parts):
            yield ".".join(parts).removesuffix(".__init__"), file


def _docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """Qualified name and docstring of a module, its classes and its functions, as they stand in the source."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                yield name, ast.get_docstring(child, clean=True) or ""
                yield from walk(child, f"{name}.")
            elif isinstance(child, ast.If | ast.Try | ast.With):
                yield from walk(child, prefix)

    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:  # a template, or a file of broken code that the library's own tests need
        return
    yield "", ast.get_docstring(tree, clean=True) or ""
    yield from walk(tree, "")


def opening(docstring: str) -> str:
    """The opening paragraphs of a docstring as running text, or "" when they say too little to tell a topic by.

    Examples, lists of parameters and echoes of a signature are left out.

    >>> opening("func(a) -> int\\n\\nReturn the number\\nof ``a`` in the text.\\n\\n>>> func(1)")
    'Return the number of a in the text.'
    >>> opening("See base class.")
    ''
    """
    kept: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        lines = [line.strip() for line in block.splitlines() if not _SIGNATURE.fullmatch(line.strip())]
        paragraph = _plain(" ".join(lines))
        if _NOT_PROSE.search(block) or (kept and block.startswith("  ")):
            if kept:
                break  # what follows an example or a list belongs to it
            continue
        if kept and len(" ".join(kept)) + len(paragraph) > LONGEST:
            break
        if paragraph:
            kept.append(paragraph)
    text = _whole_sentences(" ".join(kept))
    letters = sum(character.isalpha() or character == " " for character in text)
    words = [word for word in text.split() if _WORD.search(word)]
    if len(words) < FEWEST_WORDS or letters < MOST_LETTERS * len(text) or _SAYS_NOTHING.match(text):
        return ""
    return text


def _plain(text: str) -> str:
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _whole_sentences(text: str) -> str:
    """Text up to the last end of a sentence within `LONGEST`, or cut between words where there is none."""
    if len(text) <= LONGEST:
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?= )", text[: LONGEST + 1])]
    return text[: ends[-1]] if ends else text[:LONGEST].rsplit(" ", 1)[0]


def _distinct(found: list[Docstring]) -> list[Docstring]:
    """Those whose text is not nearly that of an earlier one: fewer than `SAME` of three-word runs shared."""
    kept: list[Docstring] = []
    kept_runs: list[int] = []  # how many runs each kept text has
    holders: dict[tuple[str, ...], list[int]] = {}  # kept texts by run
    for one in found:
        runs = _runs(one.text)
        shared: dict[int, int] = {}
        for run in runs:
            for place in holders.get(run, ()):
                shared[place] = shared.get(place, 0) + 1
        if any(count >= SAME * min(len(runs), kept_runs[place]) for place, count in shared.items()):
            continue
        for run in runs:
            holders.setdefault(run, []).append(len(kept))
        kept.append(one)
        kept_runs.append(len(runs))
    return kept


def _runs(text: str) -> set[tuple[str, ...]]:
    """All runs of three words of a text, case and numbers aside.

    >>> sorted(_runs("Send a file, send a file 2."))
    [('a', 'file', 'send'), ('file', 'send', 'a'), ('send', 'a', 'file')]
    """
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
    return {tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))}
