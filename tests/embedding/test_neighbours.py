"""Nearest vectors: against all products at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bertsmith.embedding import neighbours
from bertsmith.embedding.neighbours import nearest, nearest_others, nearest_pairs


def unit(rows: int, columns: int = 8, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(params=[False, True], ids=["whole", "in blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with all products in one block, once with many small blocks."""
    if request.param:
        monkeypatch.setattr(neighbours, "PRODUCTS", 70)
        monkeypatch.setattr(neighbours, "_ROWS", 7)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("number", [1, 5, 60])
def test_nearest_is_the_sorted_products(number: int) -> None:
    queries, vectors = unit(11, seed=1), unit(53)
    found = nearest(queries, vectors, number)
    products = queries @ vectors.T
    order = np.argsort(-products, axis=1)[:, :number]
    assert found.rows[:, : order.shape[1]].tolist() == order.tolist()
    np.testing.assert_allclose(
        found.cosines[:, : order.shape[1]], np.take_along_axis(products, order, axis=1), atol=1e-6
    )
    assert (found.rows[:, 53:] == -1).all()
    assert (found.cosines[:, 53:] == -np.inf).all()


@pytest.mark.usefixtures("_blocks")
def test_what_is_not_alive_is_not_found() -> None:
    queries, vectors = unit(4, seed=1), unit(30)
    alive = np.random.default_rng(3).random(30) < 0.4
    found = nearest(queries, vectors, 20, alive=alive)
    products = np.where(alive, queries @ vectors.T, -np.inf)
    count = int(alive.sum())
    assert count < 20
    assert found.rows[:, :count].tolist() == np.argsort(-products, axis=1)[:, :count].tolist()
    assert (found.rows[:, count:] == -1).all()


@pytest.mark.usefixtures("_blocks")
def test_nearest_others_leaves_out_the_vector_itself() -> None:
    vectors = unit(40)
    vectors[7] = vectors[3]
    found = nearest_others(vectors, 3)
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    np.testing.assert_allclose(found.cosines, -np.sort(-products, axis=1)[:, :3], atol=1e-6)
    assert found.rows[3, 0] == 7
    assert found.rows[7, 0] == 3
    assert (found.rows != np.arange(40)[:, None]).all()


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize(("number", "least"), [(10, -1.0), (10_000, -1.0), (10_000, 0.5)])
def test_nearest_pairs_are_the_greatest_products_above_the_diagonal(number: int, least: float) -> None:
    vectors = unit(40)
    found = nearest_pairs(vectors, number, least=least)
    products = vectors @ vectors.T
    first, second = np.triu_indices(40, 1)
    order = np.argsort(-products[first, second])
    best = [place for place in order[:number].tolist() if products[first[place], second[place]] >= least]
    expected = [(int(first[place]), int(second[place])) for place in best]
    assert [(pair.first, pair.second) for pair in found] == expected
    assert all(one.cosine >= other.cosine for one, other in pairwise(found))


def test_one_vector_has_no_others() -> None:
    assert nearest_pairs(unit(1), 5) == []
    assert (nearest_others(unit(1), 2).rows == -1).all()
