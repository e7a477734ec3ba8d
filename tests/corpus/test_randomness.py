"""Random words: known ones, the same for ever; fair; and decided by their place alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from bertsmith.corpus.randomness import below, coin, heads, permutation, uniform, words

LIKELY = 1e-4  # a fair draw has a lower p-value once in 10,000 seeds, and the seeds are fixed
LARGEST = np.array([2**64 - 1], np.uint64)


def test_words_are_those_of_the_published_generator() -> None:
    # The reference implementation in C by Sebastiano Vigna, splitmix64.c, started at 1234567 and at 0.
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert words(1234567, range(5)).tolist() == known
    assert int(words(0, 0)) == 0xE220A8397B1DCDAF


def test_words_and_orders_stay_what_they_are() -> None:
    assert int(words(42, 1, 2, 3)) == 5894832198245594705
    assert permutation(words(42, 0), 10).tolist() == [3, 5, 8, 6, 0, 2, 4, 9, 7, 1]


def test_a_word_follows_from_its_place_alone() -> None:
    grid = words(7, np.arange(4)[:, None], np.arange(3))
    assert grid.shape == (4, 3)
    assert grid.tolist() == [[int(words(7, i, j)) for j in range(3)] for i in range(4)]
    assert words(words(7, np.arange(4)), 2).tolist() == grid[:, 2].tolist()
    assert len(np.unique(words(np.arange(100)[:, None], np.arange(100)))) == 10_000


@pytest.mark.parametrize("places", [(np.arange(100_000),), (np.arange(1000)[:, None], 5, np.arange(100))])
def test_draws_are_fair(places: tuple[np.ndarray]) -> None:
    drawn = words(3, *places).ravel()
    for count in (2, 7, 30_522):
        assert chisquare(np.bincount(below(drawn, count), minlength=count)).pvalue > LIKELY
    assert chisquare(np.bincount((uniform(drawn) * 64).astype(int), minlength=64)).pvalue > LIKELY
    assert chisquare(np.bincount(coin(drawn))).pvalue > LIKELY
    neighbours = 8 * below(drawn[:-1], 8) + below(drawn[1:], 8)
    assert chisquare(np.bincount(neighbours, minlength=64)).pvalue > LIKELY


def test_the_ends_of_the_ranges_are_met_and_not_passed() -> None:
    nothing = np.zeros(1, np.uint64)
    assert uniform(nothing) == 0
    assert uniform(LARGEST) < 1
    for count in (1, 2, 2**32 - 1):
        assert (below(nothing, count), below(LARGEST, count)) == (0, count - 1)


def test_heads_are_the_bits_of_words() -> None:
    keys, tosses = words(1, range(7)), np.array([0, 1, 63, 64, 65, 1000, 0])
    bits = [[int(words(key, j // 64)) >> j % 64 & 1 for j in range(n)] for key, n in zip(keys, tosses, strict=True)]
    assert heads(keys, tosses).tolist() == [sum(row) for row in bits]
    assert heads(keys[:2], np.zeros(2, np.int64)).tolist() == [0, 0]


def test_a_permutation_has_every_number_once_and_no_favourite_place() -> None:
    orders = np.array([permutation(key, 5) for key in words(2, range(20_000))])
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    assert chisquare(np.unique(orders @ 5 ** np.arange(5), return_counts=True)[1]).pvalue > LIKELY
    assert len(np.unique(orders, axis=0)) == 120
