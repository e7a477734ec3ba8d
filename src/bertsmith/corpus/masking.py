"""Masking: which tokens a model has to predict, and what it sees in their place.

Enters: ids of sequences and a key for each. Leaves: the ids as the model sees them, and the masked places with what
stood there. Knows nothing of documents and files.

Three ways to choose the places. "token": any of them (Devlin et al. 2018, 3.1). "word": whole words, a token and the
``##`` pieces behind it (google-research/bert, whole word masking). "span": words in a row (Joshi et al. 2020,
"SpanBERT", 3.1). What stands at a masked place afterwards is [MASK] in 80 %, a random token of the vocabulary in 10 %,
and what stood there in 10 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.randomness import Draw, Words, below, uniform, words
from bertsmith.text import Tokenizer
from bertsmith.text.join import range_places
from bertsmith.text.ragged import bounds_of
from bertsmith.text.vocabulary import CLS, MASK, PAD, SEP

Masking = Literal["token", "word", "span"]

NEVER_MASKED = (PAD, CLS, SEP, MASK)
SHOW_MASK, SHOW_RANDOM = 0.8, 0.1  # chances of what a masked place shows; what stood there shows in the rest
SPAN_STOP, LONGEST_SPAN = 0.2, 10  # chance that a span ends behind each of its words; most words in one


@dataclass(frozen=True)
class Masked:
    """B sequences of N tokens with M of them masked.

    ids:       (N,) int32, as the model sees them
    places:    (M,) int64, where the masked tokens are among the N, ascending
    originals: (M,) int32, what stood there
    counts:    (B,) int64, how many are masked in each sequence
    """

    ids: NDArray[np.int32]
    places: NDArray[np.int64]
    originals: NDArray[np.int32]
    counts: NDArray[np.int64]


class Masker:
    """Masks sequences of one tokenizer's ids.

    rate:            share of a sequence's tokens, [CLS] and [SEP] among them, that is masked
    max_predictions: most places masked in a sequence; ``None`` for as many as ``rate`` asks for
    masking:         how the places are chosen

    [PAD], [CLS], [SEP] and [MASK] are never masked. [UNK] may be, and random tokens are any of the vocabulary, as
    published.
    """

    def __init__(self, tokenizer: Tokenizer, *, rate: float, max_predictions: int | None, masking: Masking) -> None:
        self.rate = rate
        self.max_predictions = max_predictions
        self.masking = masking
        self._mask_id = tokenizer.mask_id
        self._vocab_size = tokenizer.vocab_size
        vocabulary = tokenizer.vocabulary
        self._maskable = np.array([token not in NEVER_MASKED for token in vocabulary])
        self._continues = np.array([token.startswith("##") for token in vocabulary])

    def mask(self, ids: NDArray[np.int32], bounds: NDArray[np.int64], keys: Words) -> Masked:
        """Mask sequences of ``ids`` (N,) with ``bounds`` (B+1,), as their ``keys`` (B,) decide.

        As many places of a sequence as `budget` says; fewer with whole words, where no further word fits.
        """
        maskable = self._maskable[ids]
        budgets = budget(np.diff(bounds), self.rate, self.max_predictions)
        budgets = np.minimum(budgets, sums_within(maskable, bounds))
        if self.masking == "span":
            chosen = choose_spans(maskable, self._word_starts(ids, maskable), bounds, budgets, keys)
        else:
            starts = maskable if self.masking == "token" else self._word_starts(ids, maskable)
            chosen = choose_words(maskable, starts, bounds, budgets, keys)
        places = np.flatnonzero(chosen)
        # All tokens of a span, and of spans that touch, show the same kind of thing; otherwise each decides for itself.
        deciding = run_starts(places) if self.masking == "span" else places
        sequence = np.searchsorted(bounds, places, side="right") - 1
        kind = uniform(words(words(keys, Draw.REPLACEMENT)[sequence], deciding - bounds[sequence]))
        drawn = words(words(keys, Draw.RANDOM_TOKEN)[sequence], places - bounds[sequence])
        originals = ids[places]
        seen = np.where(kind < SHOW_MASK + SHOW_RANDOM, below(drawn, self._vocab_size), originals)
        seen[kind < SHOW_MASK] = self._mask_id
        shown = ids.copy()
        shown[places] = seen
        return Masked(shown, places, originals, np.bincount(sequence, minlength=len(keys)))

    def _word_starts(self, ids: NDArray[np.int32], maskable: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which tokens (N,) are the first of a word. A piece behind a special token is: its word was truncated."""
        follows = np.zeros(len(ids), np.bool_)
        follows[1:] = self._continues[ids[1:]] & maskable[:-1]
        return maskable & ~follows


def budget(lengths: NDArray[np.int64], rate: float, max_predictions: int | None) -> NDArray[np.int64]:
    """How many places to mask in sequences of these lengths, special tokens counted: the rounded share, one at least.

    >>> budget(np.array([3, 128, 512]), 0.15, 20).tolist()
    [1, 19, 20]
    """
    wanted: NDArray[np.int64] = np.maximum(np.rint(lengths * rate).astype(np.int64), 1)
    return wanted if max_predictions is None else np.minimum(wanted, max_predictions)


