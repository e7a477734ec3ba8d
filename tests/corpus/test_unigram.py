"""The loss of guessing by frequency, against the plain sum."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from bertsmith.corpus import unigram
from bertsmith.corpus.shards import Shard
from bertsmith.corpus.unigram import unigram_loss


class Held:
    """Two shards and held-out text of a vocabulary of 7."""

    vocab_size = 7
    texts = ([1, 1, 2, 3, 1], [2, 2, 6], [1, 5, 2, 2])

    @property
    def shards(self) -> tuple[int, int]:
        return 0, 1

    def shard(self, index: int) -> Shard:
        ids = np.array(self.texts[index], np.uint16)
        return Shard(ids, np.array([0, len(ids)]), np.array([0, 1]))

    def held_out_shard(self) -> Shard:
        return self.shard(2)


@pytest.mark.parametrize(("enough", "counted"), [(2**27, 2), (4, 1)])
def test_it_is_the_mean_of_what_each_token_costs(enough: int, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unigram, "ENOUGH_TOKENS", enough)
    held = Held()
    counts = Counter(token for text in held.texts[:counted] for token in text)
    total = sum(counts.values()) + held.vocab_size
    costs = [-math.log((counts[token] + 1) / total) for token in held.texts[2]]
    assert unigram_loss(held) == pytest.approx(sum(costs) / len(costs))  # type: ignore[arg-type]
