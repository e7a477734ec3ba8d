from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow
import pytest

from bertsmith.corpus.lines import BLOCK, CUT_OFF, TextFile
from bertsmith.errors import DataError

TEXT = "".join(f"line {number} of señor 王\n" for number in range(20_000))  # several blocks
LONGEST = 1000


def zstandard(data: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": partial(lzma.compress, preset=0),
    "zst": zstandard,
}


def lines(path: Path, counts: Counter[str] | None = None) -> list[str]:
    return [line.text for line in TextFile(str(path), Counter() if counts is None else counts).lines(LONGEST)]


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_lines_of_packed_files_in_any_encoding(tmp_path: Path, packer: str, encoding: str) -> None:
    file = tmp_path / "text"  # no suffix: the first bytes tell
    file.write_bytes(PACKERS[packer](TEXT.encode(encoding)))
    assert lines(file) == TEXT.splitlines()


def test_members_packed_one_after_another_are_all_read(tmp_path: Path) -> None:
    file = tmp_path / "text.bz2"  # as dumps of Wikipedia are
    file.write_bytes(bz2.compress(b"one\n") + bz2.compress(b"two\n"))
    assert lines(file) == ["one", "two"]


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz", "zst"])
def test_a_file_cut_off_gives_what_it_has_and_is_counted(tmp_path: Path, packer: str) -> None:
    data = "".join(f"{number * number % 999_983}\n" for number in range(200_000)).encode()  # two blocks of bzip2
    packed = PACKERS[packer](data)
    file = tmp_path / "text"
    file.write_bytes(packed[: len(packed) * 3 // 4])
    counts: Counter[str] = Counter()
    found = lines(file, counts)
    assert counts == {CUT_OFF: 1}
    assert 100_000 < len(found) < 200_000
    assert found[:-1] == data.decode().splitlines()[: len(found) - 1]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    packed = bytearray(bz2.compress(TEXT.encode()))
    packed[len(packed) // 2] ^= 1
    file = tmp_path / "text.bz2"
    file.write_bytes(packed)
    with pytest.raises(DataError, match=r"text\.bz2: damaged \(Invalid data stream\)"):
        lines(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "wiki_00").touch()
    with pytest.raises(DataError, match="wiki_0: no such file; did you mean 'wiki_00'"):
        lines(tmp_path / "wiki_0")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    file = tmp_path / "text"
    # An end on the border of two blocks is still one end.
    file.write_text("x" * (BLOCK - 1) + end + "two" + end + end + "four", newline="")
    found = list(TextFile(str(file), Counter()).lines(BLOCK))
    assert [(line.number, line.text) for line in found] == [(1, "x" * (BLOCK - 1)), (2, "two"), (3, ""), (4, "four")]


def test_a_long_line_comes_in_pieces_and_costs_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("first\n" + "a few words " * 4_000_000 + "\nlast\n")  # 48 MB
    tracemalloc.start()
    total = 0
    last = None
    for line in TextFile(str(file), Counter()).lines(BLOCK):
        assert len(line.text) <= BLOCK
        if line.number == 2:
            assert line.text.endswith(" ")
            total += len(line.text)
        last = line
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 48_000_000
    assert last is not None
    assert (last.number, last.text, last.goes_on) == (3, "last", False)
    assert peak < 16 * BLOCK


def test_bytes_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    file = tmp_path / "text"
    good = "é\n".encode() * BLOCK  # three bytes each, so that a character lies across a border
    file.write_bytes(good + b"caf\xe9\n")
    with pytest.raises(
        DataError, match=re.escape(f"line {BLOCK + 1}: byte 0xe9 at offset {len(good) + 3} is not UTF-8")
    ):
        lines(file)


def test_a_file_that_ends_within_a_character_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes("one\n王".encode()[:-1])
    counts: Counter[str] = Counter()
    assert lines(file, counts) == ["one"]
    assert counts == {CUT_OFF: 1}


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    with pytest.raises(DataError, match=r"model\.bin: a binary file, not text"):
        lines(file)


def test_a_nul_further_on_is_named(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"word\n" * BLOCK + b"\0")
    with pytest.raises(DataError, match=rf"line {BLOCK + 1}: NUL character"):
        lines(file)
