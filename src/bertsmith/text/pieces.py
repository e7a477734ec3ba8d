"""Pieces of texts with the way back to their characters, whole or as windows.

Enters: flat arrays by piece. Leaves: sequences that know which characters each of their tokens covers. Knows nothing of
strings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import TokenizerError
from bertsmith.text.join import Truncation, check_truncation, range_places, windows
from bertsmith.text.ragged import Ragged


@dataclass(frozen=True)
class Pieces:
    """S texts of N pieces in all, without special tokens and whole.

    ids:     (N,)   int32
    bounds:  (S+1,) int64, the pieces of text ``i`` are ``bounds[i]:bounds[i + 1]``
    offsets: (N, 2) int32, the characters ``text[start:end]`` that a piece covers
    words:   (N,)   int32, the index of a piece's word in its text (a punctuation character is a word)
    """

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]
    offsets: NDArray[np.int32]
    words: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def take_ranges(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Pieces:
        """Rows made of the flat pieces ``starts[i]:ends[i]``; they may overlap."""
        places, bounds = range_places(starts, ends)
        return Pieces(self.ids[places], bounds, self.offsets[places], self.words[places])

    def take(self, rows: NDArray[np.int64]) -> Pieces:
        """The named texts, in the order named."""
        return self.take_ranges(self.bounds[rows], self.bounds[rows + 1])


@dataclass(frozen=True)
class TokenizedText:
    """Sequences with the way back to the characters they came from.

    ragged:  S sequences of N tokens
    offsets: (N, 2) int32, the characters of a token in its own text (the first or the second, as its segment says);
             -1, -1 on special tokens
    words:   (N,)   int32, the word of a token in its own text; -1 on special tokens
    texts:   (S,)   int64, the text each sequence came from: 0, 1, 2, … unless windows gave some several
    """

    ragged: Ragged
    offsets: NDArray[np.int32]
    words: NDArray[np.int32]
    texts: NDArray[np.int64]


def split_windows(
    first: Pieces, second: Pieces | None, max_length: int, truncation: Truncation, stride: int
) -> tuple[Pieces, Pieces | None, NDArray[np.int64]]:
    """Texts too long as overlapping windows, their partners repeated; and the text of each window."""
    check_truncation(max_length, truncation, paired=second is not None)
    if second is None:
        room = np.full(len(first), max_length - 2)
        windowed, other = first, None
    elif truncation == "only_first":
        windowed, other = first, second
        room = max_length - 3 - np.diff(second.bounds)
    elif truncation == "only_second":
        windowed, other = second, first
        room = max_length - 3 - np.diff(first.bounds)
    else:
        raise TokenizerError(f"windows over pairs need truncation 'only_first' or 'only_second', not {truncation!r}")
    crowded = np.flatnonzero((np.diff(windowed.bounds) > room) & (room <= stride))
    if stride < 0 or len(crowded):
        row = int(crowded[0]) if len(crowded) else 0
        raise TokenizerError(
            f"row {row}: room for {int(room[row])} pieces a window, not more than the stride of {stride}; "
            "use a smaller stride or a greater max_length"
        )
    sources, starts, ends = windows(windowed.bounds, room, stride)
    windowed = windowed.take_ranges(starts, ends)
    if other is None:
        return windowed, None, sources
    other = other.take(sources)
    return (windowed, other, sources) if truncation == "only_first" else (other, windowed, sources)
