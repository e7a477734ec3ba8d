"""Clusters of vectors that are known to lie in groups."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bertsmith.embedding import clusters
from bertsmith.embedding.clusters import agglomerate, by_size, communities, flat_map, k_means, keywords, middles
from bertsmith.errors import SettingsError

SIZES = (9, 6, 4)


def grouped(spread: float = 0.05) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors around three directions at right angles, in mixed order, and which they are around."""
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), SIZES)
    vectors = np.eye(3, 8)[truth] + generator.normal(size=(len(truth), 8)) * spread
    order = generator.permutation(len(truth))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return vectors[order], truth[order]


@pytest.mark.parametrize("method", ["kmeans", "number", "least", "communities"])
def test_groups_are_found_the_largest_first(method: str) -> None:
    vectors, truth = grouped()
    found = {
        "kmeans": lambda: k_means(vectors, 3),
        "number": lambda: agglomerate(vectors, number=3),
        "least": lambda: agglomerate(vectors, least=0.5),
        "communities": lambda: communities(vectors, least=0.7),
    }[method]()
    assert found.tolist() == truth.tolist()


def test_communities_are_what_a_loop_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_BLOCK", 3)
    vectors, _ = grouped(spread=0.35)
    near = vectors @ vectors.T >= 0.6
    expected = np.full(len(vectors), -1)
    number = 0
    for middle in sorted(range(len(vectors)), key=lambda row: (-near[row].sum(), row)):
        members = [row for row in range(len(vectors)) if near[middle, row] and expected[row] < 0]
        if expected[middle] < 0 and len(members) >= 3:
            expected[members] = number
            number += 1
    assert (expected < 0).any()
    assert communities(vectors, least=0.6, smallest=3).tolist() == by_size(expected).tolist()


def test_clusters_are_numbered_by_size() -> None:
    assert by_size(np.array([7, 2, 2, -1, 5, 7, 2])).tolist() == [1, 0, 0, -1, 2, 1, 0]


def test_a_middle_is_the_nearest_to_the_mean() -> None:
    vectors, truth = grouped()
    for label, middle in enumerate(middles(vectors, truth)):
        mean = vectors[truth == label].mean(0)
        assert truth[middle] == label
        assert vectors[middle] @ mean == pytest.approx(float((vectors[truth == label] @ mean).max()))


def test_keywords_set_a_cluster_apart() -> None:
    texts = ["the cat sat", "the cat ran", "the dog ran", "the dog barks", "nothing here"]
    found = keywords(texts, np.array([0, 0, 1, 1, -1]), 2)
    assert found[0][0] == "cat"
    assert found[1][0] == "dog"
    assert all("the" not in words and "nothing" not in words for words in found)


@pytest.mark.parametrize("rows", [1, 2, 12, 60])
def test_a_map_has_a_place_for_every_vector(rows: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    places = flat_map(vectors)
    assert places.shape == (rows, 2)
    assert np.isfinite(places).all()


def test_a_map_of_equal_vectors() -> None:
    assert np.isfinite(flat_map(np.ones((12, 4), np.float32))).all()


def test_what_cannot_be_grouped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = grouped()
    with pytest.raises(SettingsError, match="--number is 20, and there are 19 texts; give from 1 to 19"):
        k_means(vectors, 20)
    monkeypatch.setattr(clusters, "MOST_AGGLOMERATED", 10)
    with pytest.raises(SettingsError, match="19 texts are too many for agglomerative clustering, which takes 10"):
        agglomerate(vectors, number=3)
