"""Overlapping windows over long contexts, and the best spans within them.

Enters: pieces of questions and contexts; later the start and end scores of all tokens. Leaves: sequences with the way
back to the characters; candidate spans. Knows nothing of gold answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bertsmith.text.join import arrange, range_places, windows
from bertsmith.text.pieces import Pieces
from bertsmith.text.ragged import Ragged
from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Windows:
    """W sequences ``[CLS] question [SEP] part of its context [SEP]``.

    sequences: the sequences
    questions: (W,) the question of each
    starts:    (W,) the first piece of its part, among the flat pieces of all contexts
    ends:      (W,) the piece after its last
    first:     (W,) the place of that first piece in the sequence
    cut:       (R,) pieces cut from each question
    """

    sequences: Ragged
    questions: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: NDArray[np.int64]
    cut: NDArray[np.int64]


def make_windows(
    tokenizer: Tokenizer,
    questions: list[str],
    contexts: Pieces,
    context_of: NDArray[np.int64],
    *,
    max_length: int,
    max_question: int,
    stride: int,
) -> Windows:
    """Every question before every part of its context.

    Neighbouring parts share ``stride`` pieces (fewer where a part has not twice as many). A question is cut to
    ``max_question`` pieces. Needs ``max_length`` of at least ``max_question`` + 5.
    """
    ids, bounds = tokenizer.encode_pieces(questions)
    full = np.diff(bounds)
    kept = np.minimum(full, max_question)
    room = max_length - 3 - kept  # (R,)
    context_lengths = np.diff(contexts.bounds)[context_of]
    own = np.concatenate([[0], np.cumsum(context_lengths)])
    stride = min(stride, int(room.min(initial=max_length)) // 2)
    rows, starts, ends = windows(own, room, stride)
    shift = contexts.bounds[context_of[rows]] - own[rows]
    starts, ends = starts + shift, ends + shift
    parts = contexts.take_ranges(starts, ends)
    places, question_bounds = range_places(bounds[rows], bounds[rows] + kept[rows])
    layout = arrange(question_bounds, parts.bounds)
    sequences = layout.ragged(ids[places], parts.ids, tokenizer.cls_id, tokenizer.sep_id)
    return Windows(sequences, rows, starts, ends, kept[rows] + 2, full - kept)


def pieces_of_spans(contexts: Pieces, context_of: NDArray[np.int64], spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """First and last flat piece (R, 2) that touch the characters ``spans`` (R, 2) of each question's context.

    -1, -1 where no piece does, or where the span is -1, -1.
    """
    owners = np.repeat(np.arange(len(contexts)), np.diff(contexts.bounds))
    scale = int(contexts.offsets.max(initial=0)) + int(spans.max(initial=0)) + 2  # keys of contexts do not mix
    first = np.searchsorted(owners * scale + contexts.offsets[:, 1], context_of * scale + spans[:, 0], side="right")
    last = np.searchsorted(owners * scale + contexts.offsets[:, 0], context_of * scale + spans[:, 1]) - 1
    found = np.stack([first, last], axis=1)
    return np.where(((spans[:, 0] >= 0) & (last >= first))[:, None], found, -1)


def best_spans(
    starts: NDArray[np.float32], ends: NDArray[np.float32], num_best: int, max_answer: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The spans of at most ``max_answer`` tokens with the greatest start plus end score, best first.

    Returns first token, last token and score of each. Shape: starts, ends (T,).
    """
    width = min(max_answer, len(starts))
    if not width:
        none = np.empty(0, np.int64)
        return none, none, np.empty(0, np.float32)
    beyond = np.full(width - 1, -np.inf, dtype=np.float32)
    scores = starts[:, None] + sliding_window_view(np.concatenate([ends, beyond]), width)  # (T, width)
    flat = scores.ravel()
    count = min(num_best, flat.size)
    top = np.argpartition(flat, flat.size - count)[flat.size - count :]
    top = top[np.lexsort([top, -flat[top]])]
    top = top[np.isfinite(flat[top])]
    return top // width, top // width + top % width, flat[top]
