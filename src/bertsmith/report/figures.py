"""Figures of a run: its data and how training went.

Enters: splits and curves. Leaves: SVG text. Knows nothing of the page around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from bertsmith.report.drawing import COLOURS, add_legend, draw_axes, in_style, percent, thousands, to_svg
from bertsmith.report.record import Curves, Split
from bertsmith.report.words import clip_text, format_rate, name_score

_ORDER = ("blue", "orange", "green", "purple")
_MARKS = ("o", "s", "^", "D")


@in_style
def draw_lengths(splits: Sequence[Split], max_length: int | None) -> str:
    """Histogram of the sequences' lengths: the share of each split, on one plot, with the limit as a line."""
    figure, axes = draw_axes()
    longest = max(int(split.lengths.max()) for split in splits)
    width = max(1, -(-longest // 40))
    edges = np.arange(0, longest + 2 * width, width) + 0.5 - width
    for i, split in enumerate(splits):
        counts, _ = np.histogram(split.lengths, bins=edges)
        colour = COLOURS[_ORDER[i % len(_ORDER)]]
        share = counts / max(1, len(split.lengths))
        axes.stairs(share, edges, color=colour, linewidth=1.7, label=clip_text(split.name, 24))
        if i == 0:  # one filled shape with lines over it; two would mix into a third colour
            axes.stairs(share, edges, color=colour, alpha=0.18, fill=True)
    if max_length is not None and max_length <= 1.6 * longest:
        axes.axvline(
            max_length, color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)), label=f"limit {max_length}"
        )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tokens in a sequence")
    axes.set_ylabel("share of sequences")
    percent(axes)
    thousands(axes)
    add_legend(axes)
    return to_svg(figure, "lengths", "Histogram of sequence lengths")


@in_style
def draw_losses(curves: Curves, best_step: int | None) -> str:
    """Train loss, as it was and smoothed, and eval loss, on one plot."""
    figure, axes = draw_axes()
    highest = []
    if curves.loss:
        steps, losses = _columns(curves.loss)
        smoothed = smooth(losses)
        axes.plot(steps, losses, color=COLOURS["blue"], alpha=0.25, linewidth=1.0)
        axes.plot(steps, smoothed, color=COLOURS["blue"], linewidth=2.0, label="train, smoothed")
        # One wild step must not press the rest of the curve flat.
        highest.append(max(float(np.quantile(losses, 0.995)), float(smoothed.max())))
    evaluated = [(step, scores["loss"]) for step, scores in curves.scores if "loss" in scores]
    if evaluated:
        steps, losses = _columns(evaluated)
        axes.plot(steps, losses, color=COLOURS["orange"], linewidth=2.0, marker="o", markersize=4.5, label="eval")
        highest.append(float(losses.max()))
    axes.set_ylabel("loss")
    if highest and np.isfinite(highest).all() and max(highest) > 0:
        axes.set_ylim(0, 1.08 * max(highest))
    _finish_steps(axes, best_step)
    return to_svg(figure, "losses", "Loss by step")


@in_style
def draw_scores(curves: Curves, metric: str, best_step: int | None, baseline: Mapping[str, float] = {}) -> str:
    """Scores of the eval split by step: the deciding one first, and up to three more of like size.

    baseline: by name of a score, what a guess without a model comes to; drawn where that score is
    """
    figure, axes = draw_axes()
    names = choose_scores(curves.scores, metric)
    for name in names:
        if name in baseline:
            axes.axhline(
                baseline[name], color=COLOURS["soft"], linewidth=1.4, linestyle="--", label="by frequency alone"
            )
    for i, name in enumerate(names):
        steps, values = _columns([(step, scores[name]) for step, scores in curves.scores if name in scores])
        leading = i == 0
        axes.plot(
            steps,
            values,
            color=COLOURS[("orange", "blue", "green", "purple")[i]],
            linewidth=2.0 if leading else 1.4,
            marker=_MARKS[i],
            markersize=4.5,
            label=clip_text(name_score(name), 24),
        )
    axes.set_ylabel("score on eval")
    axes.margins(y=0.15)
    _finish_steps(axes, best_step)
    return to_svg(figure, "scores", "Scores by step")


@in_style
def draw_rate(curves: Curves) -> str:
    """Learning rate by step."""
    figure, axes = draw_axes()
    steps, rates = _columns(curves.rate)
    axes.plot(steps, rates, color=COLOURS["green"], linewidth=2.0)
    axes.set_ylim(0, 1.08 * float(rates.max()) if rates.max() > 0 else 1.0)
    axes.set_ylabel("learning rate")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: re.sub(r"\.?0+e", "e", format_rate(value))))
    _finish_steps(axes, None)
    return to_svg(figure, "rate", "Learning rate by step")


def choose_scores(evaluated: Sequence[tuple[int, Mapping[str, float]]], metric: str) -> list[str]:
    """Names of at most four scores that share an axis: ``metric`` first, then those of like size, without the loss."""
    highest: dict[str, float] = {}
    for _, scores in evaluated:
        for name, value in scores.items():
            highest[name] = max(highest.get(name, 0.0), abs(value))
    names = [name for name in highest if name not in ("loss", "ece")]
    if metric in names:
        names.sort(key=lambda name: name != metric)
    if not names:
        return []
    in_hundreds = highest[names[0]] > 1.5
    return [name for name in names if (highest[name] > 1.5) == in_hundreds][:4]


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean (n,) under a bell that reaches a twentieth of the values to either side, so that it does not lag."""
    reach = max(1, len(values) // 20)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (reach / 2)) ** 2)
    inside = slice(reach, reach + len(values))
    weights = np.convolve(np.ones_like(values), bell)[inside]  # less at the ends, where the bell is cut off
    smoothed: NDArray[np.float64] = np.convolve(values, bell)[inside] / weights
    return smoothed


def _columns(pairs: Sequence[tuple[int, float]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.array([step for step, _ in pairs], np.int64), np.array([value for _, value in pairs], np.float64)


def _finish_steps(axes: Axes, best_step: int | None) -> None:
    """What all plots by step share."""
    if best_step is not None:
        axes.axvline(
            best_step, color=COLOURS["ink"], linewidth=1.1, linestyle=(0, (1, 2.5)), label=f"best: step {best_step:,}"
        )
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    thousands(axes)
    add_legend(axes)
