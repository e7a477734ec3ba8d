"""Losses of sentence vectors: against sentence-transformers', and against loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.tasks.sentence_losses import contrastive_loss, cosent_loss, cosine_loss, pair_cosines, triplet_loss

R, E = 7, 5


@pytest.fixture
def vectors() -> Tensor:
    return torch.randn(R, 3, E, generator=torch.Generator().manual_seed(4))


class GivenVectors(nn.Module):
    """What sentence-transformers takes for a model: it gives back the vectors it is given."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features

    def __getitem__(self, place: int) -> GivenVectors:
        return self


def peer(name: str, vectors: Tensor, labels: Any = None, **options: Any) -> float:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    loss = getattr(losses, name)(model=GivenVectors(), **options)
    return float(loss([{"sentence_embedding": part} for part in vectors.unbind(1)], labels))


def distinct(rows: int, columns: int) -> Tensor:
    return torch.arange(rows * columns).view(rows, columns)


@pytest.mark.parametrize("columns", [2, 3])
def test_contrastive_is_multiple_negatives_ranking(vectors: Tensor, columns: int) -> None:
    given = vectors[:, :columns]
    ours = contrastive_loss(given, distinct(R, columns), temperature=0.05).mean
    assert float(ours) == pytest.approx(peer("MultipleNegativesRankingLoss", given, scale=20.0), abs=1e-5)


def test_symmetric_contrastive_is_its_symmetric_form(vectors: Tensor) -> None:
    given = vectors[:, :2]
    ours = contrastive_loss(given, distinct(R, 2), temperature=0.05, symmetric=True).mean
    assert float(ours) == pytest.approx(peer("MultipleNegativesSymmetricRankingLoss", given, scale=20.0), abs=1e-5)


def test_texts_that_are_equal_are_no_negatives(vectors: Tensor) -> None:
    texts = distinct(R, 2)
    texts[3, 1] = texts[0, 1]  # the same positive
    texts[5, 1] = texts[2, 0]  # the second text is another's anchor
    unit = F.normalize(vectors[:, :2], dim=-1)
    total = 0.0
    for row in range(R):
        scores = [
            float(unit[row, 0] @ unit[other, 1]) / 0.1
            for other in range(R)
            if other == row or texts[other, 1] not in (texts[row, 0], texts[row, 1])
        ]
        own = float(unit[row, 0] @ unit[row, 1]) / 0.1
        total += math.log(sum(math.exp(score) for score in scores)) - own
    loss = contrastive_loss(vectors[:, :2], texts, temperature=0.1)
    assert float(loss.sum) == pytest.approx(total, abs=1e-4)
    assert loss.count == R


def test_pairs_that_do_not_belong_together_are_negatives_alone(vectors: Tensor) -> None:
    positive = torch.tensor([True, False] * 3 + [True])
    texts = distinct(R, 2)
    every = [
        float(contrastive_loss(vectors[:, :2].roll(-row, 0), texts.roll(-row, 0), temperature=0.1).sum)
        for row in range(R)
    ]
    assert every == pytest.approx([every[0]] * R, abs=1e-4)
    loss = contrastive_loss(vectors[:, :2], texts, positive, temperature=0.1)
    assert int(loss.count) == 4
    assert float(loss.sum) < every[0]
    flipped = contrastive_loss(vectors[:, :2], texts, ~positive, temperature=0.1)
    assert float(loss.sum + flipped.sum) == pytest.approx(every[0], abs=1e-4)


def test_triplet_is_theirs(vectors: Tensor) -> None:
    ours = triplet_loss(vectors, margin=1.0).mean
    assert float(ours) == pytest.approx(peer("TripletLoss", vectors, triplet_margin=1.0), abs=1e-5)


def test_cosine_is_theirs(vectors: Tensor) -> None:
    scores = torch.linspace(0, 1, R)
    ours = cosine_loss(vectors[:, :2], scores).mean
    assert float(ours) == pytest.approx(peer("CosineSimilarityLoss", vectors[:, :2], scores), abs=1e-6)


def test_cosent_is_theirs_and_its_formula(vectors: Tensor) -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 0.5, 0.0, 1.0, 0.3])
    ours = float(cosent_loss(vectors[:, :2], scores, temperature=0.05).mean)
    assert ours == pytest.approx(peer("CoSENTLoss", vectors[:, :2], scores, scale=20.0), abs=1e-4)
    cosines = pair_cosines(vectors[:, :2]).tolist()
    total = 1.0
    for i in range(R):
        for j in range(R):
            if scores[i] > scores[j]:
                total += math.exp((cosines[j] - cosines[i]) / 0.05)
    assert ours == pytest.approx(math.log(total), abs=1e-4)


def test_cosent_of_equal_scores_costs_nothing(vectors: Tensor) -> None:
    loss = cosent_loss(vectors[:, :2].requires_grad_(), torch.ones(R), temperature=0.05)
    assert float(loss.sum.detach()) == 0
    loss.sum.backward()


@pytest.mark.parametrize("name", ["contrastive", "triplet", "cosine", "cosent"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    vectors = torch.randn(3, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def cost(given: Tensor) -> Tensor:
        if name == "contrastive":
            return contrastive_loss(given, distinct(3, 3), temperature=0.5).sum
        if name == "triplet":
            return triplet_loss(given, margin=5.0).sum
        if name == "cosine":
            return cosine_loss(given[:, :2], torch.tensor([0.1, 0.5, 0.9])).sum
        return cosent_loss(given[:, :2], torch.tensor([0.1, 0.5, 0.9]), temperature=0.5).sum

    cost(vectors).backward()
    assert vectors.grad is not None
    with torch.no_grad():
        for place in [(0, 0, 1), (1, 1, 2), (2, 0, 3)]:
            step = torch.zeros_like(vectors)
            step[place] = 1e-2  # the arithmetic is in fp32
            slope = (cost(vectors + step) - cost(vectors - step)) / 2e-2
            assert float(slope) == pytest.approx(float(vectors.grad[place]), abs=2e-3)
