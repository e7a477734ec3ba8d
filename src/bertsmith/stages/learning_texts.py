"""The text that a vocabulary is learnt from, and a little that is held out.

Enters: sources of documents. Leaves: their texts, as often as they are asked for. Knows nothing of vocabularies.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from zlib import crc32

from bertsmith.corpus.sources import Source
from bertsmith.report.bar import Bar
from bertsmith.report.words import format_duration

MEGABYTE = 1_000_000
HELD_OUT = 2 * MEGABYTE  # bytes held out at most
HELD_OUT_EVERY = 100  # of as many documents one is held out, by the checksum of its text
READING = 0.45  # share of the time that each of the two readings takes


class LearningTexts:
    """The documents of the sources as texts to learn from, each time anew; and those that are held out.

    limit: bytes of text to stop after. Sources come in an order shuffled by a fixed seed, so that a part of many files
           is a mixture of them.
    bar:   where reading is told

    After a reading: ``documents`` and ``megabytes`` read, ``held_out`` the texts set apart, ``counts`` of what the
    reader left out or changed, ``stopped`` if there is more text.
    """

    def __init__(self, sources: Sequence[Source], limit: int, bar: Bar) -> None:
        self._sources = list(sources)
        random.Random(0).shuffle(self._sources)
        self._limit, self._bar = limit, bar
        self._readings = 0

    def __iter__(self) -> Iterator[str]:
        self._readings += 1
        self.documents, self.megabytes, self.stopped = 0, 0.0, False
        self.held_out: list[str] = []
        self.counts: Counter[str] = Counter()
        read = held = told = 0
        for place, source in enumerate(self._sources):
            for document in source.documents(self.counts):
                if read >= self._limit:
                    self.stopped = True
                    return
                text = "\n".join(document.texts)
                data = text.encode(errors="replace")
                if self.documents and held < HELD_OUT and crc32(data) % HELD_OUT_EVERY == 0:
                    self.held_out.append(text)
                    held += len(data)
                    continue
                yield from document.texts  # one by one: the learner takes up hundreds at a time
                read += len(data)
                self.documents += 1
                self.megabytes = read / MEGABYTE
                if self.megabytes >= told:
                    told = int(self.megabytes) + 1
                    self._tell(max(place / len(self._sources), read / self._limit))

    def _tell(self, share: float) -> None:
        facts = {
            "doing": "counting characters" if self._readings == 1 else "counting words",
            "text": f"{self.megabytes:,.0f} MB",
            "elapsed": format_duration(self._bar.elapsed),
        }
        self._bar.show(READING * (self._readings - 1 + min(share, 1)), facts)
