"""Pieces of texts with the way back to their characters.

Enters: flat arrays by piece. Leaves: sequences that know which characters each of their tokens covers. Knows nothing of
strings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.text.join import range_places
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


@dataclass(frozen=True)
class TokenizedText:
    """Sequences with the way back to the characters they came from.

    ragged:  S sequences of N tokens
    offsets: (N, 2) int32, the characters of a token in its own text (the first or the second, as its segment says);
             -1, -1 on special tokens
    words:   (N,)   int32, the word of a token in its own text; -1 on special tokens
    """

    ragged: Ragged
    offsets: NDArray[np.int32]
    words: NDArray[np.int32]
