"""Instances for pretraining, made as they are read, new ones every epoch.

Enters: a corpus, options and a seed. Leaves: `MaskedBatch` for any step. Knows nothing of models and devices.

Nothing is stored between steps: the order of shards and instances, their bounds and their masks all follow from (seed,
epoch, shard, place). So a run resumed at any step, with any number of ranks or workers, sees what it would have seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.masking import Masker, Masking
from bertsmith.corpus.packing import Instances, plan_documents
from bertsmith.corpus.pairs import plan_pairs
from bertsmith.corpus.randomness import Draw, permutation, words
from bertsmith.corpus.shards import Corpus, Shard
from bertsmith.errors import DataError, SettingsError, count, nearest
from bertsmith.text import Tokenizer
from bertsmith.text.join import range_places
from bertsmith.text.ragged import bounds_of

SHORTEST_ROOM = 2  # tokens of text in the shortest instance that may be asked for


@dataclass(frozen=True)
class InstanceOptions:
    """How instances are made of documents, as the command line and TOML files name it."""

    max_length: int = 128
    """Most tokens in an instance, [CLS] and [SEP] included."""
    pairs: bool = True
    """Pairs of texts for next sentence prediction; otherwise whole sentences of single documents, as RoBERTa."""
    short_probability: float = 0.1
    """Share of documents whose instances aim at a random shorter length."""
    mask_rate: float = 0.15
    """Share of tokens that are masked."""
    max_predictions: int | None = None
    """Most masked tokens in an instance; as many as --mask-rate asks for if not given."""
    masking: Masking = "token"
    """What is masked: single tokens, whole words, or spans of words as in SpanBERT."""

    def __post_init__(self) -> None:
        if self.masking not in get_args(Masking):
            raise SettingsError(f"--masking {self.masking!r} is not known; {nearest(self.masking, get_args(Masking))}")
        shortest = self.num_special + SHORTEST_ROOM
        if self.max_length < shortest:
            raise SettingsError(
                f"--max-length is {self.max_length}; it must be {shortest} or more, {self.num_special} of them special"
            )
        if not 0 <= self.short_probability <= 1:
            raise SettingsError(f"--short-probability is {self.short_probability:g}; it must be from 0 to 1")
        if not 0 < self.mask_rate < 1:
            raise SettingsError(
                f"--mask-rate is {self.mask_rate:g}; it must be more than 0, or there is nothing to learn, and less "
                f"than 1, or nothing to learn it from"
            )
        if self.max_predictions is not None and not 1 <= self.max_predictions <= self.room:
            raise SettingsError(
                f"--max-predictions is {self.max_predictions}; it must be from 1 to {self.room}, the tokens of text in "
                f"an instance of --max-length {self.max_length}"
            )

    @property
    def num_special(self) -> int:
        """Special tokens in an instance: [CLS], and a [SEP] behind each text."""
        return 3 if self.pairs else 2

    @property
    def room(self) -> int:
        """Most tokens of text in an instance."""
        return self.max_length - self.num_special


@dataclass(frozen=True)
class PaddedInstanceOptions(InstanceOptions):
    """How instances are made for a reader that wants all of one size."""

    max_predictions: int = 20
    """Most masked tokens in an instance; those with fewer are padded to it."""


@dataclass(frozen=True)
class MaskedBatch:
    """B instances of N tokens in all, packed end to end, with M of them masked.

    ids:           (N,) int64, as the model sees them
    segments:      (N,) int64, 0 for the first text, 1 for the second
    lengths:       (B,) int64, tokens in each instance
    masked_places: (M,) int64, where the masked tokens are among the N, ascending
    masked_ids:    (M,) int64, what stood there
    masked_counts: (B,) int64, masked tokens in each instance
    random_next:   (B,) bool, whether the second text is from another document; all False for single texts
    """

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    lengths: NDArray[np.int64]
    masked_places: NDArray[np.int64]
    masked_ids: NDArray[np.int64]
    masked_counts: NDArray[np.int64]
    random_next: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self, low: int, high: int) -> MaskedBatch:
        """Instances from ``low`` up to ``high``."""
        tokens, masked = bounds_of(self.lengths), bounds_of(self.masked_counts)
        of_tokens, of_masked = slice(tokens[low], tokens[high]), slice(masked[low], masked[high])
        return MaskedBatch(
            self.ids[of_tokens],
            self.segments[of_tokens],
            self.lengths[low:high],
            self.masked_places[of_masked] - tokens[low],
            self.masked_ids[of_masked],
            self.masked_counts[low:high],
            self.random_next[low:high],
        )

    @staticmethod
    def concatenate(parts: Sequence[MaskedBatch]) -> MaskedBatch:
        """One batch of the instances of all ``parts``, of which there is at least one."""
        offsets = bounds_of([len(part.ids) for part in parts])
        return MaskedBatch(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.segments for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.masked_places + offset for part, offset in zip(parts, offsets, strict=False)]),
            np.concatenate([part.masked_ids for part in parts]),
            np.concatenate([part.masked_counts for part in parts]),
            np.concatenate([part.random_next for part in parts]),
        )


class Builder:
    """Makes instances of shards for one tokenizer, set of options and seed."""

    def __init__(self, tokenizer: Tokenizer, options: InstanceOptions, seed: int) -> None:
        self.tokenizer = tokenizer
        self.options = options
        self.seed = seed
        self._masker = Masker(
            tokenizer,
            rate=options.mask_rate,
            max_predictions=options.max_predictions,
            masking=options.masking,
        )

    def plan(self, shard: Shard, epoch: int, index: int) -> Instances:
        """All instances of the shard of this index in an epoch."""
        plan = plan_pairs if self.options.pairs else plan_documents
        key = words(self.seed, Draw.PLAN, epoch, index)
        return plan(shard, key, room=self.options.room, short_probability=self.options.short_probability)

    def build(self, shard: Shard, instances: Instances, rows: NDArray[np.int64], epoch: int, index: int) -> MaskedBatch:
        """The named instances (B,), as planned for this epoch and index, masked."""
        first = pieces(shard, instances.a[rows])
        second = (None, None) if instances.b is None else pieces(shard, instances.b[rows])
        whole = self.tokenizer.build(*first, *second)
        masked = self._masker.mask(whole.ids, whole.bounds, words(self.seed, Draw.MASK, epoch, index, rows))
        return MaskedBatch(
            ids=masked.ids.astype(np.int64),
            segments=whole.segments.astype(np.int64),
            lengths=whole.lengths,
            masked_places=masked.places,
            masked_ids=masked.originals.astype(np.int64),
            masked_counts=masked.counts,
            random_next=instances.random_next[rows],
        )

    def in_order(self, shard: Shard, batch_size: int) -> Iterator[MaskedBatch]:
        """All instances of a shard once, in the order of its text, the last batch maybe smaller: for evaluation."""
        instances = self.plan(shard, 0, 0)
        for low in range(0, len(instances), batch_size):
            rows = np.arange(low, min(low + batch_size, len(instances)))
            yield self.build(shard, instances, rows, 0, 0)


def pieces(shard: Shard, ranges: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The ids (N,) of ranges (B, 2) of a shard's tokens, and the bounds (B+1,) of each range there."""
    places, bounds = range_places(ranges[:, 0], ranges[:, 1])
    return shard.ids[places].astype(np.int32), bounds


