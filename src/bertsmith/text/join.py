"""Pieces of one or two texts into whole sequences: [CLS] a [SEP], or [CLS] a [SEP] b [SEP], cut to length.

Enters: flat arrays by piece and their bounds. Leaves: where everything goes. Knows nothing of strings.

All is numpy over whole batches. Which pieces stay is settled by their number alone, so it is settled first (`Layout`),
and then anything that goes by piece (ids, offsets, word indices) is poured into place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import TokenizerError
from bertsmith.text.ragged import Ragged, bounds_of, gather_places

Truncation = Literal["longest_first", "only_first", "only_second", "head_tail"]
TRUNCATIONS: tuple[Truncation, ...] = ("longest_first", "only_first", "only_second", "head_tail")


@dataclass(frozen=True)
class Layout:
    """S sequences of N tokens: which of them are the first text's pieces, the second's, or special tokens.

    bounds:   (S+1,) of the sequences
    segments: (N,) uint8, 0 up to the first [SEP], then 1
    first:    (N,) bool, the places of the first texts' pieces
    second:   (N,) bool, the places of the second texts' pieces; ``None`` without second texts
    kept:     for the first and the second texts, a bool by piece, or ``None`` where every piece is kept
    cut:      (S,) int32, pieces left out
    """

    bounds: NDArray[np.int64]
    segments: NDArray[np.uint8]
    first: NDArray[np.bool_]
    second: NDArray[np.bool_] | None
    kept: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]
    cut: NDArray[np.int32]

    def pour(self, a: NDArray[Any], b: NDArray[Any] | None, fill: int) -> NDArray[Any]:
        """Values by piece, (Na, ...) and (Nb, ...), as values by token, (N, ...), ``fill`` on special tokens."""
        values = np.full((int(self.bounds[-1]), *a.shape[1:]), fill, a.dtype)
        values[self.first] = a if self.kept[0] is None else a[self.kept[0]]
        if self.second is not None and b is not None:
            values[self.second] = b if self.kept[1] is None else b[self.kept[1]]
        return values

    def ragged(self, ids_a: NDArray[np.int32], ids_b: NDArray[np.int32] | None, cls_id: int, sep_id: int) -> Ragged:
        """The sequences themselves."""
        ids = self.pour(ids_a, ids_b, sep_id)
        ids[self.bounds[:-1]] = cls_id
        return Ragged(ids, self.segments, self.bounds, self.cut)


def arrange(
    bounds_a: NDArray[np.int64],
    bounds_b: NDArray[np.int64] | None = None,
    *,
    max_length: int | None = None,
    truncation: Truncation = "longest_first",
) -> Layout:
    """Lay S texts of ``bounds_a`` (S+1,), each with its partner in ``bounds_b`` if given, out as sequences.

    max_length: most tokens in a sequence, special tokens included; ``None`` cuts nothing
    truncation: ``longest_first`` takes from the longer text until both fit, as the `tokenizers` library does;
        ``only_first`` and ``only_second`` take from that text alone; ``head_tail`` shares the room as ``longest_first``
        does and keeps the first quarter and the last three quarters of it (Sun et al. 2019, "How to Fine-Tune BERT for
        Text Classification", 5.3.1: 128 and 382 of 510)

    Raises `TokenizerError` where the texts cannot be cut as asked, naming the row.
    """
    lengths_a = np.diff(bounds_a)
    lengths_b = np.zeros_like(lengths_a) if bounds_b is None else np.diff(bounds_b)
    if len(lengths_a) != len(lengths_b):
        raise TokenizerError(f"{len(lengths_a)} texts but {len(lengths_b)} pairs; every text needs its partner")
    num_special = 2 if bounds_b is None else 3
    kept_a, kept_b = lengths_a, lengths_b
    if max_length is not None:
        check_truncation(max_length, truncation, paired=bounds_b is not None)
        if bounds_b is None and truncation == "only_first":
            truncation = "longest_first"  # the same for a single text
        kept_a, kept_b = shared_room(lengths_a, lengths_b, max_length - num_special, truncation)
    head_tail = truncation == "head_tail"
    bounds = bounds_of(kept_a + kept_b + num_special)
    first = np.ones(bounds[-1], np.bool_)
    first[bounds[:-1]] = False
    first[bounds[1:] - 1] = False
    second = None
    segments = np.zeros(bounds[-1], np.uint8)
    if bounds_b is not None:
        runs = np.column_stack([kept_a + 2, kept_b + 1]).ravel()
        segments = np.repeat(np.tile(np.array([0, 1], np.uint8), len(lengths_a)), runs)
        middle = bounds[:-1] + kept_a + 1
        second = first & (segments == 1)
        first &= segments == 0
        first[middle] = False
    return Layout(
        bounds=bounds,
        segments=segments,
        first=first,
        second=second,
        kept=(
            kept_pieces(bounds_a, kept_a, head_tail=head_tail),
            None if bounds_b is None else kept_pieces(bounds_b, kept_b, head_tail=head_tail),
        ),
        cut=(lengths_a - kept_a + lengths_b - kept_b).astype(np.int32),
    )


def check_truncation(max_length: int, truncation: Truncation, *, paired: bool) -> None:
    """Raise `TokenizerError` for a length or a strategy that no sequence could meet."""
    num_special = 3 if paired else 2
    if max_length < num_special:
        raise TokenizerError(
            f"max_length {max_length} has no room for the {num_special} special tokens; give {num_special} or more"
        )
    if truncation not in TRUNCATIONS:
        raise TokenizerError(f"no truncation {truncation!r}; valid: {', '.join(TRUNCATIONS)}")
    if truncation == "only_second" and not paired:
        raise TokenizerError("truncation 'only_second' needs pairs; use 'longest_first' for single texts")


def shared_room(
    lengths_a: NDArray[np.int64], lengths_b: NDArray[np.int64], room: int, truncation: Truncation
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many pieces of each text stay, (S,) and (S,), so that no two together are more than ``room``."""
    over = np.maximum(lengths_a + lengths_b - room, 0)
    if truncation == "only_first":
        return lengths_a - checked_cut(over, lengths_a, "first"), lengths_b
    if truncation == "only_second":
        return lengths_a, lengths_b - checked_cut(over, lengths_b, "second")
    # The shorter text stays whole while it fits in half the room; past that both get half, and the longer one (the
    # second, of equals) gets the odd piece.
    shorter = np.minimum(lengths_a, lengths_b)
    shorter = np.where(over > 0, np.minimum(shorter, room // 2), shorter)
    longer = np.minimum(np.maximum(lengths_a, lengths_b), room - shorter)
    first_is_longer = lengths_a > lengths_b
    return np.where(first_is_longer, longer, shorter), np.where(first_is_longer, shorter, longer)


def checked_cut(over: NDArray[np.int64], lengths: NDArray[np.int64], which: str) -> NDArray[np.int64]:
    """``over`` again, if every text of ``lengths`` can lose so much and keep one piece at least."""
    hopeless = np.flatnonzero((over > 0) & (over >= lengths))
    if len(hopeless):
        row = int(hopeless[0])
        raise TokenizerError(
            f"row {row}: {over[row]} tokens too many, but its {which} text has only {lengths[row]}, so cutting "
            f"'only_{which}' cannot make it fit; use 'longest_first' or a greater max_length"
        )
    return over


def kept_pieces(bounds: NDArray[np.int64], kept: NDArray[np.int64], *, head_tail: bool) -> NDArray[np.bool_] | None:
    """Which pieces stay when text ``i`` keeps ``kept[i]`` of them; ``None`` when all do."""
    lengths = np.diff(bounds)
    rows = np.flatnonzero(kept < lengths)
    if not len(rows):
        return None
    head = (kept[rows] + 3) // 4 if head_tail else kept[rows]
    starts = bounds[rows] + head
    stays = np.ones(bounds[-1], np.bool_)
    places, _ = range_places(starts, starts + (lengths - kept)[rows])
    stays[places] = False
    return stays


def range_places(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of many ranges one after another, and the bounds of each range there. Ranges may overlap.

    >>> places, bounds = range_places(np.array([5, 0]), np.array([7, 3]))
    >>> places.tolist(), bounds.tolist()
    ([5, 6, 0, 1, 2], [0, 2, 5])
    """
    edges = np.column_stack([starts, ends]).ravel()
    return gather_places(edges, np.arange(0, len(edges), 2))


def windows(
    bounds: NDArray[np.int64], room: NDArray[np.int64], stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Overlapping windows over texts longer than their ``room`` (S,): consecutive ones share ``stride`` pieces.

    Returns the text (W,) of each window and its start and end (W,) among the flat pieces. A text that fits is one
    window.
    """
    lengths = np.diff(bounds)
    step = np.maximum(room - stride, 1)
    counts = np.where(lengths > room, -(-(lengths - room) // step) + 1, 1)
    rows = np.repeat(np.arange(len(lengths)), counts)
    order = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = order * step[rows]
    ends = np.minimum(starts + room[rows], lengths[rows])
    return rows, bounds[rows] + starts, bounds[rows] + ends
