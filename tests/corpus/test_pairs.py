"""Pairs: the published script, told the same decisions, makes the same pairs; left to its own dice, pairs alike."""

from __future__ import annotations

import random
from typing import Protocol

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare, ks_2samp

from bertsmith.corpus.packing import Instances
from bertsmith.corpus.pairs import plan_pairs
from bertsmith.corpus.randomness import Draw, below, coin, uniform, words
from bertsmith.corpus.shards import Shard
from bertsmith.text.ragged import bounds_of

LIKELY = 1e-4
Documents = list[list[list[int]]]
Pair = tuple[list[int], list[int], bool]


class Decisions(Protocol):
    """What the script asks its random generator for, with the place it is asked at."""

    def short(self, document: int) -> float: ...
    def target(self, document: int, room: int) -> int: ...
    def split(self, document: int, chunk: int, last: int) -> int: ...
    def random_next(self, document: int, chunk: int) -> bool: ...
    def other(self, document: int, chunk: int, num_documents: int) -> int: ...
    def start(self, document: int, chunk: int, num_sentences: int) -> int: ...
    def front(self, document: int, chunk: int, cut: Draw, done: int) -> bool: ...


class Dice(random.Random):
    """Decisions by a random generator, as the published script takes them."""

    def short(self, document: int) -> float:
        return self.random()

    def target(self, document: int, room: int) -> int:
        return self.randint(2, room)

    def split(self, document: int, chunk: int, last: int) -> int:
        return self.randint(1, last)

    def random_next(self, document: int, chunk: int) -> bool:
        return self.random() < 0.5

    def other(self, document: int, chunk: int, num_documents: int) -> int:
        for _ in range(10):
            other = self.randint(0, num_documents - 1)
            if other != document:
                break
        return other

    def start(self, document: int, chunk: int, num_sentences: int) -> int:
        return self.randint(0, num_sentences - 1)

    def front(self, document: int, chunk: int, cut: Draw, done: int) -> bool:
        return self.random() < 0.5