class Stream:
    """The endless order of a corpus's instances, and the batch of any step of it.

    An epoch goes through all shards in an order of its own, and through the instances of each shard in an order of its
    own. Step ``s`` is instances ``s * batch_size`` up to ``(s + 1) * batch_size``, whatever shard or epoch they are in.
    To find a step, the shards before it are planned once, but not built. For one thread.

    Raises `DataError` for a corpus that has nothing to learn from.
    """

    def __init__(self, corpus: Corpus, options: InstanceOptions, *, seed: int, batch_size: int) -> None:
        documents = sum(info.documents for info in corpus.shards)
        if not documents:
            raise DataError(f"{corpus.folder}: no documents to train on; prepare the corpus from more text")
        if options.pairs and documents < 2:
            raise DataError(
                f"{corpus.folder}: one document only, and next sentence prediction needs sentences of another; prepare "
                f"the corpus from more documents, or train with --no-pairs"
            )
        self.corpus = corpus
        self.options = options
        self.seed = seed
        self.batch_size = batch_size
        self._builder = Builder(corpus.tokenizer(), options, seed)
        self._bounds = [0]  # instances before each visit; a visit is one shard in one epoch
        self._planned: OrderedDict[int, Visit] = OrderedDict()

    def step(self, step: int, part: slice = slice(None)) -> MaskedBatch:
        """The batch of a step, counted from 0 over all epochs; or a part of one instance or more, as for a rank."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)[part]
        batches = []
        while len(places):
            visit = self._visit_at(int(places[0]))
            inside = int(np.searchsorted(places, self._bounds[visit.number + 1]))
            rows = visit.order[places[:inside] - self._bounds[visit.number]]
            batches.append(self._builder.build(visit.shard, visit.instances, rows, visit.epoch, visit.index))
            places = places[inside:]
        return MaskedBatch.concatenate(batches)

    def epoch(self, epoch: int) -> Iterator[tuple[float, MaskedBatch]]:
        """All instances of an epoch in the order of the stream, each batch behind the share of the epoch done with it.

        Batches end where shards end, so that some are smaller.
        """
        num_shards = len(self.corpus.shards)
        for turn in range(num_shards):
            visit = self._plan(epoch * num_shards + turn)
            for low in range(0, len(visit.order), self.batch_size):
                rows = visit.order[low : low + self.batch_size]
                done = (turn + (low + len(rows)) / len(visit.order)) / num_shards
                yield done, self._builder.build(visit.shard, visit.instances, rows, visit.epoch, visit.index)

    def steps_per_epoch(self, epoch: int = 0) -> int:
        """Steps in an epoch, rounded up. Plans all shards of the epoch and those before it."""
        num_shards = len(self.corpus.shards)
        while len(self._bounds) <= (epoch + 1) * num_shards:
            self._plan(len(self._bounds) - 1)
        instances = self._bounds[(epoch + 1) * num_shards] - self._bounds[epoch * num_shards]
        return -(-instances // self.batch_size)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens in each instance of the first shard of the first epoch, special ones included, (I,)."""
        instances = self._plan(0).instances
        texts = [instances.a] if instances.b is None else [instances.a, instances.b]
        tokens: NDArray[np.int64] = sum(text[:, 1] - text[:, 0] for text in texts)  # type: ignore[assignment]
        return tokens + self.options.num_special

    @property
    def used_ids(self) -> NDArray[np.int64]:
        """Sorted ids of all tokens that may occur: all, because masked places show random ones."""
        return np.arange(self.corpus.vocab_size)

    def _visit_at(self, place: int) -> Visit:
        while self._bounds[-1] <= place:
            self._plan(len(self._bounds) - 1)
        return self._plan(bisect_right(self._bounds, place) - 1)

    def _plan(self, number: int) -> Visit:
        """Visit ``number`` of the stream, planned; the last two are kept."""
        if number not in self._planned:
            epoch, turn = divmod(number, len(self.corpus.shards))
            index = int(permutation(words(self.seed, Draw.SHARD_ORDER, epoch), len(self.corpus.shards))[turn])
            shard = self.corpus.shard(index)
            instances = self._builder.plan(shard, epoch, index)
            order = permutation(words(self.seed, Draw.INSTANCE_ORDER, epoch, index), len(instances))
            self._planned[number] = Visit(number, epoch, index, shard, instances, order)
            if len(self._planned) > 2:
                self._planned.popitem(last=False)
        if number == len(self._bounds) - 1:
            self._bounds.append(self._bounds[-1] + len(self._planned[number].instances))
            num_shards = len(self.corpus.shards)
            if number % num_shards == num_shards - 1 and not self._bounds[-1]:  # a whole epoch of nothing
                raise DataError(
                    f"{self.corpus.folder}: no instance comes of its text: pairs need documents of more than one "
                    f"sentence, or shards of more than one document; prepare more text, or train with --no-pairs"
                )
        return self._planned[number]


