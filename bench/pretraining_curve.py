"""The curve of a pretraining: masked-token loss in training and on the held-out text, beside guessing by frequency.

    python bench/pretraining_curve.py bench/pretraining_run.jsonl --unigram 7.04 --out bench/pretraining_curve.svg

The first is the ``log.jsonl`` of a run, the second the baseline that its ``metrics.json`` tells.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bertsmith.files import write_text
from bertsmith.report.drawing import COLOURS, add_legend, draw_axes, in_style, to_svg
from bertsmith.report.figures import smooth
from bertsmith.report.log import read_log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--unigram", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_text(given.out, draw(given.log, given.unigram))


@in_style
def draw(log: Path, unigram: float) -> str:
    """The figure as SVG."""
    records = read_log(log)
    trained = np.array([(one["step"], one["mlm_loss"]) for one in records if "mlm_loss" in one])
    held_out = np.array([(one["step"], one["eval"]["mlm_loss"]) for one in records if "eval" in one])
    figure, axes = draw_axes()
    axes.axhline(unigram, color=COLOURS["soft"], linewidth=1.4, linestyle="--", label="by frequency alone")
    axes.plot(*trained.T, color=COLOURS["blue"], alpha=0.25, linewidth=1.0)
    axes.plot(trained[:, 0], smooth(trained[:, 1]), color=COLOURS["blue"], linewidth=2.0, label="train, smoothed")
    axes.plot(*held_out.T, color=COLOURS["orange"], linewidth=2.0, marker="o", markersize=4.5, label="held out")
    axes.set_xlabel("step")
    axes.set_ylabel("masked-token loss, nats")
    axes.set_ylim(0, 1.2 * unigram)
    add_legend(axes)
    svg = to_svg(figure, "pretraining", "Masked-token loss by step")  # for within a page
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    alone = f'{names} width="645" height="405" font-family="sans-serif"'
    return svg.replace("<svg", f"<svg {alone}", 1)


if __name__ == "__main__":
    main()
