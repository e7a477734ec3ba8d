"""Clusters of texts as a page: a map of all, and what each is about.

Enters: places on a plane and clusters. Leaves: an HTML page that needs nothing outside itself. Knows nothing of how
clusters came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bertsmith.files import write_text
from bertsmith.report.drawing import COLOURS, draw_axes, in_style, to_svg
from bertsmith.report.html import style, template
from bertsmith.report.words import clean_text, clip_text

_HUES = ("blue", "orange", "green", "purple", "gold")
_SIGNS = {"o": "●", "s": "■", "^": "▲", "D": "◆"}  # as drawn, and as written
MARKED = len(_HUES) * len(_SIGNS)  # clusters that have a mark of their own
LISTED = 100  # clusters in the table


@dataclass(frozen=True)
class ClusterFacts:
    """A cluster as it is told.

    middle: the text nearest to its mean
    words:  that set it apart
    """

    size: int
    middle: str
    words: Sequence[str]


def write_cluster_page(
    path: Path | str,
    title: str,
    facts: Sequence[ClusterFacts],
    places: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    alone: int,
) -> None:
    """Write the page to ``path``.

    places, labels: (P, 2) and (P,) of the texts on the map, a sample of all where there are many
    alone:          texts of no cluster
    """
    rows = [
        {
            "number": number,
            "colour": _hue(number),
            "mark": _SIGNS[_shape(number)],
            "size": one.size,
            "words": [clean_text(word) for word in one.words],
            "middle": clip_text(one.middle, 200),
        }
        for number, one in enumerate(facts[:LISTED])
    ]
    more = len(facts) - len(rows)
    notes = [f"{more:,} smaller clusters are not listed."] * (more > 0)
    notes += [f"{alone:,} texts belong to none."] * (alone > 0)
    size = sum(one.size for one in facts) + alone
    page = template("clusters.html.j2").render(
        title=title,
        css=style(),
        subtitle=f"{size:,} texts in {len(facts):,} clusters",
        map=Markup(draw_map(places, labels)),
        caption=f"{len(places):,} texts; those that mean alike lie near each other, as far as a plane allows.",
        clusters=rows,
        note=" ".join(notes),
    )
    write_text(path, page.strip() + "\n")


@in_style
def draw_map(places: NDArray[np.float64], labels: NDArray[np.int64]) -> str:
    """A dot a text, a mark and a hue a cluster, as far as they go. Shape: places (P, 2); labels (P,)."""
    figure, axes = draw_axes(860, 560)
    size = float(np.clip(9000 / max(1, len(places)), 7, 34))
    plain = (labels < 0) | (labels >= MARKED)
    axes.scatter(places[plain, 0], places[plain, 1], s=size * 0.7, color=COLOURS["line"], linewidths=0)
    for label in range(min(MARKED, int(labels.max(initial=-1)) + 1)):
        own = places[labels == label]
        if len(own):
            axes.scatter(
                own[:, 0], own[:, 1], s=size, color=COLOURS[_hue(label)], marker=_shape(label), alpha=0.75, linewidths=0
            )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    if np.ptp(places) > 1e-6:  # all in one place have no scale
        axes.set_aspect("equal", adjustable="datalim")
    return to_svg(figure, "map", "Texts on a plane, coloured by cluster")


def _hue(cluster: int) -> str:
    return _HUES[cluster % len(_HUES)] if cluster < MARKED else "line"


def _shape(cluster: int) -> str:
    return list(_SIGNS)[cluster // len(_HUES) % len(_SIGNS)]
