"""Single documents: every token once, whole sentences, never across documents."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bertsmith.corpus.packing import plan_documents, target_lengths
from bertsmith.corpus.randomness import words
from bertsmith.corpus.shards import Shard
from bertsmith.text.ragged import bounds_of


def packed(lengths: list[int], target: int, room: int) -> list[int]:
    """The readable twin: tokens in each instance of a document whose sentences have these lengths."""
    runs, full = [], 0
    for length in lengths:
        if full and full + length > target:
            runs.append(full)
            full = 0
        while length > room:
            runs.append(room)
            length -= room
        full += length
    return runs + [full] * (full > 0)


@pytest.mark.parametrize(
    ("room", "short", "longest"), [(126, 0.1, 40), (30, 0.5, 40), (2, 0.0, 9), (3, 1.0, 3), (50, 1.0, 300)]
)
def test_packs_as_the_readable_twin_does(room: int, short: float, longest: int) -> None:
    dice = random.Random(room)
    documents = [[dice.randint(1, longest) for _ in range(dice.randint(1, 30))] for _ in range(80)]
    sentences = bounds_of([length for document in documents for length in document])
    shard = Shard(np.zeros(sentences[-1], np.uint16), sentences, bounds_of([len(one) for one in documents]))
    plan = plan_documents(shard, words(9), room=room, short_probability=short)
    targets = target_lengths(80, words(9), room=room, short_probability=short)
    expected = [
        run for document, target in zip(documents, targets, strict=True) for run in packed(document, target, room)
    ]
    assert np.diff(plan.a).ravel().tolist() == expected
    assert plan.a[0, 0] == 0
    assert (plan.a[1:, 0] == plan.a[:-1, 1]).all()
    assert plan.b is None
    assert not plan.random_next.any()


def test_no_documents_make_no_instances() -> None:
    nothing = Shard(np.zeros(0, np.uint16), bounds_of([]), bounds_of([]))
    assert len(plan_documents(nothing, words(9), room=20, short_probability=0.1)) == 0
