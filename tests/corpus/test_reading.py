"""Reading: every document once and in order, whoever reads its file, from any place on."""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertsmith.corpus import reading, workers
from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.documents import Document
from bertsmith.corpus.reading import Place, read_blocks
from bertsmith.corpus.sources import Source
from bertsmith.corpus.workers import Workers
from bertsmith.errors import DataError
from bertsmith.text import Tokenizer

TOKENIZER = Tokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """Files of none to 11 documents: the longest is read here, the next is small for a worker but proves long."""
    monkeypatch.setattr(reading, "SMALL", 900)
    monkeypatch.setattr(reading, "BATCH", 300)
    monkeypatch.setattr(workers, "LONGEST_WHOLE", 350)
    sources = []
    for number, documents in enumerate([2, 0, 11, 1, 1, 3, 9, 0, 2]):
        path = tmp_path / f"{number}.html"
        texts = (f"This is what document {i} of file {number} says." for i in range(documents))
        path.write_text("".join(f'<doc id="1" url="" title="Title">\nTitle\n\n{text}\n</doc>\n' for text in texts))
        sources.append(Source(str(path), "wikiextractor", None))
    return sources


def blocks_of(
    sources: list[Source], start: Place, size: int, number: int = 0
) -> Iterator[tuple[list[Document], Place]]:
    with Workers(number, TOKENIZER.recipe, "auto", CleaningOptions()) as team:
        yield from read_blocks(sources, start, size, team)


def test_every_document_comes_once_and_in_order(files: list[Source]) -> None:
    blocks = list(blocks_of(files, Place(), 100))
    texts = [text for block, _ in blocks for document in block for text in document.texts]
    assert texts == [
        f"This is what document {i} of file {number} says."
        for number, documents in enumerate([2, 0, 11, 1, 1, 3, 9, 0, 2])
        for i in range(documents)
    ]
    assert all(sum(len(text) for one in block for text in one.texts) >= 100 for block, _ in blocks[:-1])
    assert blocks[-1][1] == Place(9, 0, {"titles": 29})


def test_processes_change_nothing(files: list[Source]) -> None:
    assert list(blocks_of(files, Place(), 100, 2)) == list(blocks_of(files, Place(), 100))


def test_reading_goes_on_from_the_end_of_any_block(files: list[Source]) -> None:
    blocks = list(blocks_of(files, Place(), 100))
    assert len(blocks) > 8
    for number, (_, place) in enumerate(blocks[:-1]):
        assert list(blocks_of(files, place, 100)) == blocks[number + 1 :]


def test_a_source_that_has_become_shorter_is_told(files: list[Source]) -> None:
    with pytest.raises(DataError, match=r"0\.html: has 2 documents now, and had 3 or more when this corpus was begun"):
        list(blocks_of(files, Place(0, 3), 100))


def test_no_sources_give_an_empty_block() -> None:
    assert list(blocks_of([], Place(), 100)) == [([], Place())]
