"""Files under trouble: a full disk, a place that is taken, JSON that is none."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.errors import BertsmithError, CheckpointError, OutputError, TokenizerError
from bertsmith.files import dump_json, output_error, plain, read_json, write_json, write_text


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


class Kind(Enum):
    FIRST = "first"


def test_every_kind_of_value_becomes_plain() -> None:
    assert plain(
        {
            1: Kind.FIRST,
            "array": np.array([[1.5, np.inf], [2.0, 3.0]], np.float32),
            "flag": np.bool_(True),
            "tensor": torch.tensor(3),
            "set": {"b", "a"},
            "path": Path("x"),
            "none": None,
        }
    ) == {
        "1": "first",
        "array": [[1.5, None], [2.0, 3.0]],
        "flag": True,
        "tensor": 3,
        "set": ["a", "b"],
        "path": "x",
        "none": None,
    }


def test_any_text_comes_back() -> None:
    text = 'größer "x" \\ud800 \ud800 \x00 日本語'
    encoded = dump_json({"text": text}).encode("utf-8")
    assert "日本語".encode() in encoded
    assert json.loads(encoded)["text"] == text


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_json_is_strict_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_json(path, {"label": "\ud83d", "score": float("nan"), "out": Path("runs/x"), "steps": np.int64(3)})
    held = {"label": "\ud83d", "score": None, "out": "runs/x", "steps": 3}
    assert json.loads(path.read_bytes().decode("utf-8"), parse_constant=refuse) == held
    assert read_json(path, CheckpointError) == held
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_json(path, CheckpointError) == held


@pytest.mark.parametrize("error", [CheckpointError, TokenizerError])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"x\.json: cannot be read \(No such file or directory\)"),
        (b'{"a": 37,\n  oops}', r"x\.json, line 2, column 3: not valid JSON"),
        (b'{"a": "\xff"}', r"x\.json: byte 7 is not UTF-8"),
        (b'{"a": ' + b"[" * 100_000, r"x\.json: JSON nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", r"x\.json: JSON .* with a number of too many digits"),
        (b"[]", r"x\.json: holds a JSON list; an object"),
    ],
)
def test_what_is_no_json_object_is_named(
    tmp_path: Path, content: bytes | None, message: str, error: type[BertsmithError]
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_json(path, error, way_out="do this")
    assert str(caught.value).endswith("; do this" if content != b"[]" else "is expected")
    assert "\n" not in str(caught.value)
