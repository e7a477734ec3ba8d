"""What every source of text gives: documents.

Enters: paragraphs or sentences one after another, `None` where a document ends. Leaves: `Document`, never longer than
`LONGEST_DOCUMENT`, so that memory does not grow with a file. Knows nothing of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_DOCUMENT = 1_000_000  # characters; a longer one goes on as another document
LONGEST_TEXT = 65_536  # characters of a paragraph or sentence; the longest paragraph of English Wikipedia has 20,000
CUTS = f"documents cut after {LONGEST_DOCUMENT:,} characters"

Parts = Iterator[tuple[str, str] | None]  # a text and where it stands; None where a document ends


@dataclass(frozen=True)
class Document:
    r"""Text that belongs together.

    texts: paragraphs; or sentences, where ``split``. None is empty, longer than `LONGEST_TEXT`, or has a ``\n``
    split: each text is one sentence already, as in the files that google-research/bert reads
    where: ``AA/wiki_00.bz2, line 12``, for messages
    """

    texts: list[str]
    split: bool
    where: str


def gather(parts: Parts, split: bool, counts: Counter[str]) -> Iterator[Document]:
    """Documents of (text, where it stands); None ends a document, and so does the last part.

    A document beyond `LONGEST_DOCUMENT` is cut between two texts, and the cut is counted. One without texts is left
    out.

    >>> counts = Counter()
    >>> list(gather(iter([("One.", "a, line 1"), None, None, ("Two.", "a, line 4")]), True, counts))
    [Document(texts=['One.'], split=True, where='a, line 1'), Document(texts=['Two.'], split=True, where='a, line 4')]
    """
    texts: list[str] = []
    place, length = "", 0
    for part in parts:
        if part is None:
            if texts:
                yield Document(texts, split, place)
            texts, length = [], 0
            continue
        text, where = part
        if length + len(text) > LONGEST_DOCUMENT:
            counts[CUTS] += 1
            yield Document(texts, split, place)
            texts, length = [], 0
        if not texts:
            place = where
        texts.append(text)
        length += len(text)
    if texts:
        yield Document(texts, split, place)
