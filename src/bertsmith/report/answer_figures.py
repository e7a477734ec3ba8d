"""Figures of a model's answers: right and wrong, sure and unsure.

Enters: classes or scores, gold and predicted. Leaves: SVG text. Knows nothing of the page around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bertsmith.report.drawing import COLOURS, add_legend, draw_axes, in_style, percent, thousands, to_svg
from bertsmith.report.words import clip_text, format_score
from bertsmith.tasks.insight import Regression
from bertsmith.tasks.metrics import Calibration


@in_style
def draw_confusions(counts: NDArray[np.int64], labels: Sequence[str], supports: NDArray[np.int64]) -> str:
    """Confusion matrix (C, C): counts as numbers; as shades, their shares of the gold classes' ``supports`` (C,)."""
    num_classes = len(labels)
    names = [clip_text(label, 22 if num_classes > 16 else 28) or "(empty)" for label in labels]
    cell = int(np.clip(620 / num_classes, 23, 76 if num_classes > 3 else 112))
    margin = 42 + 6.6 * max(len(name) for name in names)
    flat = num_classes <= 6 and max(len(name) for name in names) * 6.6 < cell
    figure, axes = draw_axes(
        round(cell * num_classes + margin + 24), round(cell * num_classes + (50 if flat else 24 + margin))
    )
    share = counts / np.maximum(1, supports)[:, None]
    edges = np.arange(num_classes + 1) - 0.5
    colours = np.array([[to_rgba(COLOURS["blue"], 0.04 + 0.96 * value) for value in row] for row in share])
    axes.pcolormesh(edges, edges, colours, edgecolor=COLOURS["line"], linewidth=0.7)
    size = 13.0 if cell > 40 else 11.5 if cell > 28 else 9.0
    for (gold, predicted), count in np.ndenumerate(counts):
        if count or num_classes <= 8:
            strong = share[gold, predicted] > 0.5
            axes.text(
                predicted,
                gold,
                f"{count:,}" if count < 10_000 or cell > 40 else f"{count / 1000:.0f}k",
                ha="center",
                va="center",
                fontsize=size,
                color=COLOURS["paper" if strong else "ink"],
            )
    axes.set_xticks(range(num_classes), names, rotation=0 if flat else 90)
    axes.set_yticks(range(num_classes), names)
    axes.tick_params(length=0, labelcolor=COLOURS["ink"], labelsize=11.5 if cell > 28 else 10.5)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return to_svg(figure, "confusions", "Confusion matrix")


@in_style
def draw_batch_scores(scores: NDArray[np.float64], size: int, whole: float) -> str:
    """MCC of each batch of ``size`` examples as bars, and of all examples together as a line."""
    figure, axes = draw_axes()
    axes.bar(np.arange(1, len(scores) + 1), scores, width=0.72, color=COLOURS["blue"], alpha=0.75)
    axes.axhline(0, color=COLOURS["soft"], linewidth=1.0)
    axes.axhline(
        whole,
        color=COLOURS["orange"],
        linewidth=1.6,
        linestyle=(0, (4, 3)),
        label=f"all together: {format_score(whole)}",
    )
    axes.set_ylim(min(0.0, float(scores.min()) * 1.1), 1.02)
    axes.set_xlabel(f"batch of {size} examples")
    axes.set_ylabel("MCC")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    thousands(axes)
    add_legend(axes)
    return to_svg(figure, "batches", "MCC of each batch")


@in_style
def draw_reliability(calibration: Calibration) -> str:
    """Reliability diagram: accuracy against confidence, the area of a point telling how many answers it stands for."""
    figure, axes = draw_axes()
    filled = calibration.count > 0
    confidence, accuracy = calibration.confidence[filled], calibration.accuracy[filled]
    axes.plot([0, 1], [0, 1], color=COLOURS["soft"], linewidth=1.1, linestyle=(0, (4, 3)), label="as sure as right")
    axes.vlines(confidence, confidence, accuracy, color=COLOURS["orange"], linewidth=1.4)
    share = calibration.count[filled] / calibration.count.sum()
    axes.plot(confidence, accuracy, color=COLOURS["blue"], linewidth=1.2, alpha=0.5)
    axes.scatter(confidence, accuracy, s=18 + 320 * share, color=COLOURS["blue"], zorder=3, label="model")
    axes.set_xlim(max(0.0, float(confidence.min()) - 0.08), 1.03)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    percent(axes, "x")
    percent(axes, "y")
    add_legend(axes)
    return to_svg(figure, "reliability", "Reliability diagram")


@in_style
def draw_scatter(regression: Regression, *, at_most: int = 2000) -> str:
    """Predicted scores against gold ones; of very many examples, evenly spaced ones."""
    figure, axes = draw_axes(430, 400)
    every = -(-len(regression.gold) // at_most)
    gold, predicted = regression.gold[::every], regression.predicted[::every]
    ends = [min(gold.min(), predicted.min()), max(gold.max(), predicted.max())]
    axes.plot(ends, ends, color=COLOURS["soft"], linewidth=1.1, linestyle=(0, (4, 3)), label="predicted = gold")
    opacity = float(np.clip(120 / max(1, len(gold)), 0.18, 0.8))
    axes.scatter(gold, predicted, s=16, color=COLOURS["blue"], alpha=opacity, linewidths=0)
    axes.set_xlabel("gold score")
    axes.set_ylabel("predicted score")
    axes.grid(True, axis="both")
    add_legend(axes)
    return to_svg(figure, "scatter", "Predicted scores against gold scores")
