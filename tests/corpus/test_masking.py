"""Masking: how many, which, and what shows in their place; distributions, and twins that go word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from bertsmith.corpus.masking import Masked, Masker, Masking, budget, span_words
from bertsmith.corpus.randomness import Draw, below, words
from bertsmith.text import Tokenizer
from bertsmith.text.ragged import bounds_of

LIKELY = 1e-4
KINDS: list[Masking] = ["token", "word", "span"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
FIRST_PIECE = 75  # ids from here on are ## pieces
TOKENIZER = Tokenizer.from_vocabulary(
    [*SPECIAL, *(f"w{i}" for i in range(FIRST_PIECE - 5)), *(f"##p{i}" for i in range(25))]
)


def sequence(seed: int, length: int) -> list[int]:
    """[CLS] a [SEP] b [SEP] of random words and pieces; a special token or two stood in the text."""
    random = np.random.default_rng(seed)
    ids = random.integers(1, 100, length)
    ids[0], ids[-1], ids[random.integers(1, length)] = CLS, SEP, SEP
    return ids.tolist()


def mask(
    sequences: list[list[int]], kind: Masking, *, rate: float = 0.15, most: int | None = None, seed: int = 0
) -> Masked:
    masker = Masker(TOKENIZER, rate=rate, max_predictions=most, masking=kind)
    ids = np.array([one for row in sequences for one in row], np.int32)
    return masker.mask(ids, bounds_of([len(row) for row in sequences]), words(seed, range(len(sequences))))


def word_ends(ids: list[int], start: int) -> int:
    """The end of the word that starts at this place."""
    end = start + 1
    while end < len(ids) and ids[end] >= FIRST_PIECE:
        end += 1
    return end


def words_of(ids: list[int]) -> list[tuple[int, int]]:
    """Start and end of every word; a piece behind a special token starts one."""
    found = []
    place = 0
    while place < len(ids):
        if ids[place] in (PAD, CLS, SEP, MASK):
            place += 1
        else:
            found.append((place, word_ends(ids, place)))
            place = found[-1][1]
    return found


def chosen_words(ids: list[int], number: int, key: int) -> set[int]:
    """The readable twin, after create_masked_lm_predictions with do_whole_word_mask."""
    found: set[int] = set()
    for start, end in sorted(words_of(ids), key=lambda word: int(words(key, Draw.PLACE, word[0]))):
        if len(found) + end - start <= number:
            found |= set(range(start, end))
    return found


def chosen_spans(ids: list[int], number: int, key: int) -> set[int]:
    """The readable twin, after SpanBERT's PairWithSpanMaskingScheme, which draws again what is masked already."""
    found: set[int] = set()
    every = words_of(ids)
    turn = 0
    while len(found) < number:
        free = [place for start, end in every for place in range(start, end) if place not in found]
        drawn = free[int(below(words(key, Draw.SPAN_START, turn), len(free)))]
        length = int(span_words(words(key, Draw.SPAN_LENGTH, turn)))
        word = next(i for i, (start, end) in enumerate(every) if start <= drawn < end)
        for i in range(word, min(word + length, len(every))):
            if i > word and every[i][0] != every[i - 1][1]:
                break  # a special token stands between
            for place in range(*every[i]):
                if len(found) < number:
                    found.add(place)
        turn += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "most"), [(0.15, None), (0.15, 5), (0.5, None), (0.99, None)])
def test_masks_what_the_readable_twin_masks(kind: Masking, rate: float, most: int | None) -> None:
    sequences = [sequence(seed, 4 + 3 * seed) for seed in range(40)]
    masked = mask(sequences, kind, rate=rate, most=most)
    bounds = bounds_of([len(row) for row in sequences])
    for row, ids in enumerate(sequences):
        maskable = sum(end - start for start, end in words_of(ids))
        number = min(max(1, round(len(ids) * rate)), maskable, most or maskable)
        places = masked.places[(masked.places >= bounds[row]) & (masked.places < bounds[row + 1])] - bounds[row]
        assert len(places) == masked.counts[row]
        key = int(words(0, row))
        if kind == "token":
            assert len(places) == number
        else:
            twin = chosen_spans(ids, number, key) if kind == "span" else chosen_words(ids, number, key)
            assert set(places.tolist()) == twin or (not twin and len(places) == number)


@given(st.integers(0, 100), st.lists(st.integers(3, 200), min_size=1, max_size=5), st.sampled_from(KINDS))
@settings(max_examples=60, deadline=None)
def test_only_masked_places_change_and_special_tokens_never(seed: int, lengths: list[int], kind: Masking) -> None:
    sequences = [sequence(seed + i, length) for i, length in enumerate(lengths)]
    masked = mask(sequences, kind, rate=0.4, seed=seed)
    ids = np.array([one for row in sequences for one in row])
    assert (np.diff(masked.places) > 0).all()
    assert masked.originals.tolist() == ids[masked.places].tolist()
    assert not np.isin(masked.originals, [PAD, CLS, SEP, MASK]).any()
    rest = np.delete(np.arange(len(ids)), masked.places)
    assert masked.ids[rest].tolist() == ids[rest].tolist()
    assert masked.counts.sum() == len(masked.places)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_is_masked_alike_in_any_batch(kind: Masking) -> None:
    sequences = [sequence(seed, 50) for seed in range(6)]
    together = mask(sequences, kind)
    masker = Masker(TOKENIZER, rate=0.15, max_predictions=None, masking=kind)
    alone = [
        masker.mask(np.array(ids, np.int32), np.array([0, 50]), words(0, [i])).ids for i, ids in enumerate(sequences)
    ]
    assert together.ids.tolist() == np.concatenate(alone).tolist()


