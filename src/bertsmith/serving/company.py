"""Which sequences are best computed at once.

Enters: the lengths of what waits, sorted. Leaves: a run of neighbours. Knows nothing of queues and engines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bertsmith.engine.buckets import ROWS

ROW_TOKENS = 24  # tokens that could be computed in the time a call takes beside its tokens (docs/lab-notes.md)


def neighbours(by_length: Sequence[tuple[int, int]], place: int, budget: int) -> tuple[int, int]:
    """The run (low, high) around a place of sorted (tokens, number) that is best computed at once.

    It grows to whichever side it pads less, as long as it fits ``budget`` with its padding, and all its padding costs
    less than another call would.

    >>> neighbours([(8, 0), (9, 1), (10, 2), (60, 3)], 1, 512)
    (0, 3)
    """
    low, high = place, place + 1
    width: float = by_length[place][0]
    tokens = width
    while True:
        rows = high - low
        shorter = by_length[low - 1][0] if low > 0 else -math.inf
        longer = by_length[high][0] if high < len(by_length) else math.inf
        takes_shorter = width - shorter <= rows * (longer - width)
        length, reach = (shorter, width) if takes_shorter else (longer, longer)
        places = (rows + 1) * reach
        if not places <= budget or places - tokens - length > ROW_TOKENS:
            return low, high
        tokens += length
        width = reach
        if takes_shorter:
            low -= 1
        else:
            high += 1


def rounded(low: int, high: int, place: int) -> tuple[int, int]:
    """A run with a multiple of `ROWS` sequences if it has more, around the same place; the rest waits its turn.

    Kernels are made, and kept, for each number of rows and each width.

    >>> rounded(0, 19, 1)
    (1, 17)
    """
    excess = (high - low) % ROWS if high - low > ROWS else 0
    shorter = min(excess, place - low)
    return low + shorter, high - (excess - shorter)
