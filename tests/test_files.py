"""Files under trouble: a full disk, a place that is taken."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.errors import OutputError
from bertsmith.files import output_error, write_text


def test_writes_what_it_is_given(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "file.txt", "größer\r\n\ud800")
    assert (tmp_path / "new" / "file.txt").read_bytes() == "größer\r\n?".encode()


def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "file.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_earlier_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before")

    def disk_is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, disk_is_full)
    with pytest.raises(OutputError, match=r"^[^\n]*No space left on device[^\n]*$"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_ordinary_file_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "out"
    make(path)
    before = path.stat()
    with pytest.raises(OutputError, match=r"out: cannot be written \(not an ordinary file\); name another place"):
        write_text(path, "x")
    assert os.path.samestat(before, path.stat())
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_a_reason_and_a_way_out_are_given() -> None:
    assert "No space left on device" in str(output_error(Path("x"), 28))
    assert "free some space" in str(output_error(Path("x"), 28))
    assert str(output_error(Path("x"), None)).startswith("x: cannot be written (the system gave no reason)")
