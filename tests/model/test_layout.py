"""Layouts: what is split is joined again, with its gradient, and grouping loses no sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bertsmith.model import PackedLayout, PaddedLayout
from bertsmith.model.layout import group_by_length

lengths_of_batches = st.lists(st.integers(1, 9) | st.integers(1, 300), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(lengths_of_batches, st.integers(1, 3))
def test_packed_tokens_are_split_and_joined_again(lengths: list[int], width: int) -> None:
    layout = PackedLayout(torch.tensor(lengths))
    places = layout.fill(torch.arange(sum(lengths)))
    x = torch.randn(len(places), width, dtype=torch.float64, requires_grad=True)
    parts = layout.split(x)
    assert len(parts) == len(layout.groups)
    joined = layout.trim(layout.join(parts))
    assert torch.equal(joined, layout.trim(x))
    # The gradient comes back the way the tokens went.
    weights = torch.randn_like(joined)
    (gradient,) = torch.autograd.grad((joined * weights).sum(), x)
    assert torch.equal(layout.trim(gradient), weights)
    assert not gradient[sum(lengths) :].any()


@settings(max_examples=60, deadline=None)
@given(lengths_of_batches)
def test_every_sequence_stands_in_one_row_of_one_group(lengths: list[int]) -> None:
    layout = PackedLayout(torch.tensor(lengths))
    tokens = layout.fill(torch.arange(sum(lengths)))
    seen = []
    for (part, real), group in zip(real_places(layout, tokens[:, None]), layout.groups, strict=True):
        assert part[:, 0, 0].tolist() == layout.starts[group.rows.numpy()].tolist()
        for row, mask in zip(part[:, :, 0], real, strict=True):
            length = int(mask.sum())
            assert mask[:length].all()  # padding stands at the end
            assert torch.equal(row[:length], torch.arange(int(row[0]), int(row[0]) + length))
            seen.append((int(row[0]), length))
    assert sorted(seen) == list(zip(np.cumsum([0, *lengths[:-1]]).tolist(), lengths, strict=True))


def real_places(layout: PackedLayout, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each group's part (b, t, W) of x, and where tokens stand in it (b, t); elsewhere may stand anything."""
    found = []
    for part, group in zip(layout.split(x), layout.groups, strict=True):
        real = torch.ones(part.shape[:2], dtype=torch.bool)
        if group.bias is not None:
            assert group.bias.shape == (part.shape[0], 1, 1, part.shape[1])
            real = group.bias[:, 0, 0] == 0
            assert (group.bias[:, 0, 0][~real] == -torch.inf).all()
        found.append((part, real))
    return found


@settings(max_examples=60, deadline=None)
@given(lengths_of_batches)
def test_splitting_gives_every_token_its_own_gradient(lengths: list[int]) -> None:
    layout = PackedLayout(torch.tensor(lengths))
    size = len(layout.fill(torch.arange(sum(lengths))))
    x = torch.randn(size, 2, dtype=torch.float64, requires_grad=True)
    total = torch.stack([(part.square() * real[:, :, None]).sum() for part, real in real_places(layout, x)]).sum()
    (gradient,) = torch.autograd.grad(total, x)
    assert torch.equal(layout.trim(gradient), layout.trim(2 * x.detach()))
    assert not gradient[sum(lengths) :].any()


def test_positions_and_first_tokens_of_a_packed_batch() -> None:
    layout = PackedLayout(torch.tensor([3, 1, 2]))
    assert layout.trim(layout.positions).tolist() == [0, 1, 2, 0, 0, 1]
    assert layout.first(torch.arange(6)[:, None]).flatten().tolist() == [0, 3, 4]


def test_positions_and_first_tokens_of_a_padded_batch() -> None:
    layout = PaddedLayout(torch.tensor([[1, 1, 1], [1, 0, 0]]))
    assert layout.positions.tolist() == [[0, 1, 2], [0, 1, 2]]
    x = torch.arange(6).view(2, 3, 1)
    assert layout.first(x).flatten().tolist() == [0, 3]
    assert layout.join(layout.split(layout.fill(x))) is x
    (group,) = layout.groups
    assert group.bias is not None
    assert group.bias.shape == (2, 1, 1, 3)
    assert (group.bias.flatten() < -1e30).tolist() == [False, False, False, False, True, True]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=80))
def test_groups_are_runs_that_cover_all_in_order(lengths: list[int]) -> None:
    ordered = np.sort(np.array(lengths))
    groups = group_by_length(ordered)
    assert [low for low, _ in groups] == [0, *(high for _, high in groups[:-1])]
    assert groups[-1][1] == len(lengths)
    assert all(low < high for low, high in groups)
    # More groups, never more padding: sequences of one length are worth no cut.
    assert len(groups) <= len(set(lengths))
    scores = sum((high - low) * int(ordered[high - 1]) ** 2 for low, high in groups)
    assert scores <= len(lengths) * int(ordered[-1]) ** 2


@pytest.mark.parametrize("count", [1, 2, 50])
def test_equal_lengths_are_one_group(count: int) -> None:
    assert group_by_length(np.full(count, 512)) == [(0, count)]


def test_unlike_lengths_are_kept_apart() -> None:
    assert group_by_length(np.array([8] * 30 + [512] * 30)) == [(0, 30), (30, 60)]
