"""A file of text as blocks of bytes and as lines, in memory that grows with neither the file nor a line.

Enters: the path of a file, packed (gzip, bzip2, xz, zstandard; told by its first bytes) or not. Leaves: its unpacked
bytes, or its lines as text (UTF-8 with or without a byte-order mark, UTF-16 and UTF-32 with one). Knows nothing of what
the text holds.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pyarrow

from bertsmith.errors import DataError
from bertsmith.tables.source import MARKS, read_bytes

BLOCK = 1 << 18  # bytes read at a time
CUT_OFF = "files cut off in the middle, read as far as they go"

OPENERS: dict[bytes, Callable[[str], Any]] = {  # by the first bytes of a packed file
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": partial(pyarrow.input_stream, compression="zstd"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end, or a piece of one that is too long.

    number:  from 1
    goes_on: the next `Line` is another piece of this one
    """

    number: int
    text: str
    goes_on: bool = False


class TextFile:
    """One file, read once from its start. What is wrong with it, and does not stop the reading, goes to ``counts``."""

    def __init__(self, path: str, counts: Counter[str]) -> None:
        self.path = path
        self.counts = counts
        self._cut_off = False

    def note_cut_off(self) -> None:
        """Count the file as one that ends too early, once."""
        if not self._cut_off:
            self.counts[CUT_OFF] += 1
        self._cut_off = True

    def blocks(self) -> Iterator[bytes]:
        """The unpacked bytes, at most `BLOCK` at a time, never none.

        A packed file that ends too early gives what there is of it, and is counted. Raises `DataError` for one that is
        missing, not readable or damaged.
        """
        try:
            with open(self.path, "rb") as file:
                head = file.read(8)
        except OSError:
            read_bytes(self.path)  # which raises, and says why
            raise
        plain: Callable[[str], Any] = partial(open, mode="rb")
        opener = next((one for magic, one in OPENERS.items() if head.startswith(magic)), plain)
        try:
            with opener(self.path) as stream:
                # What read1 has unpacked before a damaged place is given out; read would lose it.
                while block := stream.read1(BLOCK):
                    yield block
        except EOFError:
            self.note_cut_off()
        except (OSError, zlib.error, lzma.LZMAError) as error:
            if "Truncated compressed stream" not in str(error):  # Arrow's word for a cut-off zstandard file
                raise DataError(f"{self.path}: damaged ({error}); copy or pack it again") from None
            self.note_cut_off()

    def lines(self, longest: int) -> Iterator[Line]:
        r"""The lines, which end with ``\n``, ``\r\n`` or ``\r``; empty ones too.

        longest: characters; a longer line comes in pieces of that length or a little less, cut behind a space where
                 there is one

        Raises `DataError` for a binary file, and for bytes that are not of the encoding, naming the first.
        """
        number, rest = 1, ""
        for text in self._decoded():
            lines = text.split("\n")
            lines[0] = rest + lines[0]
            rest = lines.pop()
            for line in lines:
                *begun, last = pieces(line, longest) if len(line) > longest else (line,)
                yield from (Line(number, piece, goes_on=True) for piece in begun)
                yield Line(number, last)
                number += 1
            if len(rest) > longest:
                *begun, rest = pieces(rest, longest)
                yield from (Line(number, piece, goes_on=True) for piece in begun)
        if rest:
            yield Line(number, rest)

    def _decoded(self) -> Iterator[str]:
        r"""The text of the blocks, every line end made ``\n``."""
        blocks = self.blocks()
        first = next(blocks, b"")
        mark, encoding = next(((mark, name) for mark, name in MARKS if first.startswith(mark)), (b"", "utf-8"))
        if encoding == "utf-8" and b"\0" in first:
            _look_for_damage(blocks)
            raise DataError(
                f"{self.path}: a binary file, not text; leave it out, or take its text out of it (if it is UTF-16 "
                "without a byte-order mark, save it as UTF-8)"
            )
        decoder = codecs.getincrementaldecoder(encoding)()
        line_ends = io.IncrementalNewlineDecoder(None, translate=True)
        line, fed = 1, len(mark)
        for block in chain([first[len(mark) :]], blocks):
            begun = fed - len(decoder.getstate()[0])  # the decoder may hold the first bytes of a character
            try:
                text = line_ends.decode(decoder.decode(block))
            except UnicodeDecodeError as error:
                _look_for_damage(blocks)
                line += error.object[: error.start].decode(encoding).count("\n")
                raise DataError(
                    f"{self.path}, line {line}: byte {error.object[error.start]:#04x} at offset {begun + error.start} "
                    f"is not {encoding.upper()}; save the file as UTF-8 (iconv -f LATIN1 -t UTF-8, if it is Latin-1)"
                ) from None
            if "\0" in text:
                _look_for_damage(blocks)
                line += text.count("\n", 0, text.index("\0"))
                raise DataError(
                    f"{self.path}, line {line}: NUL character; the file is damaged or binary, copy it again"
                )
            fed += len(block)
            line += text.count("\n")
            yield text
        yield line_ends.decode("", final=True)
        if decoder.getstate()[0]:  # the file ends within a character
            self.note_cut_off()


def _look_for_damage(blocks: Iterator[bytes]) -> None:
    """Read a little further, which raises for a damaged file: bzip2 unpacks up to a megabyte before it checks it."""
    ahead = 0
    for block in blocks:
        ahead += len(block)
        if ahead > 1 << 20:
            break


def pieces(text: str, longest: int) -> Iterator[str]:
    """A text in pieces of at most ``longest`` characters, cut behind a space where one stands in the second half.

    >>> list(pieces("a word and another", 16)), list(pieces("letters-without-an-end", 16))
    (['a word and ', 'another'], ['letters-without-', 'an-end'])
    """
    start = 0
    while len(text) - start > longest:
        space = text.rfind(" ", start + longest // 2, start + longest)
        end = space + 1 if space >= 0 else start + longest
        yield text[start:end]
        start = end
    yield text[start:] if start else text
