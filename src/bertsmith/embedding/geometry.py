"""How sentence vectors lie in their space, and a linear map that spreads them evenly.

Enters: vectors of many texts. Leaves: how narrow their cone is, and the whitening that widens it. Vectors of an encoder
that was not trained for sentences crowd around one direction, so that all cosines are high (Ethayarajh 2019, "How
contextual are contextualized word representations?"; Li et al. 2020, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.tasks.retrieval import unit

Vectors = NDArray[np.floating]

_SMALLEST = 1e-10  # of a variance, as a share of the greatest: below, a direction holds nothing but rounding


@dataclass(frozen=True)
class Geometry:
    """What is to be known of a set of vectors.

    mean_cosine:    of all pairs of different vectors; 0 for evenly spread ones, near 1 in a narrow cone
    shares:         (E,) of the variance, of each principal direction, the greatest first
    effective_rank: exp of the entropy of ``shares``: directions that are really used (Roy and Vetterli 2007)
    """

    mean_cosine: float
    shares: NDArray[np.float64]
    effective_rank: float

    @property
    def first_share(self) -> float:
        """Share of the variance in the one greatest direction."""
        return float(self.shares[0])


def geometry(vectors: Vectors) -> Geometry:
    """The geometry of vectors (S, E), S > 1, of any length."""
    exact = vectors.astype(np.float64)
    number = len(exact)
    # The sum of all cosines is the square of the sum of the vectors; the number of them with themselves is S.
    total = float(np.square(unit(exact).sum(0)).sum())
    variances = np.linalg.eigvalsh(np.cov(exact, rowvar=False))[::-1].clip(0)
    shares = variances / max(variances.sum(), 1e-300)
    used = shares[shares > 0]
    return Geometry((total - number) / (number * (number - 1)), shares, float(np.exp(-(used * np.log(used)).sum())))


@dataclass(frozen=True)
class Whitening:
    """A linear map after which the vectors it was fitted to have mean 0 and the identity as covariance.

    weight: (K, E)
    bias:   (K,)
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def apply(self, vectors: Vectors) -> NDArray[np.float32]:
        """(S, E) -> (S, K)."""
        mapped: NDArray[np.float32] = vectors.astype(np.float32) @ self.weight.T + self.bias
        return mapped


def fit_whitening(vectors: Vectors, dimensions: int = 0) -> Whitening:
    """The whitening of vectors (S, E), kept to the ``dimensions`` directions of the greatest variance, 0 for all (Su et
    al. 2021, "Whitening sentence representations", section 3). Directions without variance are left out.
    """
    exact = vectors.astype(np.float64)
    mean = exact.mean(0)
    variances, directions = np.linalg.eigh(np.cov(exact, rowvar=False))
    order = np.argsort(-variances)
    real = order[variances[order] > _SMALLEST * variances.max()]
    kept = real[:dimensions] if dimensions else real
    weight = (directions[:, kept] / np.sqrt(variances[kept])).T  # (K, E)
    return Whitening(weight.astype(np.float32), -(weight @ mean).astype(np.float32))


@dataclass(frozen=True)
class Band:
    """Token embeddings of a band of frequency ranks (Li et al. 2020, table 1).

    first, last: ranks from 1, the most frequent token first
    length:      mean Euclidean length
    cosine:      mean cosine of pairs
    """

    first: int
    last: int
    length: float
    cosine: float


def frequency_bands(
    embeddings: Vectors, counts: NDArray[np.int64], bounds: Sequence[int] = (100, 500, 5000)
) -> list[Band]:
    """Embeddings (V, E) of the tokens that occur, by how often they do (``counts``, (V,)), the frequent ones first."""
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    bands = []
    low = 0
    for high in [*(bound for bound in bounds if bound < len(order)), len(order)]:
        rows = embeddings[order[low:high]].astype(np.float64)
        if len(rows) > 1:
            lengths = np.linalg.norm(rows, axis=1)
            bands.append(Band(low + 1, high, float(lengths.mean()), geometry(rows).mean_cosine))
        low = high
    return bands
