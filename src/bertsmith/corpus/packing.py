"""Single documents into instances: whole sentences in a row, as many as fit, never across documents.

Enters: a shard's bounds and a key. Leaves: `Instances`, ranges of the shard's tokens. Knows nothing of token ids,
special tokens or masks.

This is DOC-SENTENCES of Liu et al. 2019 ("RoBERTa", 4.2), the best of their four ways without next sentence prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.randomness import Draw, Words, below, uniform, words
from bertsmith.corpus.shards import Shard


@dataclass(frozen=True)
class Instances:
    """I instances of one shard, planned but not built: where their texts stand, in the order of the shard.

    a:           (I, 2) where the first text starts and ends among the shard's tokens
    b:           (I, 2) the same of the second text; ``None`` where instances are single texts
    random_next: (I,) whether the second text is from another document
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64] | None
    random_next: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.a)


def plan_documents(shard: Shard, key: Words, *, room: int, short_probability: float) -> Instances:
    """Cut every document into runs of whole sentences, one after another; every token is in exactly one.

    A run has as many sentences as its document's target length (`target_lengths`, as ``key`` decides) has room for,
    one at least. A sentence of more than ``room`` tokens is cut.
    """
    sentences = shard.sentences
    ends = sentences[shard.documents[1:]]
    starts = sentences[shard.documents[:-1]]  # of what is left of each document
    targets = target_lengths(len(ends), key, room=room, short_probability=short_probability)
    runs = []
    active = np.flatnonzero(starts < ends)
    while len(active):  # one run of every document that has tokens left
        start, end = starts[active], ends[active]
        whole = sentences[np.searchsorted(sentences, start + targets[active], side="right") - 1]
        sentence = np.minimum(sentences[np.searchsorted(sentences, start, side="right")], start + room)
        stop = np.minimum(np.where(whole > start, whole, sentence), end)
        runs.append(np.column_stack([start, stop]))
        starts[active] = stop
        active = active[stop < end]
    a = np.concatenate([np.empty((0, 2), np.int64), *runs])
    return Instances(a[np.argsort(a[:, 0])], None, np.zeros(len(a), np.bool_))


def target_lengths(num_documents: int, key: Words, *, room: int, short_probability: float) -> NDArray[np.int64]:
    """How many tokens the instances of each document aim at, (D,): ``room``, or now and then less.

    With ``short_probability`` it is a length from 2 to ``room``, all alike, because fine-tuning will bring short texts
    (Devlin et al. 2018, A.2, and their create_pretraining_data.py).
    """
    document = np.arange(num_documents)
    short = uniform(words(key, Draw.SHORT, document)) < short_probability
    lengths = 2 + below(words(key, Draw.TARGET, document), room - 1)
    return np.where(short, lengths, room)
