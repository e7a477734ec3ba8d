"""Part of the rows held out, the same part on every machine.

Enters: labels (or none), a fraction and a seed. Leaves: row numbers to train on and row numbers to evaluate on. Does
not know what the rows hold.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import DataError, SettingsError

NUM_QUANTILES = 10  # strata of a continuous label


def split(
    strata: Sequence[Hashable],
    fraction: float,
    seed: int,
    *,
    groups: Sequence[Hashable] | None = None,
    continuous: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers (train, eval), each ascending, together all rows; ``round(fraction * rows)`` of them to evaluate on,
    or fewer where many classes have no row to spare.

    strata:     the class of each row; every class keeps its share on both sides to within one row (largest remainder)
    fraction:   part to evaluate on, above 0 and below 1
    groups:     one a row; rows of one group stay on one side (the split is made over groups, each under its first
                row's class, so shares then hold of groups)
    continuous: ``strata`` are numbers on a scale, not classes: each of ten quantiles keeps its share, of fewer where
                there are few rows

    A class with a single row (or group) stays in train, and so does the last one of any class. Raises `SettingsError`
    for a fraction out of range, `DataError` when nothing would be left on one side.

    The order is that of `_shuffled`: 64-bit integer arithmetic on ``(seed, row)`` alone, so that it depends on neither
    the platform nor the version of any library.
    """
    if not 0 < fraction < 1:
        raise SettingsError(f"the validation split is {fraction}; give a fraction above 0 and below 1, such as 0.1")
    total = len(strata)
    units = _units(groups, total)
    classes = [strata[rows[0]] for rows in units]
    chosen = _choose(_quantiles(classes, fraction) if continuous else classes, fraction, seed)
    mask = np.zeros(total, dtype=bool)
    for unit in chosen:
        mask[units[unit]] = True
    train, evaluation = np.flatnonzero(~mask), np.flatnonzero(mask)
    if not len(train) or not len(evaluation):
        raise DataError(
            f"{total} rows are too few to hold out {fraction:g} of them; give more rows, a file to evaluate on with "
            "--eval, or another fraction"
        )
    return train.astype(np.int64), evaluation.astype(np.int64)


def _units(groups: Sequence[Hashable] | None, total: int) -> list[list[int]]:
    """What is moved as a whole: single rows, or the rows of each group in order of first appearance."""
    if groups is None:
        return [[row] for row in range(total)]
    by_group: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    return list(by_group.values())


def _choose(strata: Sequence[Hashable], fraction: float, seed: int) -> list[int]:
    """Units to evaluate on: from each stratum the first of its shuffled members, as many as its quota."""
    members: dict[Hashable, list[int]] = {}
    for unit, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(unit)
    order = _shuffled(len(strata), seed)
    rank = np.empty(len(strata), dtype=np.int64)
    rank[order] = np.arange(len(strata))
    quotas = _quotas([len(rows) for rows in members.values()], fraction)
    chosen: list[int] = []
    for rows, quota in zip(members.values(), quotas, strict=True):
        chosen += sorted(rows, key=lambda unit: int(rank[unit]))[:quota]
    return chosen


def _quotas(sizes: Sequence[int], fraction: float) -> list[int]:
    """Rows to take from each class: the whole part of its exact share, and one more for the classes with the largest
    remainders until ``round(fraction * total)`` is reached (or no class has a row to spare; one always stays).

    >>> _quotas([70, 20, 9, 1], 0.1)
    [7, 2, 1, 0]
    """
    exact = [size * fraction for size in sizes]
    # A share such as 10 * 0.3 may come out a hair below its whole number.
    quotas = [min(int(share + 1e-9), size - 1) for share, size in zip(exact, sizes, strict=True)]
    wanted = int(sum(sizes) * fraction + 0.5)
    by_remainder = sorted(range(len(sizes)), key=lambda place: (quotas[place] - exact[place], place))
    for place in by_remainder:
        if sum(quotas) >= wanted:
            break
        if quotas[place] + 1 < sizes[place]:
            quotas[place] += 1
    return quotas


def _shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of ``range(count)``: rows sorted by a 64-bit hash of (seed, row), SplitMix64's finalizer (Steele,
    Lea, Flood 2014, "Fast splittable pseudorandom number generators"). A generator's `permutation` may change between
    versions of its library, as NumPy states; this cannot."""
    with np.errstate(over="ignore"):  # wrapping around is what the arithmetic asks for
        state = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        keys = _mix(state ^ _mix(np.array([seed % 2**64], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)))
    return np.argsort(keys, kind="stable").astype(np.int64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _quantiles(numbers: Sequence[Any], fraction: float) -> list[int]:
    """The part of the sorted order, of equal parts, in which each number lies."""
    values = np.asarray(numbers, dtype=np.float64)
    parts = max(1, min(NUM_QUANTILES, round(fraction * len(values))))  # at least one row of each to hold out
    edges = np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1]) if len(values) else values
    return [int(part) for part in np.searchsorted(edges, values, side="right")]
