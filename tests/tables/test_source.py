"""Bytes to text: what cannot be read says where and what to do."""

from __future__ import annotations

import pytest

from bertsmith.errors import DataError
from bertsmith.tables.source import decode, split_lines


def test_invalid_utf8_names_line_byte_and_offset() -> None:
    with pytest.raises(DataError, match=r"^x\.tsv, line 2: byte 0xe9 at offset 9 is not UTF-8; save the file as UTF-8"):
        decode(b"text\nabc\xe9\n".replace(b"abc", b"abcd"), "x.tsv")


def test_the_offset_counts_the_mark_and_bytes_not_characters() -> None:
    data = "\ufeffé\n".encode() + b"\xff"
    with pytest.raises(DataError, match=r"line 2: byte 0xff at offset 6 "):
        decode(data, "x")
    assert data[6] == 0xFF


def test_truncated_utf16_is_named() -> None:
    with pytest.raises(DataError, match="line 1: byte 0x62 at offset 4 is not UTF-16-LE"):
        decode("\ufeffab".encode("utf-16-le")[:-1], "x")


def test_nul_is_named() -> None:
    with pytest.raises(DataError, match="x, line 2: NUL character at character 3"):
        decode(b"a\nb\0c", "x")
    with pytest.raises(DataError, match="UTF-16 without a byte-order mark"):
        decode("ab".encode("utf-16-le"), "x")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n\nb\n", ["a", "", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb\n", ["a\rb"]),
        ("a\rb\r", ["a", "b"]),
        ("a\u2028b\x85c\x0bd\n", ["a\u2028b\x85c\x0bd"]),
        ("\n", [""]),
    ],
)
def test_lines_end_at_newlines_alone(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines
