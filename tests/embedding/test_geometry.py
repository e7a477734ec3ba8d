"""Geometry and whitening: against all pairs, and against what whitening promises."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bertsmith.embedding.geometry import fit_whitening, frequency_bands, geometry


def cone(rows: int = 400, columns: int = 12) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(columns, columns)) * np.linspace(0.1, 3, columns)
    return (generator.normal(size=(rows, columns)) @ mixing + 8).astype(np.float32)


def test_mean_cosine_is_that_of_all_pairs() -> None:
    vectors = cone(60)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(60, 1)]
    assert geometry(vectors).mean_cosine == pytest.approx(float(pairs.mean()), abs=1e-6)


def test_shares_of_variance() -> None:
    found = geometry(cone())
    assert found.shares.sum() == pytest.approx(1)
    assert (np.diff(found.shares) <= 1e-12).all()
    assert 1 < found.effective_rank < 12
    assert geometry(np.random.default_rng(1).normal(size=(20_000, 12))).effective_rank == pytest.approx(12, abs=0.05)


def test_whitened_vectors_have_mean_0_and_the_identity_as_covariance() -> None:
    vectors = cone()
    whitened = fit_whitening(vectors).apply(vectors)
    np.testing.assert_allclose(whitened.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(whitened, rowvar=False), np.eye(12), atol=1e-3)
    assert abs(geometry(whitened).mean_cosine) < 0.01 < geometry(vectors).mean_cosine


def test_the_directions_of_greatest_variance_are_kept() -> None:
    vectors = cone()
    kept = fit_whitening(vectors, 3).apply(vectors)
    assert kept.shape == (400, 3)
    np.testing.assert_allclose(np.cov(kept, rowvar=False), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(kept, fit_whitening(vectors).apply(vectors)[:, :3], atol=1e-3)


def test_directions_without_variance_are_left_out() -> None:
    vectors = np.pad(cone(), ((0, 0), (0, 2)))
    whitened = fit_whitening(vectors)
    assert whitened.weight.shape == (12, 14)
    assert np.isfinite(whitened.apply(vectors)).all()


def test_bands_go_from_the_frequent_to_the_rare() -> None:
    embeddings = np.random.default_rng(0).normal(size=(30, 4))
    counts = np.arange(30)  # the last token is the most frequent, the first does not occur
    bands = frequency_bands(embeddings, counts, bounds=(5, 10, 500))
    assert [(band.first, band.last) for band in bands] == [(1, 5), (6, 10), (11, 29)]
    assert bands[0].length == pytest.approx(np.linalg.norm(embeddings[25:], axis=1).mean())
