"""How well vectors find what belongs together, as pure functions.

Enters: vectors, and which documents answer which query. Leaves: scores by name. Knows no texts and no models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Number = TypeVar("Number", np.float32, np.float64)

CUTS = (1, 5, 10)  # places of a ranking that recall looks at
BLOCK = 1024  # queries whose similarities to all documents are held at once


def retrieval_scores(queries: Floats, documents: Floats, relevant: Sequence[NDArray[np.int64]]) -> dict[str, float]:
    """``mrr@10``, ``ndcg@10``, ``recall@1``, ``recall@5``, ``recall@10`` of ranking all documents for each query.

    Each is the mean over queries: the reciprocal place of the first relevant document; the discounted gain of all
    (Järvelin and Kekäläinen 2002, with gains of 1 and log2) over the best possible; the share of the relevant ones
    among the first. Beyond place 10 nothing counts. Of equal similarities the document of the lower number comes first.

    Shape: queries (Q, E), documents (M, E), both of length 1 for cosines; relevant: Q arrays of document numbers, none
    of them empty.
    """
    deepest = max(CUTS)
    found = np.concatenate(
        [top_documents(queries[start : start + BLOCK], documents, deepest) for start in range(0, len(queries), BLOCK)]
    )  # (Q, 10)
    hits = np.stack([np.isin(row, right) for row, right in zip(found, relevant, strict=True)])  # (Q, 10)
    counts = np.array([len(right) for right in relevant])  # (Q,)
    places = np.arange(1, hits.shape[1] + 1)
    gains = 1 / np.log2(places + 1)
    best = np.array([gains[: min(count, len(gains))].sum() for count in counts])
    scores = {
        "mrr@10": float(np.max(hits / places, axis=1).mean()),
        "ndcg@10": float(((hits @ gains) / best).mean()),
    }
    return scores | {f"recall@{cut}": float((hits[:, :cut].sum(1) / counts).mean()) for cut in CUTS}


def top_documents(queries: Floats, documents: Floats, number: int) -> NDArray[np.int64]:
    """The documents of the greatest products with each query, best first: (Q, E), (M, E) -> (Q, min(number, M))."""
    products = queries @ documents.T  # (Q, M)
    number = min(number, products.shape[1])
    order = np.argsort(-products, axis=1, kind="stable")[:, :number]
    return order.astype(np.int64)


def unit(vectors: NDArray[Number]) -> NDArray[Number]:
    """Vectors (M, E) brought to length 1, which makes products of them cosines."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    brought: NDArray[Number] = vectors / np.maximum(lengths, 1e-12)
    return brought


def uniformity(vectors: Floats) -> float:
    """How evenly vectors lie on the sphere, the lower the more: log of the mean of exp(-2 |u - v|²) over all pairs
    (Wang and Isola 2020, section 4.1.2). Shape: vectors (M, E), of length 1, M > 1."""
    products = vectors @ vectors.T
    upper = products[np.triu_indices(len(vectors), 1)]
    return float(np.log(np.mean(np.exp(-2 * (2 - 2 * upper)))))
