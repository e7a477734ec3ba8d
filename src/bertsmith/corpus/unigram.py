"""What guessing costs that knows how frequent each token is and looks at nothing else: what a model must beat.

Enters: shards. Leaves: one number. (A unigram model with add-one smoothing: Jurafsky and Martin, "Speech and Language
Processing", 3.5.)
"""

from __future__ import annotations

import numpy as np

from bertsmith.corpus.shards import Corpus

ENOUGH_TOKENS = 2**27  # to count: frequencies do not change with more


def unigram_loss(corpus: Corpus) -> float:
    """Mean cross entropy of a held-out token, in nats, by the frequencies of the shards to train on.

    Counts `ENOUGH_TOKENS` at most, whole shards. Raises `DataError` where nothing is held out, or a file is damaged.
    """
    counts = np.zeros(corpus.vocab_size, np.int64)
    for index in range(len(corpus.shards)):
        counts += np.bincount(corpus.shard(index).ids, minlength=corpus.vocab_size)
        if counts.sum() >= ENOUGH_TOKENS:
            break
    asked = np.bincount(corpus.held_out_shard().ids, minlength=corpus.vocab_size)
    chances = (counts + 1) / (counts.sum() + corpus.vocab_size)
    return float(-(asked * np.log(chances)).sum() / asked.sum())