def choose_words(
    maskable: NDArray[np.bool_],
    starts: NDArray[np.bool_],
    bounds: NDArray[np.int64],
    budgets: NDArray[np.int64],
    keys: Words,
) -> NDArray[np.bool_]:
    """Which tokens (N,) to mask, whole words only, where a word begins at each of ``starts`` (N,).

    The words of a sequence are taken in random order until its budget is spent; a word that is more than what is left
    is passed over. If every word is more than the whole budget, one word is masked in part.
    """
    first = np.flatnonzero(starts)
    edges = np.append(np.flatnonzero(starts | ~maskable), len(maskable))
    sizes = edges[np.searchsorted(edges, first, side="right")] - first
    sequence = np.searchsorted(bounds, first, side="right") - 1
    order = np.lexsort((words(words(keys, Draw.PLACE)[sequence], first - bounds[sequence]), sequence))
    first, sizes = first[order], sizes[order]  # `sequence` stays as it is: the words of one stay together

    left = budgets.copy()
    taken = np.zeros(len(first), np.bool_)
    waiting = np.arange(len(first))
    while len(waiting):
        # Words fit as long as their sum does. The first that does not fit never will; nor will some behind it.
        of = sequence[waiting]
        sums = np.cumsum(sizes[waiting])
        heads = np.searchsorted(of, of)
        fits = sums - (sums - sizes[waiting])[heads] <= left[of]
        taken[waiting[fits]] = True
        left -= np.bincount(of[fits], sizes[waiting[fits]], len(left)).astype(np.int64)
        waiting, of = waiting[~fits], of[~fits]
        waiting = waiting[sizes[waiting] <= left[of]]

    heads = np.searchsorted(sequence, np.flatnonzero((left == budgets) & (budgets > 0)))
    sizes[heads] = budgets[sequence[heads]]
    taken[heads] = True
    chosen = np.zeros(len(maskable), np.bool_)
    chosen[range_places(first[taken], (first + sizes)[taken])[0]] = True
    return chosen


def choose_spans(
    maskable: NDArray[np.bool_],
    starts: NDArray[np.bool_],
    bounds: NDArray[np.int64],
    budgets: NDArray[np.int64],
    keys: Words,
) -> NDArray[np.bool_]:
    """Which tokens (N,) to mask, in spans of whole words, where a word begins at each of ``starts`` (N,).

    Again and again a token that is not masked is drawn, and a number of words from a geometric distribution, as
    `span_words` does: the token's word and those behind it are masked, up to the next special token. The last span is
    cut where the budget is spent.
    """
    edges = np.flatnonzero(starts | ~maskable)  # first tokens of words, and special tokens
    stops = np.append(np.flatnonzero(~maskable[edges]), len(edges))  # which of the edges are special tokens
    edges = np.append(edges, len(maskable))
    chosen = np.zeros(len(maskable), np.bool_)
    left = budgets.copy()
    round_ = 0
    while len(active := np.flatnonzero(left)):  # one span in every sequence that has some of its budget left
        free = np.flatnonzero(maskable & ~chosen)
        low, high = np.searchsorted(free, bounds[active]), np.searchsorted(free, bounds[active + 1])
        drawn = free[low + below(words(keys[active], Draw.SPAN_START, round_), high - low)]
        word = np.searchsorted(edges, drawn, side="right") - 1
        behind = word + span_words(words(keys[active], Draw.SPAN_LENGTH, round_))
        behind = np.minimum(behind, stops[np.searchsorted(stops, word)])
        places, spans = range_places(edges[word], edges[behind])
        fresh = ~chosen[places]
        sums = np.cumsum(fresh)
        of = np.repeat(np.arange(len(active)), np.diff(spans))
        within = sums - (sums - fresh)[spans[:-1]][of] <= left[active][of]
        chosen[places[within]] = True
        left[active] -= sums_within(fresh & within, spans)
        round_ += 1
    return chosen


def span_words(drawn: Words) -> NDArray[np.int64]:
    """Words in spans: from 1 to `LONGEST_SPAN`, a geometric distribution cut off there, 3.8 on average."""
    chances = SPAN_STOP * (1 - SPAN_STOP) ** np.arange(LONGEST_SPAN)
    return 1 + np.searchsorted(np.cumsum(chances)[:-1] / chances.sum(), uniform(drawn), side="right")


def sums_within(flags: NDArray[np.bool_], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of ``flags`` (N,) are set in each row of ``bounds`` (R+1,)."""
    return np.diff(bounds_of(flags.astype(np.int64))[bounds])


def run_starts(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of ascending places, the first of the run of neighbours it is in.

    >>> run_starts(np.array([2, 3, 4, 7, 9, 10])).tolist()
    [2, 2, 2, 7, 9, 9]
    """
    starts = places[np.diff(places, prepend=-2) > 1]
    return starts[np.searchsorted(starts, places, side="right") - 1]
