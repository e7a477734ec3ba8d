"""Long sentences in parts of whole words.

Enters: how many pieces each word has. Leaves: which words go together. Knows nothing of tags, tokens or models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chunk_words(
    lengths: NDArray[np.int64], sentences: NDArray[np.int64], room: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bounds of chunks over all words (C+1,), and the sentence of each chunk (C,).

    A sentence that fits is one chunk, even without words. A longer one is filled chunk by chunk: as many whole words as
    fit, then the next.

    lengths:   (W,) pieces in each word, at most ``room``
    sentences: (R+1,) bounds of the sentences over all words

    >>> chunk_words(np.array([2, 2, 1, 3]), np.array([0, 3, 3, 4]), 4)
    (array([0, 2, 3, 3, 4]), array([0, 0, 1, 2]))
    """
    ends = np.concatenate([[0], np.cumsum(lengths)])  # pieces up to each word
    totals = ends[sentences[1:]] - ends[sentences[:-1]]
    extra_bounds, extra_owners = [], []
    for row in np.flatnonzero(totals > room):
        first, end = int(sentences[row]), int(sentences[row + 1])
        while ends[end] - ends[first] > room:
            first = int(np.searchsorted(ends, ends[first] + room, side="right")) - 1
            extra_bounds.append(first)
            extra_owners.append(row)
    owners = np.concatenate([np.arange(len(totals)), np.array(extra_owners, dtype=np.int64)])
    starts = np.concatenate([sentences[:-1], np.array(extra_bounds, dtype=np.int64)])
    order = np.lexsort([starts, owners])
    return np.append(starts[order], sentences[-1]).astype(np.int64), owners[order]
