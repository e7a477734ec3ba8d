"""Sentences as words, with or without tags: the examples of `tag`.

Enters: a table with lists of words, or raw texts, which are parted here. Leaves: `Sentences`. Knows nothing of
tokens or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bertsmith.errors import DataError, count
from bertsmith.tables.columns import find_column
from bertsmith.tables.table import Table
from bertsmith.tasks.labels import label_name
from bertsmith.tasks.task import Columns, Examples
from bertsmith.text.unicode_tables import IDEOGRAPHS, PUNCTUATION

WORD_COLUMNS = ["words", "tokens", "word", "token", "text", "sentence"]
TAG_COLUMNS = ["entity", "tags", "ner_tags", "ner", "labels", "label", "tag"]

INSIDE_WORDS = "'’.-"  # part no word when letters or digits stand on both sides: don't, U.S, 3.5, co-operate


@dataclass(frozen=True)
class Sentences(Examples):
    """R sentences.

    words:  of each sentence
    tags:   of each sentence, one a word, as written; ``None`` when unlabelled
    texts:  the text that each sentence was, ``None`` for sentences that came as words
    places: first character and character after the last of each word in its text, none for sentences that came as words
    """

    words: list[list[str]]
    tags: list[list[str]] | None
    texts: list[str | None]
    places: list[list[tuple[int, int]]]

    def __len__(self) -> int:
        return len(self.words)

    def shown(self, row: int) -> tuple[str, ...]:
        """The sentence as one text."""
        text = self.texts[row]
        return (" ".join(self.words[row]) if text is None else text,)


def read_sentences(table: Table, columns: Columns, *, labelled: bool) -> Sentences:
    """Sentences of a table.

    A word column holds lists of words, or texts, which `split_words` parts unless tags come with them: then the words
    are what stands between spaces. Tags are lists, or text parted by spaces. Raises `DataError` where their counts
    differ.
    """
    values = table.column(find_column(table, columns.text, WORD_COLUMNS, "word", "--text"))
    if not labelled:
        return sentences_of(values, table.where)
    name = find_column(table, columns.label, TAG_COLUMNS, "tag", "--label")
    words = [_listed(value, table.where(row), "words") for row, value in enumerate(values)]
    tags = []
    for row, value in enumerate(table.column(name)):
        found = [label_name(tag, table.where(row)) for tag in _listed(value, table.where(row), "tags")]
        if len(found) != len(words[row]):
            counts = f"{count(len(words[row]), 'word')} but {count(len(found), 'tag')} in column {name!r}"
            raise DataError(f"{table.where(row)}: {counts}; give one tag a word")
        tags.append(found)
    return Sentences(words, tags, [None] * len(words), [[] for _ in words], where=table.where)


def sentences_of(values: Sequence[Any], where: Callable[[int], str]) -> Sentences:
    """Unlabelled sentences of texts and of lists of words, in any mixture."""
    words: list[list[str]] = []
    texts: list[str | None] = []
    places: list[list[tuple[int, int]]] = []
    for row, value in enumerate(values):
        if isinstance(value, str):
            found = split_words(value)
            words.append([value[first:end] for first, end in found])
            texts.append(value)
            places.append(found)
        else:
            words.append(_listed(value, where(row), "words"))
            texts.append(None)
            places.append([])
    return Sentences(words, None, texts, places, where=where)


def split_words(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end, in characters.

    Words stand between spaces; punctuation characters and ideographs are words by themselves.

    >>> text = "He isn't in St. Ives (UK)."
    >>> [text[first:end] for first, end in split_words(text)]
    ['He', "isn't", 'in', 'St', '.', 'Ives', '(', 'UK', ')', '.']
    """
    in_run = [not (char.isspace() or char in PUNCTUATION or char in IDEOGRAPHS) for char in text]
    for place in range(1, len(text) - 1):
        if text[place] in INSIDE_WORDS and in_run[place - 1] and in_run[place + 1]:
            in_run[place] = True
    words: list[tuple[int, int]] = []
    for place, char in enumerate(text):
        if char.isspace():
            continue
        if in_run[place] and place and in_run[place - 1]:
            words[-1] = (words[-1][0], place + 1)
        else:
            words.append((place, place + 1))
    return words


def _listed(value: Any, where: str, what: str) -> list[Any]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, Sequence) and all(item is not None for item in value):
        return [str(item) if what == "words" else item for item in value]
    raise DataError(f"{where}: the {what} are {value!r}; give a list, or a text parted by spaces")
