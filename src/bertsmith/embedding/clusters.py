"""Vectors in groups.

Enters: vectors of length 1, (S, E). Leaves: the number of each vector's cluster, the largest cluster first, and -1 for
one that belongs to none. k-means and agglomerative clustering are scikit-learn's; communities are ours.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.errors import SettingsError

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

MOST_AGGLOMERATED = 20_000  # vectors: their distances to each other are held in memory
_BLOCK = 1024


def k_means(vectors: Vectors, number: int, *, seed: int = 0) -> Labels:
    """``number`` clusters around means. Raises `SettingsError` for more clusters than vectors."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    _check_number(number, len(vectors))
    kind = KMeans if len(vectors) <= 50_000 else MiniBatchKMeans
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different vectors than clusters, as is seen
        found = kind(number, n_init=3, random_state=seed).fit_predict(vectors)
    return by_size(found)


def agglomerate(vectors: Vectors, *, number: int | None = None, least: float | None = None) -> Labels:
    """Clusters that grow together by the mean cosine of their members (average linkage), down to ``number`` of them, or
    as long as that cosine is at least ``least``.

    Raises `SettingsError` for more vectors than memory has room for, and more clusters than vectors.
    """
    from sklearn.cluster import AgglomerativeClustering

    if len(vectors) > MOST_AGGLOMERATED:
        raise SettingsError(
            f"{len(vectors):,} texts are too many for agglomerative clustering, which takes {MOST_AGGLOMERATED:,}; use "
            "--method communities or kmeans"
        )
    if number is not None:
        _check_number(number, len(vectors))
    if len(vectors) == 1:
        return np.zeros(1, dtype=np.int64)
    found = AgglomerativeClustering(
        n_clusters=number,
        distance_threshold=None if least is None else 1 - least,
        metric="cosine",
        linkage="average",
    ).fit_predict(vectors)
    return by_size(found)


def communities(vectors: Vectors, *, least: float, smallest: int = 2) -> Labels:
    """Groups of vectors whose cosine with the vector in their middle is at least ``least``.

    The vector with most such neighbours comes first and takes those that are still free; a group of fewer than
    ``smallest`` is none. Takes time in the square of the number of vectors, and memory in proportion to it.
    """
    every = torch.from_numpy(vectors)
    counts = torch.cat(
        [(every[low : low + _BLOCK] @ every.T >= least).sum(1) for low in range(0, len(every), _BLOCK)]
        or [torch.empty(0, dtype=torch.int64)]
    )
    labels = np.full(len(vectors), -1, dtype=np.int64)
    free = np.ones(len(vectors), dtype=bool)
    found = 0
    for middle in torch.argsort(-counts, stable=True).tolist():
        if counts[middle] < smallest:
            break
        if not free[middle]:
            continue
        members = np.flatnonzero(((every @ every[middle]) >= least).numpy() & free)
        if len(members) >= smallest:
            labels[members] = found
            free[members] = False
            found += 1
    return by_size(labels)


def by_size(labels: NDArray[np.integer]) -> Labels:
    """The same clusters, numbered from 0 by their size; of equal ones that of the earlier vector first. -1 stays."""
    known, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    renamed = {int(known[place]): number for number, place in enumerate(order)}
    return np.array([renamed.get(int(label), -1) for label in labels], dtype=np.int64)


def middles(vectors: Vectors, labels: Labels) -> list[int]:
    """The vector of each cluster that is nearest to its mean."""
    found = []
    for label in range(int(labels.max(initial=-1)) + 1):
        members = np.flatnonzero(labels == label)
        mean = vectors[members].mean(0)
        found.append(int(members[np.argmax(vectors[members] @ mean)]))
    return found


def keywords(texts: Sequence[str], labels: Labels, number: int = 5) -> list[list[str]]:
    """The words of each cluster that set it apart: by their share of its words, weighed by how rare they are in all
    clusters together (class-based TF-IDF; Grootendorst 2022, section 3.3)."""
    by_cluster = [Counter[str]() for _ in range(int(labels.max(initial=-1)) + 1)]
    for text, label in zip(texts, labels.tolist(), strict=True):
        if label >= 0:
            by_cluster[label].update(re.findall(r"\w{3,}", text.lower()))
    total = sum(by_cluster, Counter[str]())
    mean = total.total() / max(1, len(by_cluster))
    found = []
    for words in by_cluster:
        size = max(1, words.total())
        scored = {word: count / size * np.log(1 + mean / total[word]) for word, count in words.items()}
        found.append(sorted(scored, key=lambda word: (-scored[word], word))[:number])
    return found


def flat_map(vectors: Vectors, *, seed: int = 0) -> NDArray[np.float64]:
    """Places on a plane for a picture, (S, 2): near ones stay near (t-SNE; van der Maaten and Hinton 2008); for fewer
    than ten, and where all are the same, the two principal directions."""
    centred = vectors - vectors.mean(0)
    if len(vectors) >= 10 and np.abs(centred).max() > 1e-6:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(vectors) - 1) / 3)
        placed: NDArray[np.float64] = TSNE(
            2, perplexity=perplexity, metric="cosine", init="pca", random_state=seed
        ).fit_transform(vectors)
        return placed.astype(np.float64)
    directions = np.linalg.svd(centred.astype(np.float64), full_matrices=False)[2][:2]
    placed = centred @ directions.T
    return np.pad(placed, ((0, 0), (0, 2 - placed.shape[1]))).astype(np.float64)


def _check_number(number: int, vectors: int) -> None:
    if not 1 <= number <= vectors:
        raise SettingsError(f"--number is {number}, and there are {vectors:,} texts; give from 1 to {vectors:,}")
