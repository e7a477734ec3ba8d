"""Vectors in a file: whole, or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertsmith.embedding.vector_file import VectorFile
from bertsmith.errors import OutputError


@pytest.mark.parametrize("rows", [[], [0], [3], [5, 1, 7], [100_000]])
def test_numpy_opens_what_was_written(rows: list[int], tmp_path: Path) -> None:
    blocks = [np.random.default_rng(i).normal(size=(number, 4)).astype(np.float32) for i, number in enumerate(rows)]
    with VectorFile(tmp_path / "a" / "v.npy", 4) as file:
        for block in blocks:
            file.write(block)
    expected = np.concatenate([np.empty((0, 4), np.float32), *blocks])
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "v.npy"), expected)
    assert len(np.load(tmp_path / "a" / "v.npy", mmap_mode="r")) == len(expected)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["v.npy"]


def test_an_error_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, np.ones((2, 2), np.float32))
    file = VectorFile(path, 3)
    file.__enter__()
    file.write(np.zeros((5, 3), np.float32))
    file.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert np.load(path).shape == (2, 2)
    assert [one.name for one in tmp_path.iterdir()] == ["v.npy"]


def test_a_full_disk_is_told_in_a_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    file = VectorFile("/tmp/never.npy", 2)
    file._temporary = Path("/dev/full")  # opening it anew is refused, as writing to it would be
    with pytest.raises(OutputError, match="cannot be written"):
        file.__enter__()
