"""Cutting and joining against the same done one row at a time, and against transformers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bertsmith.errors import TokenizerError
from bertsmith.text.join import TRUNCATIONS, arrange, range_places, windows
from bertsmith.text.ragged import bounds_of

CLS, SEP = 1000, 1001
WORD_COUNTS = list(itertools.product(range(8), range(8)))


def rows_of(ids: np.ndarray, bounds: np.ndarray) -> list[list[int]]:
    return [ids[start:end].tolist() for start, end in itertools.pairwise(bounds)]


def flat(lengths: list[int], start: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts of these lengths, every piece different."""
    return np.arange(start, start + sum(lengths), dtype=np.int32), bounds_of(lengths)


def cut_one(a: list[int], b: list[int] | None, max_length: int | None, truncation: str) -> list[int]:
    """One row the slow way: take pieces away one at a time until they fit."""
    room = 10**9 if max_length is None else max_length - (2 if b is None else 3)
    keep_a, keep_b = len(a), len(b or [])
    while keep_a + keep_b > room:
        first = keep_a > keep_b or (keep_a == keep_b and len(a) <= len(b or []))
        if truncation == "only_first" or (truncation != "only_second" and first):
            keep_a -= 1
        else:
            keep_b -= 1

    def kept(text: list[int], keep: int) -> list[int]:
        if keep == len(text):
            return text
        head = -(-keep // 4) if truncation == "head_tail" else keep
        return text[:head] + text[len(text) - (keep - head) :]

    return [CLS, *kept(a, keep_a), SEP] + ([] if b is None else [*kept(b, keep_b), SEP])


@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "head_tail"])
@pytest.mark.parametrize("max_length", [None, 2, 3, 4, 5, 7, 8, 9, 13, 40])
def test_single_texts(truncation, max_length) -> None:
    lengths = [0, 1, 2, 3, 5, 8, 13, 21, 0, 34, 4]
    ids, bounds = flat(lengths, 0)
    ragged = arrange(bounds, max_length=max_length, truncation=truncation).ragged(ids, None, CLS, SEP)
    expected = [cut_one(row, None, max_length, truncation) for row in rows_of(ids, bounds)]
    assert rows_of(ragged.ids, ragged.bounds) == expected
    assert ragged.cut.tolist() == [length + 2 - len(row) for length, row in zip(lengths, expected, strict=True)]
    assert not ragged.segments.any()
    assert (ragged.ids.dtype, ragged.segments.dtype, ragged.bounds.dtype, ragged.cut.dtype) == (
        np.int32,
        np.uint8,
        np.int64,
        np.int32,
    )


@pytest.mark.parametrize("truncation", ["longest_first", "head_tail"])
@pytest.mark.parametrize("max_length", [None, 3, 4, 5, 6, 7, 8, 11, 12, 17])
def test_pairs(truncation, max_length) -> None:
    ids_a, bounds_a = flat([a for a, _ in WORD_COUNTS], 0)
    ids_b, bounds_b = flat([b for _, b in WORD_COUNTS], 500)
    layout = arrange(bounds_a, bounds_b, max_length=max_length, truncation=truncation)
    ragged = layout.ragged(ids_a, ids_b, CLS, SEP)
    expected = [
        cut_one(a, b, max_length, truncation)
        for a, b in zip(rows_of(ids_a, bounds_a), rows_of(ids_b, bounds_b), strict=True)
    ]
    assert rows_of(ragged.ids, ragged.bounds) == expected
    assert ragged.cut.tolist() == [sum(c) + 3 - len(row) for c, row in zip(WORD_COUNTS, expected, strict=True)]
    places = layout.pour(np.arange(len(ids_a)), np.arange(len(ids_b)), -1)
    assert np.array_equal(places == -1, np.isin(ragged.ids, [CLS, SEP]))
    assert (ragged.segments == 1).tolist() == [
        segment
        for row in expected
        for segment in [False] * (row.index(SEP) + 1) + [True] * (len(row) - row.index(SEP) - 1)
    ]


