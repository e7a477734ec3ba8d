"""Texts without end: read no farther than two chunks ahead, so that memory does not grow with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bertsmith.engine import embedder as module
from bertsmith.engine.embedder import Embedder, chunks_of


def test_a_stream_without_end_is_read_as_it_is_computed(starter_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_TEXTS", 8)
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for number in itertools.count():
            read += 1
            yield f"text {number}"

    embedder = Embedder.open(starter_folder, precision="fp32", engine="torch")
    chunks = embedder.stream(texts())
    found = []
    for number in range(1, 4):
        found.append(next(chunks).vectors)
        assert read == 8 * (number + 1)
    chunks.close()  # type: ignore[attr-defined]
    expected = embedder.embed([f"text {number}" for number in range(24)])
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)


def test_a_chunk_is_bounded_by_its_characters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CHARACTERS", 100)
    assert [len(chunk) for chunk in chunks_of(["x" * 60, "x" * 60, "x" * 500, "x"])] == [2, 1, 1]
