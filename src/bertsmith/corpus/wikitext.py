"""Wikitext to paragraphs by WikiExtractor: a program, which `mediawiki.py` runs in processes of its own.

Enters: on standard input, a page a line, ``{"title": ..., "text": ...}``. Leaves: on standard output, in the same
order, a line for each page: the list of its paragraphs, or ``{"error": ...}``. A page that takes longer or more memory
than any real one does is given up, not waited for. Imports nothing of bertsmith, so that it starts at once.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any
from xml.sax.saxutils import escape

LONGEST_WORK = 10.0  # seconds of processor time on one page; the longest articles of Wikipedia take less than one
MOST_MEMORY = 1 << 30  # bytes of address space
TODAY = time.gmtime(1_577_836_800)  # 1 January 2020, for {{CURRENTYEAR}} and its like: else each day gives another text


class GivenUp(BaseException):
    """A page takes too long. No `Exception`: WikiExtractor catches those where it computes."""


class Limit:
    """What is done within takes no more than `LONGEST_WORK`, or `GivenUp` is raised there, again and again."""

    def __init__(self) -> None:
        self.passed = False  # even where someone catches what is raised

    def __enter__(self) -> None:
        signal.signal(signal.SIGVTALRM, self._pass)
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_WORK, 0.1)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _pass(self, _signal: int, _frame: FrameType | None) -> None:
        self.passed = True
        raise GivenUp


def paragraphs(page: dict[str, str]) -> list[str]:
    """The paragraphs of a page: no title, section heads, lists or tables. Templates are left out, not expanded."""
    from wikiextractor.extract import Extractor

    extractor = Extractor(0, 0, "", page["title"], [], keepSections=False)
    # It expects the text as it stands in the dump, where markup characters are escaped.
    text = escape(page["text"], {'"': "&quot;"})
    found: list[str] = extractor.clean_text(text, html_safe=False)
    return found


def answer(line: str) -> Any:
    """The paragraphs of the page in a line of JSON, or what went wrong."""
    limit = Limit()
    try:
        with limit:
            found = paragraphs(json.loads(line))
    except (Exception, GivenUp) as error:  # whatever one page does to it, the next ones are still wanted
        return {"error": repr(error)}
    return {"error": "took too long"} if limit.passed else found


def main() -> None:
    with suppress(OSError, ValueError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever reads the answers, who then ends this process
    date = time.strftime
    time.strftime = lambda form, *_: date(form, TODAY)
    paragraphs({"title": "", "text": ""})  # raises here and now if WikiExtractor is missing, or no longer works so
    for line in sys.stdin:
        print(json.dumps(answer(line)), flush=True)


if __name__ == "__main__":
    main()
