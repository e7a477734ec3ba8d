"""Rectangles of sequences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.engine.buckets import ROWS, buckets_by_length, runs_of_one_width
from bertsmith.text.ragged import Ragged, bounds_of


def sequences_of(lengths: list[int]) -> Ragged:
    total = sum(lengths)
    ids = np.arange(1, total + 1, dtype=np.int32)
    return Ragged(ids, (ids % 2).astype(np.uint8), bounds_of(lengths), np.zeros(len(lengths), np.int32))


@given(st.lists(st.integers(1, 60), max_size=80), st.integers(1, 400))
def test_every_sequence_is_in_one_rectangle(lengths: list[int], pass_tokens: int) -> None:
    sequences = sequences_of(lengths)
    seen = []
    for bucket in buckets_by_length(sequences, pass_tokens):
        assert bucket.ids.size <= pass_tokens or len(bucket.rows) == 1
        for row, ids, segments, mask in zip(bucket.rows, bucket.ids, bucket.segments, bucket.mask, strict=True):
            own = slice(sequences.bounds[row], sequences.bounds[row + 1])
            assert ids[mask > 0].tolist() == sequences.ids[own].tolist()
            assert segments[mask > 0].tolist() == sequences.segments[own].tolist()
            assert not ids[mask == 0].any()
            assert mask[: lengths[row]].all()
            assert not mask[lengths[row] :].any()
            seen.append(int(row))
    assert sorted(seen) == list(range(len(lengths)))


def test_many_sequences_make_few_shapes() -> None:
    lengths = np.sort(np.random.default_rng(0).integers(5, 60, 10_000))[::-1]
    runs = runs_of_one_width(lengths, 2048)
    shapes = {(high - low, int(lengths[low])) for low, high in runs}
    places = sum((high - low) * int(lengths[low]) for low, high in runs)
    assert len(shapes) <= 60
    assert places / lengths.sum() < 1.03
    assert all((high - low) % ROWS == 0 for low, high in runs[:-1])


@pytest.mark.parametrize(("lengths", "runs"), [([], []), ([900], [(0, 1)]), ([9] * 20, [(0, 8), (8, 16), (16, 20)])])
def test_runs(lengths: list[int], runs: list[tuple[int, int]]) -> None:
    assert runs_of_one_width(np.array(lengths, dtype=np.int64), 100) == runs