class Places:
    """The same decisions by the words of their places."""

    def __init__(self, key: int) -> None:
        self.key = key

    def short(self, document: int) -> float:
        return float(uniform(words(self.key, Draw.SHORT, document)))

    def target(self, document: int, room: int) -> int:
        return 2 + int(below(words(self.key, Draw.TARGET, document), room - 1))

    def split(self, document: int, chunk: int, last: int) -> int:
        return 1 + int(below(words(self.key, Draw.PLAN, document, chunk, Draw.SPLIT), last))

    def random_next(self, document: int, chunk: int) -> bool:
        return bool(coin(words(self.key, Draw.PLAN, document, chunk, Draw.RANDOM_NEXT)))

    def other(self, document: int, chunk: int, num_documents: int) -> int:
        others = [one for one in range(num_documents) if one != document]
        return others[int(below(words(self.key, Draw.PLAN, document, chunk, Draw.OTHER_DOCUMENT), len(others)))]

    def start(self, document: int, chunk: int, num_sentences: int) -> int:
        return int(below(words(self.key, Draw.PLAN, document, chunk, Draw.OTHER_START), num_sentences))

    def front(self, document: int, chunk: int, cut: Draw, done: int) -> bool:
        word = int(words(self.key, Draw.PLAN, document, chunk, cut, done // 64))
        return bool(word >> done % 64 & 1)


def published(documents: Documents, index: int, room: int, short: float, decide: Decisions) -> list[Pair]:
    """The pairs of a document as create_instances_from_document and truncate_seq_pair make them, token by token."""
    document, pairs = documents[index], []
    target = decide.target(index, room) if decide.short(index) < short else room
    chunk: list[list[int]] = []
    i = 0
    while i < len(document):
        chunk.append(document[i])
        if i == len(document) - 1 or sum(map(len, chunk)) >= target:
            number = len(pairs)
            end = decide.split(index, number, len(chunk) - 1) if len(chunk) >= 2 else 1
            a = [token for sentence in chunk[:end] for token in sentence]
            b: list[int] = []
            if is_random := len(chunk) == 1 or decide.random_next(index, number):
                other = documents[decide.other(index, number, len(documents))]
                for sentence in other[decide.start(index, number, len(other)) :]:
                    b += sentence
                    if len(b) >= target - len(a):
                        break
                i -= len(chunk) - end
            else:
                b = [token for sentence in chunk[end:] for token in sentence]
            done = {Draw.CUT_FIRST: 0, Draw.CUT_SECOND: 0}
            while len(a) + len(b) > room:
                cut, longer = (Draw.CUT_FIRST, a) if len(a) > len(b) else (Draw.CUT_SECOND, b)
                longer.pop(0 if decide.front(index, number, cut, done[cut]) else -1)
                done[cut] += 1
            pairs.append((a, b, is_random))
            chunk = []
        i += 1
    return pairs


def random_documents(seed: int, number: int, sentences: int = 30, tokens: int = 40) -> Documents:
    """Documents whose tokens are all different, so that a range is known by its tokens."""
    dice, token = random.Random(seed), iter(range(10**9))
    return [
        [[next(token) for _ in range(dice.randint(1, tokens))] for _ in range(dice.randint(1, sentences))]
        for _ in range(number)
    ]


def shard_of(documents: Documents) -> Shard:
    sentences = [sentence for document in documents for sentence in document]
    ids = np.array([token for sentence in sentences for token in sentence], np.int32)
    return Shard(ids, bounds_of([len(one) for one in sentences]), bounds_of([len(one) for one in documents]))


def pairs_of(shard: Shard, plan: Instances) -> list[Pair]:
    assert plan.b is not None
    rows = zip(plan.a, plan.b, plan.random_next, strict=True)
    return [(shard.ids[slice(*a)].tolist(), shard.ids[slice(*b)].tolist(), bool(other)) for a, b, other in rows]


@pytest.mark.parametrize(
    ("room", "short", "sentences", "tokens"),
    [(125, 0.1, 30, 40), (29, 0.5, 30, 40), (2, 0.0, 5, 9), (3, 1.0, 40, 3), (61, 1.0, 1, 400), (509, 0.1, 3, 5)],
)
def test_the_same_decisions_make_the_same_pairs(room: int, short: float, sentences: int, tokens: int) -> None:
    documents = random_documents(1, 40, sentences, tokens)
    shard = shard_of(documents)
    for key in range(2):
        expected = [pair for i in range(len(documents)) for pair in published(documents, i, room, short, Places(key))]
        assert pairs_of(shard, plan_pairs(shard, words(key), room=room, short_probability=short)) == expected


def test_the_dice_of_the_published_script_make_pairs_of_the_same_kind() -> None:
    documents, room = random_documents(2, 400), 125
    shard = shard_of(documents)
    ours, theirs = [], []
    for seed in range(3):
        ours += pairs_of(shard, plan_pairs(shard, words(seed), room=room, short_probability=0.1))
        dice = Dice(seed)
        theirs += [pair for i in range(len(documents)) for pair in published(documents, i, room, 0.1, dice)]
    assert len(ours) == pytest.approx(len(theirs), rel=0.02)
    for fact in (
        lambda a, b, other: len(a),
        lambda a, b, other: len(b),
        lambda a, b, other: len(a) + len(b),
        lambda a, b, other: other * 1.0,
        lambda a, b, other: a[0],
        lambda a, b, other: b[0],
        lambda a, b, other: b[0] - a[-1] if not other else 0,  # tokens that truncation left out between the texts
    ):
        assert ks_2samp([fact(*pair) for pair in ours], [fact(*pair) for pair in theirs]).pvalue > LIKELY


def test_half_of_the_second_texts_are_from_any_other_document() -> None:
    documents = [[[100 * d + s] for s in range(40)] for d in range(12)]  # every sentence is one token
    shard = shard_of(documents)
    pairs = [
        pair
        for key in range(120)
        for pair in pairs_of(shard, plan_pairs(shard, words(key), room=9, short_probability=0.0))
        if pair[0][0] // 100 == 4 and pair[0][0] != 439  # the last sentence of a document is alone
    ]
    assert len(pairs) > 500
    true = [(a, b) for a, b, other in pairs if not other]
    assert binomtest(len(true), len(pairs), 0.5).pvalue > LIKELY
    assert all(b[0] == a[-1] + 1 for a, b in true)
    others = np.bincount([b[0] // 100 for _, b, other in pairs if other], minlength=12)
    assert others[4] == 0
    assert chisquare(np.delete(others, 4)).pvalue > LIKELY


def test_a_tenth_of_the_documents_aim_at_any_shorter_length() -> None:
    shard = shard_of([[[0]] * 64] * 4000)  # every sentence is one token, so that a chunk has what it aims at
    plan = plan_pairs(shard, words(1), room=32, short_probability=0.1)
    assert plan.b is not None
    first = np.searchsorted(plan.a[:, 0], 64 * np.arange(4000))  # the first pair of each document
    first = first[~plan.random_next[first]]
    aims = plan.b[first, 1] - plan.a[first, 0]
    counts = np.bincount(aims, minlength=33)
    assert counts[:2].sum() == 0
    assert binomtest(int(counts[2:32].sum()), len(aims), 0.1 * 30 / 31).pvalue > LIKELY
    assert chisquare(counts[2:32]).pvalue > LIKELY


def test_truncation_takes_from_front_and_back_alike() -> None:
    shard = shard_of([[[0] * 500], [[0] * 300]] * 1000)
    plan = plan_pairs(shard, words(5), room=100, short_probability=0.0)
    assert plan.b is not None
    for ranges in (plan.a, plan.b):
        assert (ranges[:, 1] - ranges[:, 0] == 50).all()
    fronts = plan.a[:, 0] - shard.sentences[:-1]
    lost = np.where(np.arange(2000) % 2, 250, 450)
    assert binomtest(int(fronts.sum()), int(lost.sum()), 0.5).pvalue > LIKELY
    assert np.var((fronts - lost / 2) / np.sqrt(lost / 4)) == pytest.approx(1, abs=0.15)  # each token has its own coin


def test_of_a_single_document_no_text_is_called_random() -> None:
    shard = shard_of(random_documents(3, 1))
    plan = plan_pairs(shard, words(1), room=60, short_probability=0.1)
    assert len(plan) > 0
    assert plan.b is not None
    assert not plan.random_next.any()
    assert (plan.a[:, 1] > plan.a[:, 0]).all()
    assert (plan.b[:, 1] > plan.b[:, 0]).all()
    assert len(plan_pairs(shard_of([[[1, 2, 3]]]), words(1), room=60, short_probability=0.1)) == 0


def test_no_documents_make_no_pairs() -> None:
    assert len(plan_pairs(shard_of([]), words(1), room=60, short_probability=0.1)) == 0
