"""Chunks of whole words against a slow twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.chunks import chunk_words


def slow_chunks(sentences: list[list[int]], room: int) -> list[tuple[int, int]]:
    """(sentence, number of words) of each chunk, filled word by word."""
    chunks = []
    for number, lengths in enumerate(sentences):
        words = used = 0
        for length in lengths:
            if used + length > room:
                chunks.append((number, words))
                words = used = 0
            words, used = words + 1, used + length
        chunks.append((number, words))
    return chunks


@given(st.lists(st.lists(st.integers(1, 5), max_size=9), max_size=5), st.integers(5, 12))
def test_chunks_are_the_slow_ones(sentences: list[list[int]], room: int) -> None:
    lengths = np.array([length for row in sentences for length in row], dtype=np.int64)
    bounds = np.cumsum([0, *map(len, sentences)])
    chunks, owners = chunk_words(lengths, bounds, room)
    assert list(zip(owners.tolist(), np.diff(chunks).tolist(), strict=True)) == slow_chunks(sentences, room)