def test_every_token_is_as_likely_to_be_masked() -> None:
    rows = 20_000
    for kind in ("token", "word"):
        masked = mask([[CLS, *range(5, 25), SEP, *range(25, 40), SEP]] * rows, kind, rate=0.15)
        counts = np.bincount(masked.places % 38, minlength=38)
        assert counts[[0, 21, 37]].sum() == 0
        # A sample without replacement varies less than chi-square expects, by the share that is not masked.
        assert chisquare(np.delete(counts, [0, 21, 37])).pvalue > LIKELY
        assert counts.sum() == rows * 6


@pytest.mark.parametrize("kind", ["token", "word"])
def test_masked_places_show_80_10_10_and_random_tokens_any_of_the_vocabulary(kind: Masking) -> None:
    masked = mask([sequence(seed, 128) for seed in range(3000)], kind)
    seen, stood = masked.ids[masked.places], masked.originals
    random = (seen != MASK) & (seen != stood)
    # A random token is the one that stood there once in 100, and [MASK] once in 100.
    expected = np.array([0.8 + 0.1 / 100, 0.1 + 0.1 / 100, 0.1 - 0.2 / 100]) * len(seen)
    assert chisquare([(seen == MASK).sum(), (seen == stood).sum(), random.sum()], expected).pvalue > LIKELY
    counts = np.bincount(seen[random], minlength=100)
    assert counts[MASK] == 0
    assert (np.delete(counts, MASK) > 0).all()  # special tokens and ## pieces as well
    assert chisquare(counts[5:]).pvalue > LIKELY


def test_a_span_shows_one_kind_of_thing() -> None:
    sequences = [[CLS, *([7] * 200), SEP] for _ in range(2000)]
    masked = mask(sequences, "span")
    starts = np.flatnonzero(np.diff(masked.places, prepend=-2) > 1)
    is_mask, is_same = masked.ids[masked.places] == MASK, masked.ids[masked.places] == 7
    shares = []
    for flags in (is_mask, is_same):
        by_span = np.add.reduceat(flags.astype(float), starts) / np.diff(starts, append=len(masked.places))
        shares.append((by_span == 1).mean())
        assert ((by_span == 0) | (by_span == 1)).mean() > 0.98  # but for a random token that is the same by chance
    assert shares == [pytest.approx(0.8, abs=0.01), pytest.approx(0.1, abs=0.01)]


def test_span_lengths_are_geometric_and_cut_off_at_ten() -> None:
    lengths = span_words(words(3, range(100_000)))
    chances = 0.2 * 0.8 ** np.arange(10)
    expected = chances / chances.sum() * len(lengths)
    assert chisquare(np.bincount(lengths, minlength=11)[1:], expected).pvalue > LIKELY
    assert lengths.mean() == pytest.approx(3.8, abs=0.03)  # as the paper says


def test_whole_words_come_whole_and_almost_use_the_budget() -> None:
    sequences = [sequence(seed, 128) for seed in range(500)]
    masked = mask(sequences, "word")
    bounds = bounds_of([128] * 500)
    chosen = set(masked.places.tolist())
    for row, ids in enumerate(sequences):
        for start, end in words_of(ids):
            assert len({int(bounds[row]) + place in chosen for place in range(start, end)}) == 1
    assert (masked.counts <= 19).all()
    assert masked.counts.mean() > 18.9


def test_a_word_longer_than_the_budget_is_masked_in_part_where_there_is_no_other() -> None:
    masked = mask([[CLS, 10, 80, 81, 82, SEP], [CLS, 10, 80, 11, SEP]], "word")
    assert masked.counts.tolist() == [1, 1]
    assert masked.originals.tolist() == [10, 11]


def test_pieces_behind_a_separator_are_not_of_the_word_before_it() -> None:
    ids = [CLS, 10, SEP, 80, 81, 11, SEP]
    for seed in range(20):
        places = set(mask([ids], "word", rate=0.3, seed=seed).places.tolist())
        assert places in ({3, 4}, {1, 5})


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_special_tokens_is_left_alone(kind: Masking) -> None:
    masked = mask([[CLS, SEP, MASK, SEP], [CLS, 10, SEP]], kind)
    assert masked.counts.tolist() == [0, 1]


def test_the_budget_is_the_published_one() -> None:
    lengths = np.arange(3, 513)
    for rate in (0.15, 0.25, 0.5):
        assert budget(lengths, rate, None).tolist() == [max(1, round(int(n) * rate)) for n in lengths]
    assert budget(lengths, 0.15, 20).max() == 20
