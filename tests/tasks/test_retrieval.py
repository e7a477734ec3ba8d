"""Scores of rankings: against loops, scikit-learn and what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from bertsmith.tasks.retrieval import retrieval_scores, top_documents, uniformity


def unit(rows: int, columns: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_scores_are_those_of_a_loop_over_queries() -> None:
    queries, documents = unit(23, 6, 0), unit(40, 6, 1)
    generator = np.random.default_rng(2)
    relevant = [np.unique(generator.integers(0, 40, generator.integers(1, 5))) for _ in range(23)]
    scores = retrieval_scores(queries, documents, relevant)
    reciprocal, gains, recalls = [], [], {1: [], 5: [], 10: []}
    for query, right in zip(queries, relevant, strict=True):
        products = documents @ query
        ranked = sorted(range(40), key=lambda document: (-products[document], document))
        places = [place for place, document in enumerate(ranked[:10], start=1) if document in right]
        reciprocal.append(1 / places[0] if places else 0)
        gains.append(ndcg_score([np.isin(range(40), right).astype(float)], [products], k=10))
        for cut in recalls:
            recalls[cut].append(len(set(ranked[:cut]) & set(right.tolist())) / len(right))
    assert scores["mrr@10"] == pytest.approx(np.mean(reciprocal))
    assert scores["ndcg@10"] == pytest.approx(np.mean(gains))
    for cut, found in recalls.items():
        assert scores[f"recall@{cut}"] == pytest.approx(np.mean(found))


def test_fewer_documents_than_places() -> None:
    scores = retrieval_scores(np.eye(2), np.eye(2), [np.array([0]), np.array([0])])
    assert scores == {"mrr@10": 0.75, "ndcg@10": pytest.approx((1 + 1 / np.log2(3)) / 2), "recall@1": 0.5,
                      "recall@5": 1.0, "recall@10": 1.0}  # fmt: skip


def test_of_equal_documents_the_first_comes_first() -> None:
    documents = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert top_documents(np.array([[1.0, 0.0]]), documents, 3).tolist() == [[1, 2, 0]]


def test_uniformity_is_lowest_where_vectors_are_spread() -> None:
    spread, narrow = unit(300, 8, 0), unit(300, 8, 0) * 0.05 + unit(1, 8, 5)
    narrow /= np.linalg.norm(narrow, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(300) for j in range(i)]
    by_hand = np.log(np.mean([np.exp(-2 * np.square(spread[i] - spread[j]).sum()) for i, j in pairs]))
    assert uniformity(spread) == pytest.approx(by_hand, abs=1e-5)
    assert uniformity(spread) < uniformity(narrow) < 0
