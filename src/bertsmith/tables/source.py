"""A file's bytes as text, or one clear message why not.

Enters: a path. Leaves: its bytes unpacked (gzip, bzip2, xz, zstandard by suffix), its text decoded (UTF-8 with or
without a byte-order mark, UTF-16 and UTF-32 with one), its lines. Knows nothing of what the text holds.
"""

from __future__ import annotations

import bz2
import codecs
import difflib
import importlib
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bertsmith.errors import DataError


def _unpack(data: bytes, start: Callable[[], Any]) -> bytes:
    """The content of packed streams end to end, each by a decompressor that ``start`` makes.

    Raises `EOFError` where the last one is cut short, which not every library's own function for a whole file does.
    """
    parts = []
    while data:
        stream = start()
        parts.append(stream.decompress(data))
        if not stream.eof:
            raise EOFError("it is cut short")
        data = stream.unused_data.lstrip(b"\0")  # gzip and xz allow zeros after a stream; no stream begins with one
    return b"".join(parts)


def _unpack_zst(data: bytes) -> bytes:
    """Zstandard by the package of that name, which the standard library has no twin of before Python 3.14."""
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        raise DataError(
            "zstandard is not installed; unpack the file with `zstd -d`, or `pip install zstandard`"
        ) from None
    try:
        return _unpack(data, lambda: zstandard.ZstdDecompressor().decompressobj())
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: _unpack(data, lambda: zlib.decompressobj(wbits=31)),  # 31: gzip's header and checksum
    ".bz2": lambda data: _unpack(data, bz2.BZ2Decompressor),
    ".xz": lambda data: _unpack(data, lzma.LZMADecompressor),
    ".zst": _unpack_zst,
}

# Longest marks first: UTF-32's little-endian mark begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def format_suffix(path: str) -> str:
    """The suffix that tells the format, in lower case, without that of the compression.

    >>> format_suffix("data/train.TSV.gz"), format_suffix("eng.train"), format_suffix("notes")
    ('.tsv', '.train', '')
    """
    name = Path(path)
    if name.suffix.lower() in UNPACKERS:
        name = name.with_suffix("")
    return name.suffix.lower()


def read_bytes(path: str) -> bytes:
    """The unpacked bytes of a file. Raises `DataError` for one that is missing, a folder, unreadable or damaged."""
    file = Path(path).expanduser()
    try:
        data = file.read_bytes()
    except IsADirectoryError:
        raise DataError(f"{path}: a folder, not a file; name one file in it ({_some_of(file)})") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {_near(file)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the path and its rights") from None
    unpack = UNPACKERS.get(file.suffix.lower())
    if unpack is None:
        return data
    try:
        return unpack(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: damaged or not really {file.suffix} ({error}); copy or pack it again") from None


def decode(data: bytes, path: str) -> str:
    """Text of a file's bytes, without its byte-order mark. ``path`` is for messages.

    Raises `DataError` with the line and byte offset (from 0) of the first byte that is not of the encoding, or of the
    first NUL.
    """
    mark, encoding = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        offset = len(mark) + error.start
        line = data[len(mark) : offset].decode(encoding, "replace").count("\n") + 1
        raise DataError(
            f"{path}, line {line}: byte {data[offset]:#04x} at offset {offset} is not {encoding.upper()}; "
            "save the file as UTF-8 (iconv -f LATIN1 -t UTF-8, if it is Latin-1)"
        ) from None
    place = text.find("\0")
    if place >= 0:
        line = text.count("\n", 0, place) + 1
        raise DataError(
            f"{path}, line {line}: NUL character at character {place}; the file is damaged, binary, or UTF-16 without "
            "a byte-order mark: save it as UTF-8"
        )
    return text


def read_text(path: str) -> str:
    """The text of a file: `read_bytes`, then `decode`."""
    return decode(read_bytes(path), path)


def split_lines(text: str) -> list[str]:
    r"""Lines without their ends, which are ``\n`` or ``\r\n``. Nothing else ends a line: not a carriage return or a
    Unicode line separator inside a field (``str.splitlines`` would break there). Only a text without any ``\n`` is
    taken as written with carriage returns alone.

    >>> split_lines("a\r\nb\rc\n"), split_lines("a\rb"), split_lines("")
    (['a', 'b\rc'], ['a', 'b'], [])
    """
    if "\n" not in text:
        lines = text.split("\r")
    else:
        lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines[-1] == "":
        del lines[-1]
    return lines


def _near(file: Path) -> str:
    """What a mistyped path may have meant: names in its folder, or the folder itself."""
    folder = file.parent
    if not folder.is_dir():
        return f"its folder {folder} does not exist either"
    names = sorted(one.name for one in folder.iterdir())
    close = difflib.get_close_matches(file.name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    return f"its folder holds {_some_of(folder)}"


def _some_of(folder: Path, most: int = 5) -> str:
    """``a.tsv, b.tsv, sub/, ...``: the first of a folder's files, then of its folders, or ``nothing``."""
    shown = [one for one in folder.iterdir() if not one.name.startswith(".")]
    files, folders = [one for one in shown if not one.is_dir()], [one for one in shown if one.is_dir()]
    names = [*sorted(one.name for one in files), *sorted(f"{one.name}/" for one in folders)]
    return ", ".join(names[:most] + ["..."] * (len(names) > most)) or "nothing"
