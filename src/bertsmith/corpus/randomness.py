"""Random words that are a function of their place: no state, no order of drawing.

Enters: a key (a seed, or a word drawn before) and counters. Leaves: one 64-bit word for each place. Because a word
follows from its place alone, an instance is the same whatever batch, rank or process it is made in, and on every
machine and numpy release.

The function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number
Generators"), applied once for each counter: word ``k`` of a key is output ``k`` of SplitMix64 started at that key, and
every word can be the key of a stream of its own.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertsmith.text.ragged import bounds_of

Words = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@unique
class Draw(IntEnum):
    """What a word decides. Used as a counter, so that no two decisions share a word; the numbers are for good."""

    SHARD_ORDER = 0
    INSTANCE_ORDER = 1
    PLAN = 2
    MASK = 3
    SHORT = 4
    TARGET = 5
    SPLIT = 6
    RANDOM_NEXT = 7
    OTHER_DOCUMENT = 8
    OTHER_START = 9
    CUT_FIRST = 10
    CUT_SECOND = 11
    PLACE = 12
    SPAN_START = 13
    SPAN_LENGTH = 14
    REPLACEMENT = 15
    RANDOM_TOKEN = 16


def words(key: ArrayLike, *counters: ArrayLike) -> Words:
    """The words of ``key`` at these counters: numbers from 0 to 2^63 - 1 or arrays of them, which broadcast.

    >>> words(1234567, [0, 1]).tolist()
    [6457827717110365317, 3203168211198807973]
    >>> bool(words(1, 2, [3, 4])[1] == words(words(1, 2), 4))
    True
    """
    state = np.asarray(key, np.uint64)
    with np.errstate(over="ignore"):  # arithmetic is meant modulo 2^64
        for counter in counters:
            state = state + (np.asarray(counter, np.uint64) + np.uint64(1)) * GOLDEN
            state ^= state >> np.uint64(30)
            state *= FIRST
            state ^= state >> np.uint64(27)
            state *= SECOND
            state ^= state >> np.uint64(31)
    return np.asarray(state)


def uniform(drawn: Words) -> NDArray[np.float64]:
    """Numbers in [0, 1), all 53 bits of them random, of words of any shape."""
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(drawn: Words, count: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers from 0 to ``count`` - 1; ``count`` is a number from 1 to 2^32 - 1 or an array of them.

    The upper half of a word times ``count``: the chances differ by less than one part in 2^32 / ``count``.
    """
    scaled = (drawn >> np.uint64(32)) * np.asarray(count, np.uint64)
    return (scaled >> np.uint64(32)).astype(np.int64)


def coin(drawn: Words) -> NDArray[np.bool_]:
    """True for half of the words, by their uppermost bit."""
    return (drawn >> np.uint64(63)).astype(np.bool_)


def heads(keys: Words, tosses: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of ``tosses`` (R,) coins show heads for each of ``keys`` (R,).

    Coin ``j`` of a key is bit ``j % 64``, from the lowest, of its word ``j // 64``.
    """
    rows = np.flatnonzero(tosses)
    bounds = bounds_of(-(-tosses[rows] // 64))
    row = np.repeat(rows, np.diff(bounds))
    index = np.arange(bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
    unused = np.maximum(64 * (index + 1) - tosses[row], 0).astype(np.uint64)
    bits = words(keys[row], index) << unused
    found = np.zeros(len(tosses), np.int64)
    if len(rows):
        found[rows] = np.add.reduceat(np.bitwise_count(bits), bounds[:-1], dtype=np.int64)
    return found


def permutation(key: ArrayLike, count: int) -> NDArray[np.int64]:
    """The numbers from 0 to ``count`` - 1 in the order that ``key`` decides."""
    return np.argsort(words(key, np.arange(count)), kind="stable")
