"""Reading: sources to blocks of documents, from any place on.

Enters: sources, and a place between two of their documents. Leaves: the documents behind it, in blocks, and where each
block ends. Knows nothing of the forms of text and of tokens.

Small files are read by the workers, so that unpacking keeps all cores busy; a large one is read here, bit by bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bertsmith.corpus.documents import Document
from bertsmith.corpus.sources import Source
from bertsmith.corpus.workers import Workers
from bertsmith.errors import DataError, count

SMALL = 2**22  # bytes of a file, as it lies on the disk, that a worker reads
BATCH = 2**20  # bytes of small files that a worker reads at a time


@dataclass(frozen=True)
class Place:
    """A place in the sources, between two documents.

    source:    the source that the next document is in
    documents: how many of it lie before this place
    dropped:   what was dropped of the sources before it, by plain words
    """

    source: int = 0
    documents: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


def read_blocks(
    sources: Sequence[Source], start: Place, size: int, workers: Workers
) -> Iterator[tuple[list[Document], Place]]:
    """The documents from ``start`` on, in blocks of ``size`` characters or somewhat more, and where each ends.

    The last block may be empty; it ends behind the last source. Raises `DataError` for a source that has become shorter
    than ``start`` says.
    """
    dropped = Counter(start.dropped)
    block: list[Document] = []
    characters = 0
    for index, documents, counts in _read(sources, start.source, workers):
        skipped = start.documents if index == start.source else 0
        number = 0
        for number, document in enumerate(documents, 1):
            if number <= skipped:
                continue
            block.append(document)
            characters += sum(map(len, document.texts))
            if characters >= size:
                yield block, Place(index, number, dict(dropped))
                block, characters = [], 0
        if number < skipped:
            raise DataError(
                f"{sources[index].name}: has {count(number, 'document')} now, and had {skipped:,} or more when this "
                f"corpus was begun; start anew with --overwrite"
            )
        dropped += counts
    yield block, Place(len(sources), 0, dict(dropped))


def _read(
    sources: Sequence[Source], start: int, workers: Workers
) -> Iterator[tuple[int, Iterable[Document], Counter[str]]]:
    """From the source of this index on: index, documents, and what is dropped, complete when the documents are read."""
    for found, batch in workers.read(_batches(sources, start)):
        for index, whole in zip(batch, found or [None], strict=True):
            if whole is None:
                counts: Counter[str] = Counter()
                yield index, sources[index].documents(counts), counts
            else:
                yield index, *whole


def _batches(sources: Sequence[Source], start: int) -> Iterator[tuple[list[Source], list[int]]]:
    """Small sources to be read together, and their indices; a large one comes alone, with nothing to be read."""
    batch: list[int] = []
    total = 0
    for index in range(start, len(sources)):
        size = _size(sources[index])
        if batch and total + size > BATCH:
            yield [sources[i] for i in batch], batch
            batch, total = [], 0
        if size > SMALL:
            yield [], [index]
        else:
            batch.append(index)
            total += size
    if batch:
        yield [sources[i] for i in batch], batch


def _size(source: Source) -> int:
    """Bytes of a source on the disk; a dump, which has processes of its own, counts as large, and so does no file."""
    return SMALL + 1 if source.form in ("mediawiki", "pydocs") else source.size
