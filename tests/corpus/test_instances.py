"""Instances of a corpus: whole, new every epoch, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.corpus.instances import Builder, InstanceOptions, MaskedBatch, Stream, show
from bertsmith.corpus.manifest import Manifest, write_manifest
from bertsmith.corpus.randomness import below, words
from bertsmith.corpus.shards import Corpus, Shard, write_shard
from bertsmith.errors import DataError, SettingsError
from bertsmith.text import Tokenizer
from bertsmith.text.ragged import bounds_of

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CLS, SEP, MASK = 2, 3, 4
WORDS = 3000
TOKENIZER = Tokenizer.from_vocabulary([*SPECIAL, *(f"w{i}" for i in range(WORDS))])


def random_shard(seed: int, documents: int) -> Shard:
    """Documents whose tokens count up from a random one, so that an instance shows where it is from."""
    sentences = 1 + below(words(seed, 0, range(documents)), 11)
    lengths = 1 + below(words(seed, 1, range(sentences.sum())), 19)
    bounds = bounds_of(lengths)
    sizes = np.diff(bounds[bounds_of(sentences)])
    firsts = np.repeat(below(words(seed, 2, range(documents)), WORDS), sizes)
    return Shard((5 + (firsts + np.arange(len(firsts))) % WORDS).astype(np.uint16), bounds, bounds_of(sentences))


def make_corpus(folder: Path, *sizes: int) -> Corpus:
    """A corpus of shards of so many documents each."""
    TOKENIZER.save(folder)
    facts = TOKENIZER.fingerprint
    infos = [write_shard(folder / f"shard-{i:05}.arrow", random_shard(i, size), facts) for i, size in enumerate(sizes)]
    write_manifest(folder, Manifest(facts, TOKENIZER.vocab_size, {}, shards=tuple(infos)))
    return Corpus.open(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return make_corpus(tmp_path, 30, 3, 20)


def stream_of(corpus: Corpus, batch_size: int = 8, seed: int = 1, **options: Any) -> Stream:
    return Stream(corpus, InstanceOptions(**{"max_length": 48, **options}), seed=seed, batch_size=batch_size)


def facts_of(batch: MaskedBatch) -> list[Any]:
    return [getattr(batch, field.name).tolist() for field in fields(batch)]


def texts_of(batch: MaskedBatch) -> list[tuple[int, ...]]:
    """The ids of each instance before masking."""
    ids = batch.ids.copy()
    ids[batch.masked_places] = batch.masked_ids
    return [tuple(one) for one in np.split(ids, bounds_of(batch.lengths)[1:-1])]


@pytest.mark.parametrize("pairs", [True, False])
def test_instances_are_ranges_of_the_shard_between_special_tokens(pairs: bool) -> None:
    shard = random_shard(0, 40)
    builder = Builder(TOKENIZER, InstanceOptions(max_length=48, pairs=pairs), seed=1)
    plan = builder.plan(shard, 0, 0)
    rows = np.array([5, 0, len(plan) - 1])
    batch = builder.build(shard, plan, rows, 0, 0)
    expected, segments = [], []
    for row in rows:
        ids = [CLS, *shard.ids[slice(*plan.a[row])], SEP]
        segments += [0] * len(ids)
        if plan.b is not None:
            second = [*shard.ids[slice(*plan.b[row])], SEP]
            ids += second
            segments += [1] * len(second)
        expected.append(tuple(ids))
    assert texts_of(batch) == expected
    assert batch.segments.tolist() == segments
    assert batch.random_next.tolist() == plan.random_next[rows].tolist()
    assert batch.lengths.max() <= 48
    assert (batch.ids != MASK).sum() < len(batch.ids)


def test_an_epoch_has_every_planned_instance_once(corpus: Corpus) -> None:
    stream = stream_of(corpus, batch_size=1)
    for pairs in (True, False):
        stream = stream_of(corpus, batch_size=1, pairs=pairs)
        low = 0
        for epoch in range(2):
            high = low + stream.steps_per_epoch(epoch)
            seen = Counter(texts_of(stream.step(step))[0] for step in range(low, high))
            builder = Builder(TOKENIZER, stream.options, stream.seed)
            planned: Counter[tuple[int, ...]] = Counter()
            for index in range(3):
                shard = corpus.shard(index)
                plan = builder.plan(shard, epoch, index)
                planned.update(texts_of(builder.build(shard, plan, np.arange(len(plan)), epoch, index)))
            assert seen == planned
            low = high


def test_epochs_differ_in_order_bounds_and_masks(corpus: Corpus) -> None:
    stream = stream_of(corpus, batch_size=1)
    first = stream.steps_per_epoch(0)
    epochs = [[stream.step(step) for step in range(first)], []]
    epochs[1] = [stream.step(first + step) for step in range(stream.steps_per_epoch(1))]
    texts = [[texts_of(one)[0] for one in epoch] for epoch in epochs]
    both = set(texts[0]) & set(texts[1])
    assert 0 < len(both) < len(set(texts[0]))
    assert [one for one in texts[0] if one in both] != [one for one in texts[1] if one in both]
    masks = [
        {text: one.masked_places.tolist() for text, one in zip(*both, strict=True)}
        for both in zip(texts, epochs, strict=True)
    ]
    assert sum(masks[0][text] == masks[1][text] for text in both) < len(both) / 2


@pytest.mark.parametrize("batch_size", [7, 64, 300])  # steps within a shard, over shards, over epochs
def test_a_step_is_the_same_whatever_was_read_before(corpus: Corpus, batch_size: int) -> None:
    walked = stream_of(corpus, batch_size)
    batches = [facts_of(walked.step(step)) for step in range(9)]
    for step in (8, 4, 0):
        assert facts_of(stream_of(corpus, batch_size).step(step)) == batches[step]
    assert [facts_of(walked.step(step)) for step in (5, 4, 8)] == [batches[step] for step in (5, 4, 8)]
    assert facts_of(stream_of(corpus, batch_size, seed=2).step(0)) != batches[0]


def test_the_batch_size_does_not_change_the_order(corpus: Corpus) -> None:
    small, large = stream_of(corpus, 5), stream_of(corpus, 300)  # an epoch has fewer
    assert small.steps_per_epoch() * 5 < 300
    assert facts_of(MaskedBatch.concatenate([small.step(step) for step in range(60)])) == facts_of(large.step(0))


def test_an_epoch_at_a_time_is_the_stream(corpus: Corpus) -> None:
    stream = stream_of(corpus, 7)
    epochs = [list(stream.epoch(epoch)) for epoch in range(2)]
    for epoch in epochs:
        shares = [share for share, _ in epoch]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert {len(batch) for _, batch in epoch[:3]} == {7}
    whole = MaskedBatch.concatenate([batch for epoch in epochs for _, batch in epoch])
    assert facts_of(whole) == facts_of(stream_of(corpus, len(whole)).step(0))
    assert facts_of(next(stream_of(corpus, 7).epoch(1))[1]) == facts_of(epochs[1][0][1])


def test_the_order_stays_what_it_is(corpus: Corpus) -> None:
    batch = stream_of(corpus).step(2)
    assert batch.lengths.tolist() == [24, 40, 35, 48, 34, 27, 47, 23]
    assert batch.masked_places[:6].tolist() == [8, 10, 12, 14, 28, 34]
    assert batch.ids.sum() == 418441


@pytest.mark.parametrize("batch_size", [12, 100])
def test_ranks_share_a_step_whatever_their_number(corpus: Corpus, batch_size: int) -> None:
    stream = stream_of(corpus, batch_size)
    for step in (0, 6, 11):
        whole = stream.step(step)
        for ranks in (2, 3):
            share = batch_size // ranks
            parts = [stream.step(step, slice(rank * share, (rank + 1) * share)) for rank in range(ranks)]
            assert facts_of(MaskedBatch.concatenate(parts)) == facts_of(whole.part(0, share * ranks))
            striped = [texts_of(stream.step(step, slice(rank, None, ranks))) for rank in range(ranks)]
            assert sorted(chain.from_iterable(striped)) == sorted(texts_of(whole))
        assert facts_of(whole.part(3, 9)) == facts_of(stream.step(step, slice(3, 9)))


def test_steps_per_epoch_rounds_up(corpus: Corpus) -> None:
    number = stream_of(corpus, 1).steps_per_epoch()
    assert stream_of(corpus, 7).steps_per_epoch() == -(-number // 7)
    assert stream_of(corpus, 10**6).steps_per_epoch() == 1


def test_shards_that_were_passed_are_let_go(corpus: Corpus) -> None:
    stream = stream_of(corpus)
    stream.step(200)
    assert len(stream._planned) <= 2


def test_evaluation_reads_a_shard_once_in_order() -> None:
    shard = random_shard(3, 20)
    builder = Builder(TOKENIZER, InstanceOptions(max_length=48, pairs=False, short_probability=0), seed=1)
    batches = list(builder.in_order(shard, 5))
    assert [len(batch) for batch in batches[:-1]] == [5] * (len(batches) - 1)
    tokens = [token for batch in batches for text in texts_of(batch) for token in text[1:-1]]
    assert tokens == shard.ids.tolist()
    assert [facts_of(batch) for batch in builder.in_order(shard, 5)] == [facts_of(batch) for batch in batches]


def test_one_document_cannot_make_pairs_and_none_cannot_make_anything(tmp_path: Path) -> None:
    single, empty = make_corpus(tmp_path / "single", 1), make_corpus(tmp_path / "empty")
    with pytest.raises(DataError, match=r"one document only, .* --no-pairs$"):
        stream_of(single)
    assert len(stream_of(single, pairs=False).step(3)) == 8
    with pytest.raises(DataError, match="no documents to train on"):
        stream_of(empty, pairs=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_rate": 0.0}, "--mask-rate is 0; it must be more than 0"),
        ({"mask_rate": 1.0}, "--mask-rate is 1; it must be more than 0.* less than 1"),
        ({"mask_rate": float("nan")}, "--mask-rate is nan"),
        ({"max_predictions": 0}, "--max-predictions is 0; it must be from 1 to 125"),
        ({"max_predictions": 127, "pairs": False}, "from 1 to 126"),
        ({"max_length": 4}, "--max-length is 4; it must be 5 or more"),
        ({"max_length": 3, "pairs": False}, "it must be 4 or more"),
        ({"short_probability": 1.1}, "--short-probability is 1.1; it must be from 0 to 1"),
        ({"masking": "words"}, "--masking 'words' is not known; did you mean 'word'"),
    ],
)
def test_options_that_cannot_be_met_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        InstanceOptions(**options)


def test_the_shortest_instances_that_may_be_asked_for_are_made() -> None:
    for pairs, length in ((True, 5), (False, 4)):
        builder = Builder(TOKENIZER, InstanceOptions(max_length=length, pairs=pairs), seed=1)
        for batch in builder.in_order(random_shard(0, 10), 50):
            assert batch.lengths.max() <= length
            assert (batch.masked_counts == 1).all()


def test_show_reads_as_a_person_would() -> None:
    tokenizer = Tokenizer.from_vocabulary([*SPECIAL, "the", "mask", "##ed", "ball", "is", "over"])
    the, mask, ed, ball, is_, over = range(5, 11)
    pair = [CLS, the, mask, MASK, ball, SEP, the, is_, over, SEP]
    batch = MaskedBatch(
        ids=np.array([*pair, CLS, mask, ed, SEP]),
        segments=np.array([0] * 6 + [1] * 4 + [0] * 4),
        lengths=np.array([10, 4]),
        masked_places=np.array([3, 6, 7, 11]),
        masked_ids=np.array([ed, over, is_, mask]),
        masked_counts=np.array([3, 1]),
        random_next=np.array([True, False]),
    )
    assert show(batch, tokenizer) == [
        "10 tokens, 3 masked, B is random\n  A: the mask [MASK|##ed] ball\n  B: [the|over] [=is] over",
        "4 tokens, 1 masked\n  [=mask]ed",
    ]
