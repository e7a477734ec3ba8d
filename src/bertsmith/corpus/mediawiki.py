"""MediaWiki's XML dumps to articles.

Enters: a dump (``<mediawiki>``, in any encoding that XML names), packed or not. Leaves: its articles in their order, as
paragraphs of plain text. The XML is read here; its wikitext is understood by WikiExtractor, in processes of its own:
each page goes to the next of them, and comes back from it in turn. Templates are left out, not expanded: that takes
their definitions, which are gigabytes in memory for a large wiki. Whoever wants them expanded runs WikiExtractor, and
gives what it wrote.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any
from xml.parsers import expat

from bertsmith.corpus.lines import TextFile
from bertsmith.errors import DataError

LONGEST_PAGE = 10_000_000  # characters of wikitext; MediaWiki itself allows 2 MB
MOST_PROCESSES = 8
FIRST_SAFE = (3, 1)  # earlier releases hand the argument of {{#expr:...}}, which anyone may write, to Python's eval()
INSTALL = "pip install 'bertsmith[dumps]'"

REDIRECTS = "pages that redirect"
NO_ARTICLES = "pages that are no articles (talk, templates, files, code)"
TOO_LONG = f"pages over {LONGEST_PAGE:,} characters"
NOT_UNDERSTOOD = "pages that WikiExtractor could not read"


@dataclass(frozen=True)
class Article:
    title: str
    paragraphs: list[str]


@dataclass
class Page:
    """A page as the dump has it; of several revisions, the last."""

    title: str = ""
    namespace: str = "0"  # 0 is that of articles; dumps of before 2012 do not tell
    model: str = "wikitext"
    redirects: bool = False
    text: str | None = ""  # wikitext; None where it is longer than LONGEST_PAGE

    def reason_to_drop(self) -> str | None:
        if self.namespace != "0" or self.model != "wikitext":
            return NO_ARTICLES
        if self.redirects:
            return REDIRECTS
        return TOO_LONG if self.text is None else None


def read_dump(path: str, counts: Counter[str]) -> Iterator[Article]:
    """The articles of a dump: the pages of the main namespace that do not redirect.

    A dump that ends too early gives what there is of it, and is counted, as is every page left out. Raises `DataError`
    for what is no such dump, without WikiExtractor, and when a process of it ends too early.
    """
    check_extractor()
    found: Counter[str] = Counter()  # a thread of its own counts here, pages ahead of those that leave
    with _Extractors(read_pages(TextFile(path, found))) as extractors:
        for title, answer in extractors.answers():
            if isinstance(answer, list):
                yield Article(title, answer)
            else:
                counts[answer] += 1
    counts.update(found)


def check_extractor() -> None:
    """Raise `DataError` unless WikiExtractor is installed, in a release that is safe to run on text from anyone."""
    try:
        version = importlib.metadata.version("wikiextractor")
    except importlib.metadata.PackageNotFoundError:
        raise DataError(f"WikiExtractor, which reads MediaWiki's dumps, is not installed; {INSTALL}") from None
    release = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if release < FIRST_SAFE:
        raise DataError(
            f"WikiExtractor {version} runs Python code that stands in a dump ({{{{#expr:...}}}}); "
            f"{INSTALL}, which brings a release that does not"
        )


def read_pages(file: TextFile) -> Iterator[Page]:
    """All pages of a dump, whatever they are. Raises `DataError` for what is no dump."""
    reader = _PageReader()
    try:
        for block in file.blocks():
            reader.parser.Parse(block)
            yield from reader.take()
    except expat.ExpatError as error:
        raise DataError(f"{file.path}: not the XML of a MediaWiki dump ({error}); copy or download it again") from None
    try:
        reader.parser.Parse(b"", True)
    except expat.ExpatError:  # something is still open
        file.note_cut_off()


class _PageReader:
    """The handlers of an XML parser, which gather what stands in the elements of a page."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self._pages: list[Page] = []
        self._page = Page()
        self._pieces: list[str] = []
        self._length = 0

    def take(self) -> list[Page]:
        """The pages that have ended since the last time."""
        pages, self._pages = self._pages, []
        return pages

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == "page":
            self._page = Page()
        elif name == "redirect":
            self._page.redirects = True
        self._pieces, self._length = [], 0

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length <= LONGEST_PAGE:
            self._pieces.append(text)

    def _end(self, name: str) -> None:
        text = "".join(self._pieces)
        if name == "title":
            self._page.title = text
        elif name == "ns":
            self._page.namespace = text.strip()
        elif name == "model":
            self._page.model = text.strip()
        elif name == "text":
            self._page.text = text if self._length <= LONGEST_PAGE else None
        elif name == "page":
            self._pages.append(self._page)


class _Extractors:
    """Processes of WikiExtractor, a thread that hands them pages, and their answers in the order of the pages."""

    def __init__(self, pages: Iterator[Page]) -> None:
        self._pages = pages
        self._sent: Queue[Any] = Queue(maxsize=64)  # titles; reasons to drop a page; last None, or an exception
        self._processes: list[subprocess.Popen[str]] = []
        self._complaints: list[IO[str]] = []
        self._thread = Thread(target=self._send, daemon=True)

    def __enter__(self) -> _Extractors:
        program = Path(__file__).with_name("wikitext.py")
        for _ in range(min(_num_cores(), MOST_PROCESSES)):
            self._complaints.append(tempfile.TemporaryFile("w+", errors="replace"))
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-X", "utf8", str(program)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._complaints[-1],
                    encoding="utf-8",
                )
            )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        while self._thread.is_alive():  # it may wait for a place in the queue; a pipe that broke wakes it by itself
            with suppress(Empty):
                self._sent.get(timeout=0.05)
        for process, complaints in zip(self._processes, self._complaints, strict=True):
            with suppress(OSError):  # what is still buffered for a process that is gone
                process.__exit__(None, None, None)
            complaints.close()

    def answers(self) -> Iterator[tuple[str, list[str] | str]]:
        """For each page, its title and its paragraphs, or why it is left out."""
        turns = itertools.cycle(zip(self._processes, self._complaints, strict=True))
        while (sent := self._sent.get()) is not None:
            if isinstance(sent, BaseException):
                raise sent
            title, reason = sent
            if reason is not None:
                yield title, reason
                continue
            process, complaints = next(turns)
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.endswith("\n"):
                raise DataError(_ending(process, complaints, title))
            answer = json.loads(line)
            yield title, answer if isinstance(answer, list) else NOT_UNDERSTOOD

    def _send(self) -> None:
        turns = itertools.cycle(self._processes)
        last: BaseException | None = None
        try:
            for page in self._pages:
                reason = page.reason_to_drop()
                self._sent.put((page.title, reason))
                if reason is None:
                    stream = next(turns).stdin
                    assert stream is not None
                    stream.write(json.dumps({"title": page.title, "text": page.text}) + "\n")
                    stream.flush()
        except BrokenPipeError:  # a process is gone; whoever waits for its answer will see it
            pass
        except BaseException as error:
            last = error
        self._sent.put(last)


def _num_cores() -> int:
    """Cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ending(process: subprocess.Popen[str], complaints: IO[str], title: str) -> str:
    """What to say of a process that ended before it answered."""
    status = process.wait()
    complaints.seek(0)
    lines = complaints.read().strip().splitlines() or ["it said nothing"]
    how = f"was ended by signal {-status}" if status < 0 else f"left with exit code {status}"
    return f"WikiExtractor {how} at the page {title!r} or a little before ({lines[-1]}); {INSTALL} anew, or report it"