@dataclass(frozen=True)
class Visit:
    """A shard as one epoch goes through it.

    number: of the visit in the stream; epoch and index: of the epoch and of the shard
    order:  (I,) the instances in the order of the stream
    """

    number: int
    epoch: int
    index: int
    shard: Shard
    instances: Instances
    order: NDArray[np.int64]


def show(batch: MaskedBatch, tokenizer: Tokenizer) -> list[str]:
    """Each instance of a batch as a person would read it: a line of facts, and a line for each text.

    A masked token is written ``[what is seen|what stood there]``, or ``[=what stood there]`` where that is seen still.
    Pieces of words are joined.
    """
    vocabulary = tokenizer.vocabulary
    shown = []
    for row in range(len(batch)):
        one = batch.part(row, row + 1)
        tokens = [vocabulary[i] for i in one.ids]
        for place, original in zip(one.masked_places, one.masked_ids, strict=True):
            seen, stood = tokens[place], vocabulary[original]
            tokens[place] = f"[={stood}]" if seen == stood else f"[{seen.strip('[]') or seen}|{stood}]"
        facts = f"{count(len(tokens), 'token')}, {len(one.masked_ids)} masked"
        first = int(np.sum(one.segments == 0))
        texts = [tokens[1 : first - 1], tokens[first:-1]]
        if not texts[1]:
            lines = [facts, f"  {joined(texts[0])}"]
        else:
            facts += ", B is random" if one.random_next[0] else ", B follows A"
            lines = [facts, f"  A: {joined(texts[0])}", f"  B: {joined(texts[1])}"]
        shown.append("\n".join(lines))
    return shown


def joined(tokens: Sequence[str]) -> str:
    """Tokens with spaces between words.

    >>> joined(["a", "mask", "##ed", "[MASK|word]"])
    'a masked [MASK|word]'
    """
    return " ".join(tokens).replace(" ##", "")
