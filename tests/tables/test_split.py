"""The held-out part: shares, groups, and an order that cannot change."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import DataError, SettingsError
from bertsmith.tables import split
from bertsmith.tables.split import _quotas, _shuffled

MASK = 2**64 - 1


def slow_shuffled(count: int, seed: int) -> list[int]:
    """The twin in Python's whole numbers, which have no width to overflow."""

    def mix(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
        return word ^ (word >> 31)

    stream = mix((seed + 0x9E3779B97F4A7C15) & MASK)
    keys = [mix((row + 1) * 0x9E3779B97F4A7C15 & MASK ^ stream) for row in range(count)]
    return sorted(range(count), key=keys.__getitem__)


@given(st.integers(0, 300), st.integers(-5, 2**65))
def test_order_equals_its_slow_twin(count: int, seed: int) -> None:
    assert _shuffled(count, seed).tolist() == slow_shuffled(count, seed)


def test_the_mixing_is_splitmix64() -> None:
    from bertsmith.tables.split import _mix

    # The published first outputs of SplitMix64 seeded with 1234567 (the state is advanced before each).
    states = np.array([1234567 + step * 0x9E3779B97F4A7C15 & MASK for step in (1, 2, 3)], dtype=np.uint64)
    assert _mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(
    st.lists(st.integers(0, 4), min_size=20, max_size=300),
    st.floats(0.05, 0.6),
    st.integers(0, 10),
)
def test_every_class_keeps_its_share(labels: list[int], fraction: float, seed: int) -> None:
    train, held = split(labels, fraction, seed)
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert list(train) == sorted(train)
    counts, held_counts = Counter(labels), Counter(labels[row] for row in held)
    for label, count in counts.items():
        # A whole row more where classes of a single row cannot give theirs.
        assert abs(held_counts[label] - count * fraction) <= 1 + 1e-9
        assert held_counts[label] < count
    if all(count * fraction + 1 < count for count in counts.values()):
        assert len(held) == int(len(labels) * fraction + 0.5)


def test_the_cola_split_has_the_size_of_the_tutorial() -> None:
    labels = [1] * 6023 + [0] * 2528
    train, held = split(labels, 0.1, 42)
    assert (len(train), len(held)) == (7696, 855)
    assert sum(labels[row] for row in held) == 602


def test_largest_remainders() -> None:
    assert _quotas([70, 20, 9, 1], 0.1) == [7, 2, 1, 0]
    assert _quotas([5, 5, 5, 5], 0.1) == [1, 1, 0, 0]
    assert _quotas([10], 0.3) == [3]


def test_seeds_differ_and_repeat() -> None:
    first = split(["a", "b"] * 50, 0.2, 1)[1].tolist()
    assert first == split(["a", "b"] * 50, 0.2, 1)[1].tolist()
    assert first != split(["a", "b"] * 50, 0.2, 2)[1].tolist()


def test_single_examples_of_a_class_stay_in_train() -> None:
    for seed in range(20):
        _, held = split(["a"] * 20 + ["rare"], 0.5, seed)
        assert 20 not in held


def test_continuous_labels_are_split_by_quantiles() -> None:
    scores = [float(value) / 7 for value in range(1000)]
    _, held = split(scores, 0.1, 0, continuous=True)
    assert np.histogram(held, bins=10, range=(0, 1000))[0].tolist() == [10] * 10


def test_many_classes_with_numbers_for_names_are_classes() -> None:
    """The task says whether labels are a scale: three rows in each of 300 classes leave two of each to train on."""
    labels = [row % 300 for row in range(900)]
    train, held = split(labels, 1 / 3, 0)
    assert Counter(labels[row] for row in held) == dict.fromkeys(range(300), 1)
    assert len(train) == 600


def test_rows_all_alike() -> None:
    train, held = split([()] * 8, 0.25, 3)
    assert (len(train), len(held)) == (6, 2)


def test_groups_stay_together() -> None:
    groups = [row // 3 for row in range(300)]
    labels = [group % 2 for group in groups]
    train, held = split(labels, 0.2, 5, groups=groups)
    assert not {groups[row] for row in train} & {groups[row] for row in held}
    assert len(held) == 60


def test_what_cannot_be_split() -> None:
    with pytest.raises(SettingsError, match="give a fraction above 0"):
        split(["a", "b"], 1.0, 0)
    with pytest.raises(DataError, match="3 rows are too few"):
        split(["a", "b", "c"], 0.1, 0)


def test_one_of_every_class_is_left_to_train_on_at_any_fraction() -> None:
    train, _ = split(["a"] * 5 + ["b"] * 3, 1 - 1e-12, 0)
    assert len(train) == 2


def test_whole_scores_of_a_regression_are_held_out_from_all_over_the_scale() -> None:
    train, evaluation = split(list(range(40)), 0.1, 0, continuous=True)
    assert len(evaluation) == 4
    assert len(train) == 36
    assert [int(row) // 10 for row in evaluation] == [0, 1, 2, 3]


def test_a_handful_of_scores_can_be_split() -> None:
    train, evaluation = split([1.5, 2.0, 0.5, 4.0, 3.0, 2.5], 0.2, 0, continuous=True)
    assert (len(train), len(evaluation)) == (5, 1)