@pytest.mark.parametrize("max_length", [4, 5, 6, 7, 8, 9, 10, 11, 17])
@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "only_second"])
def test_pairs_as_transformers_cuts_them(truncation, max_length, tokenizer, tmp_path_factory) -> None:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    fitted = 0
    for a, b in WORD_COUNTS:
        first, second = [" ".join("abcdefgh"[:a])], [" ".join("stuvwxyz"[:b])]
        options = {"max_length": max_length, "truncation": truncation}
        try:
            expected = theirs(first, second, **options)
        except Exception as error:  # the library raises a bare Exception
            if "too short to respect" not in str(error):
                raise
            with pytest.raises(TokenizerError, match=r"row 0: \d+ tokens too many"):
                tokenizer.encode(first, second, **options)
            continue
        ragged = tokenizer.encode(first, second, **options)
        assert ragged.ids.tolist() == expected["input_ids"][0], (a, b)
        assert ragged.segments.tolist() == expected["token_type_ids"][0], (a, b)
        fitted += 1
    assert fitted == 64 if truncation == "longest_first" else 0 < fitted <= 64


@pytest.mark.parametrize(("max_length", "stride"), [(9, 0), (9, 2), (12, 5), (60, 2)])
def test_windows_are_those_of_transformers(max_length, stride, tokenizer, tmp_path_factory) -> None:
    """Contexts of many lengths behind questions of several, so that rooms differ."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    questions = [" ".join("xyz"[: count % 4]) for count in range(60)]
    contexts = [" ".join(itertools.islice(itertools.cycle("abcdefghijk"), count)) for count in range(60)]
    options = {"max_length": max_length, "stride": stride, "truncation": "only_second"}
    expected = theirs(questions, contexts, return_overflowing_tokens=True, **options)
    ids, bounds = tokenizer.encode_pieces(contexts)
    room = np.array([max_length - 3 - count % 4 for count in range(60)])
    rows, starts, ends = windows(bounds, room, stride)
    assert rows.tolist() == expected["overflow_to_sample_mapping"]
    parts = [row[row.index(tokenizer.sep_id) + 1 : -1] for row in expected["input_ids"]]
    assert [ids[start:end].tolist() for start, end in zip(starts, ends, strict=True)] == parts


def test_head_and_tail_of_512_are_128_and_382() -> None:
    ids, bounds = flat([1000], 0)
    kept = arrange(bounds, max_length=512, truncation="head_tail").ragged(ids, None, CLS, SEP).ids[1:-1]
    assert kept.tolist() == [*range(128), *range(1000 - 382, 1000)]


@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_no_texts(truncation) -> None:
    layout = arrange(bounds_of([]), bounds_of([]), max_length=8, truncation=truncation)
    ragged = layout.ragged(np.empty(0, np.int32), np.empty(0, np.int32), CLS, SEP)
    assert (len(ragged), len(ragged.ids), ragged.bounds.tolist()) == (0, 0, [0])


@pytest.mark.parametrize(
    ("pairs", "max_length", "truncation", "message"),
    [
        (False, 1, "longest_first", "max_length 1 has no room for the 2 special tokens"),
        (True, 2, "longest_first", "max_length 2 has no room for the 3 special tokens"),
        (False, 9, "only_second", "'only_second' needs pairs"),
        (False, 9, "longest", "no truncation 'longest'; valid: longest_first"),
        (True, 6, "only_first", "row 1: 2 tokens too many, but its first text has only 1"),
    ],
)
def test_what_is_refused(pairs, max_length, truncation, message) -> None:
    bounds_b = bounds_of([1, 4]) if pairs else None
    with pytest.raises(TokenizerError, match=message):
        arrange(bounds_of([1, 1]), bounds_b, max_length=max_length, truncation=truncation)


def test_texts_and_pairs_must_be_as_many() -> None:
    with pytest.raises(TokenizerError, match="2 texts but 1 pairs"):
        arrange(bounds_of([1, 1]), bounds_of([1]))


def test_ranges_may_overlap_and_be_empty() -> None:
    places, bounds = range_places(np.array([3, 2, 9]), np.array([6, 4, 9]))
    assert places.tolist() == [3, 4, 5, 2, 3]
    assert bounds.tolist() == [0, 3, 5, 5]
