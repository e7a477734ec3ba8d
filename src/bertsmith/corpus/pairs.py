"""Documents into pairs of texts: half of the second texts follow the first, half are from another document.

Enters: a shard's bounds and a key. Leaves: `Instances`, ranges of the shard's tokens. Knows nothing of token ids,
special tokens or masks.

This is the algorithm of Devlin et al. 2018 as published in google-research/bert, create_pretraining_data.py. There a
random generator is asked in turn; here every decision is the word of its document and chunk, so that chunk ``k`` of all
documents is made at once. Either text is a contiguous range of tokens, also when it has been truncated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.packing import Instances, target_lengths
from bertsmith.corpus.randomness import Draw, Words, below, coin, heads, words
from bertsmith.corpus.shards import Shard


def plan_pairs(shard: Shard, key: Words, *, room: int, short_probability: float) -> Instances:
    """Pairs of at most ``room`` tokens of all documents, as ``key`` decides.

    Sentences are taken up to the document's target length (`target_lengths`) as a chunk. The first text is the chunk's
    sentences up to a random bound. The second is, by a coin, the rest of the chunk, or sentences of another document of
    the shard from a random one on; then the rest of the chunk is put back, to start the next one. A chunk of a single
    sentence gets a random second text. What is too long is truncated (`truncate`).

    Where the shard has one document only, no text is a random one, and a chunk of a single sentence makes no pair.
    """
    sentences, documents = shard.sentences, shard.documents
    targets = target_lengths(len(documents) - 1, key, room=room, short_probability=short_probability)
    document, keys, start, middle, stop, random_next = chunks(sentences, documents, targets, key)

    other = other_documents(document, len(documents) - 1, words(keys, Draw.OTHER_DOCUMENT))
    first = documents[other]
    first = first + below(words(keys, Draw.OTHER_START), documents[other + 1] - first)
    wanted = np.maximum(targets[document] - (sentences[middle] - sentences[start]), 1)
    last = np.minimum(np.searchsorted(sentences, sentences[first] + wanted), documents[other + 1])

    a = np.column_stack([start, middle])
    b = np.where(random_next[:, None], np.column_stack([first, last]), np.column_stack([middle, stop]))
    a, b = truncate(sentences[a], sentences[b], room, keys)
    return Instances(a, b, random_next)


def chunks(
    sentences: NDArray[np.int64], documents: NDArray[np.int64], targets: NDArray[np.int64], key: Words
) -> tuple[NDArray[np.int64], Words, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """All chunks, in the order of the shard.

    Returns, each (I,): the chunk's document, its key, its first sentence, the first sentence that is not of the first
    text, the end of its sentences, and whether the second text is a random one.
    """
    found = []
    starts = documents[:-1].copy()  # the first sentence of each document that is in no chunk yet
    active = np.flatnonzero(starts < documents[1:])
    number = 0
    while len(active):  # chunk `number` of every document that has sentences left
        keys = words(key, Draw.PLAN, active, number)
        start, end = starts[active], documents[active + 1]
        stop = np.minimum(np.searchsorted(sentences, sentences[start] + targets[active]), end)
        middle = start + 1 + below(words(keys, Draw.SPLIT), np.maximum(stop - start - 1, 1))
        random_next = (stop - start == 1) | coin(words(keys, Draw.RANDOM_NEXT))
        random_next &= len(documents) > 2  # of one document alone, no text is from another
        pair = random_next | (middle < stop)
        found.append((active[pair], keys[pair], start[pair], middle[pair], stop[pair], random_next[pair]))
        left = np.where(random_next, middle, stop)
        starts[active] = left
        active = active[left < end]
        number += 1
    if not found:
        none = np.empty(0, np.int64)
        return none, none.astype(np.uint64), none, none, none, none.astype(np.bool_)
    document, keys, start, middle, stop, random_next = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(start)
    return document[order], keys[order], start[order], middle[order], stop[order], random_next[order]


def other_documents(document: NDArray[np.int64], num_documents: int, drawn: Words) -> NDArray[np.int64]:
    """For each document (I,) another one, all others alike; the same one where there is no other.

    The published script draws from all documents and, when it hits the same one, again, ten times at most.
    """
    if num_documents < 2:
        return document
    other = below(drawn, num_documents - 1)
    return other + (other >= document)


def truncate(
    a: NDArray[np.int64], b: NDArray[np.int64], room: int, keys: Words
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranges (I, 2) and (I, 2) of at most ``room`` tokens together.

    As long as a pair has too many, the longer text (the second, of equals) loses one, from its front or its back by a
    coin.
    """
    length_a, length_b = a[:, 1] - a[:, 0], b[:, 1] - b[:, 0]
    kept_a = np.minimum(length_a, np.maximum(room - length_b, (room + 1) // 2))
    kept_b = np.minimum(length_b, room - kept_a)
    front_a = a[:, 0] + heads(words(keys, Draw.CUT_FIRST), length_a - kept_a)
    front_b = b[:, 0] + heads(words(keys, Draw.CUT_SECOND), length_b - kept_b)
    return np.column_stack([front_a, front_a + kept_a]), np.column_stack([front_b, front_b + kept_b])
