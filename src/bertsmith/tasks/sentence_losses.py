"""What a batch of sentence vectors costs, as pure functions.

Enters: vectors of groups of texts (a pair; an anchor, its positive and hard negatives; a text twice) and what is known
of the groups. Leaves: a `Loss`. Knows nothing of tasks, texts or models. The sum is over groups, so that sum / count is
the mean that the papers (and sentence-transformers) take.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.training.loss import Loss


def contrastive_loss(
    vectors: Tensor,
    texts: Tensor,
    positive: Tensor | None = None,
    *,
    temperature: float,
    symmetric: bool = False,
) -> Loss:
    """Each anchor's own positive is to be nearer than all other texts of the batch that are not anchors.

    Cross entropy over cosines / temperature (InfoNCE, van den Oord et al. 2018; with in-batch negatives Henderson et
    al. 2017, section 4; with a text and its twin under another dropout mask it is unsupervised SimCSE, Gao et al. 2021,
    equation 4). Texts equal to the anchor or to its positive are no negatives of it.

    symmetric: the mean of that and of the same from positive to anchors

    Shape: vectors (R, K, E), of an anchor, its positive, and K - 2 hard negatives; texts (R, K) int64, equal where two
    texts are; positive (R,) bool: groups whose two first texts belong together, all of them unless given. The texts of
    the others are negatives alone, and the count is that of the former.
    """
    vectors = F.normalize(vectors.float(), dim=-1)
    anchors, others = vectors[:, 0], vectors[:, 1:].transpose(0, 1).flatten(0, 1)  # (R, E), (R * (K - 1), E)
    known = texts[:, 1:].T.flatten()  # (R * (K - 1),): all positives, then all of the first hard negatives, ...
    costs = _cost_of_own(anchors @ others.T / temperature, texts[:, 0], texts[:, 1], known)
    if symmetric:
        backwards = _cost_of_own(vectors[:, 1] @ anchors.T / temperature, texts[:, 1], texts[:, 0], texts[:, 0])
        costs = (costs + backwards) / 2
    if positive is None:
        return Loss(costs.sum(), float(len(vectors)))
    return Loss((costs * positive).sum(), positive.sum())


def _cost_of_own(scores: Tensor, asking: Tensor, wanted: Tensor, candidates: Tensor) -> Tensor:
    """Cross entropy of the candidate of each row's own number.

    Shape: scores (R, M), M >= R; asking, wanted (R,), candidates (M,): which texts they are -> (R,)
    """
    rows = torch.arange(len(scores), device=scores.device)
    same = (candidates == asking[:, None]) | (candidates == wanted[:, None])  # (R, M)
    same[rows, rows] = False
    return F.cross_entropy(scores.masked_fill(same, -torch.inf), rows, reduction="none")


def triplet_loss(vectors: Tensor, *, margin: float) -> Loss:
    """A positive is to be nearer to its anchor than the negative is, by a margin of the Euclidean distance
    (Reimers and Gurevych 2019, section 3, "Triplet Objective Function").

    Shape: vectors (R, 3, E), of anchor, positive and negative.
    """
    anchors, positives, negatives = vectors.float().unbind(1)
    to_positive = F.pairwise_distance(anchors, positives)
    to_negative = F.pairwise_distance(anchors, negatives)
    return Loss(F.relu(to_positive - to_negative + margin).sum(), float(len(vectors)))


def cosine_loss(vectors: Tensor, scores: Tensor) -> Loss:
    """Squared error of the cosine of each pair (Reimers and Gurevych 2019, section 3, "Regression Objective Function").

    Shape: vectors (R, 2, E); scores (R,) from 0, nothing alike, to 1, the same.
    """
    return Loss(((pair_cosines(vectors) - scores.float()) ** 2).sum(), float(len(vectors)))


def cosent_loss(vectors: Tensor, scores: Tensor, *, temperature: float) -> Loss:
    """Pairs of higher scores are to have higher cosines: log(1 + sum of exp((cos_j - cos_i) / temperature)) over all
    i, j of the batch with score_i > score_j (Su 2022, "CoSENT").

    It is one number a batch, and counts as often as the batch has pairs of texts.

    Shape: vectors (R, 2, E); scores (R,) on any scale.
    """
    cosines = pair_cosines(vectors) / temperature  # (R,)
    differences = cosines[None, :] - cosines[:, None]  # (i, j)
    wrong = differences.masked_fill(scores[:, None] <= scores[None, :], -torch.inf)
    cost = torch.cat([wrong.new_zeros(1), wrong.flatten()]).logsumexp(0)
    return Loss(cost * len(vectors), float(len(vectors)))


def pair_cosines(vectors: Tensor) -> Tensor:
    """Cosine of the two vectors of each pair: (R, 2, E) -> (R,) float32."""
    return F.cosine_similarity(vectors[:, 0].float(), vectors[:, 1].float(), dim=-1)
