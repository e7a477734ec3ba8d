"""The order of rows: a pure function of (seed, step) in which every row comes once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertsmith.model import Batch
from bertsmith.training import BatchPlan, FitOptions
from bertsmith.training.plan import shuffled

Maker = Callable[..., Any]


class Lengths:
    """Rows of which only the lengths matter."""

    def __init__(self, tokens: list[int]) -> None:
        self.row_tokens: NDArray[np.int64] = np.array(tokens)
        self.used_ids = np.arange(1)

    def __len__(self) -> int:
        return len(self.row_tokens)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        raise NotImplementedError


def plan_of(tokens: list[int], **options: Any) -> BatchPlan:
    return BatchPlan(Lengths(tokens), FitOptions(**options))


@pytest.mark.parametrize(("num_rows", "batch_size"), [(1, 1), (1, 32), (10, 3), (9, 3), (100, 7)])
def test_every_row_comes_once_an_epoch(num_rows: int, batch_size: int) -> None:
    plan = plan_of([1] * num_rows, batch_size=batch_size)
    assert plan.steps_per_epoch == -(-num_rows // batch_size)
    for epoch in range(3):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        batches = [plan.step_rows(step) for step in steps]
        assert all(len(batch) == batch_size for batch in batches[:-1])
        assert sorted(np.concatenate(batches).tolist()) == list(range(num_rows))


def test_the_seed_and_the_step_decide_the_rows_whatever_was_asked_before() -> None:
    plan, other, steps = plan_of([1] * 50, batch_size=8), plan_of([1] * 50, batch_size=8), list(range(40))
    forwards = [plan.step_rows(step).tolist() for step in steps]
    assert [other.step_rows(step).tolist() for step in reversed(steps)] == forwards[::-1]
    assert forwards[:7] != forwards[7:14]  # another epoch
    assert plan_of([1] * 50, batch_size=8, seed=1).step_rows(0).tolist() != forwards[0]


def test_the_order_is_the_same_on_every_machine_and_release() -> None:
    assert shuffled(10, 42, 0).tolist() == [0, 1, 4, 2, 6, 8, 5, 9, 7, 3]


def test_every_row_is_as_likely_at_every_place() -> None:
    firsts = np.bincount([shuffled(5, seed, 3)[0] for seed in range(2000)], minlength=5)
    assert (abs(firsts - 400) < 5 * 400**0.5).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 12), st.integers(1, 200))
def test_passes_are_the_rows_of_the_step_in_order(tokens: list[int], batch_size: int, pass_tokens: int) -> None:
    plan = plan_of(tokens, batch_size=batch_size, pass_tokens=pass_tokens)
    for step in range(plan.steps_per_epoch + 1):
        passes = plan.passes(step)
        assert all(len(rows) for rows in passes)
        assert np.concatenate(passes).tolist() == plan.step_rows(step).tolist()


@settings(max_examples=200, deadline=None, report_multiple_bugs=False)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 200))
@example(tokens=[10, 45, 45], pass_tokens=50)
@example(tokens=[45, 45, 10], pass_tokens=50)
def test_passes_keep_to_their_tokens(tokens: list[int], pass_tokens: int) -> None:
    plan = plan_of(tokens, batch_size=40, pass_tokens=pass_tokens)
    for rows in plan.passes(0):
        assert len(rows) == 1 or plan.row_tokens[rows].sum() <= pass_tokens


def test_one_pass_is_enough_where_all_fits() -> None:
    assert len(plan_of([10] * 8, batch_size=8, pass_tokens=80).passes(0)) == 1
    assert len(plan_of([10] * 8, batch_size=8, pass_tokens=79).passes(0)) == 2
    assert len(plan_of([10] * 8, batch_size=8, pass_tokens=1).passes(0)) == 8
