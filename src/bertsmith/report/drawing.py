"""How a figure of the report looks.

Enters: a size. Leaves: axes in the report's style, and SVG text that lies in a page. Knows nothing of what is drawn.

A figure is drawn once and shown on light and dark paper: each colour below is turned into a CSS variable of the same
name, which the page sets for both. Letters stay text, in the page's own typeface, so that every script can be shown.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Blue, vermilion, green, purple and yellow of Okabe and Ito (2008), which people with any kind of colour vision tell
# apart. The greys differ from each other in the last digit at least, since a colour is known again by its value.
COLOURS = {
    "ink": "#1f2630",
    "soft": "#626c7a",
    "line": "#d9dee5",
    "blue": "#0072b2",
    "orange": "#d55e00",
    "green": "#009e73",
    "purple": "#b0659a",
    "gold": "#b58900",
    "paper": "#fefefe",
}
_STYLE: Any = {
    "font.size": 12.0,
    "axes.labelsize": 12.0,
    "axes.labelpad": 6.0,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "legend.fontsize": 11.5,
    "text.parse_math": False,  # a label may hold "$"
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["soft"],
    "axes.edgecolor": COLOURS["line"],
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["soft"],
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
}


in_style = matplotlib.rc_context(_STYLE)  # decorates every function that draws


def draw_axes(width: int = 430, height: int = 270) -> tuple[Figure, Axes]:
    """An empty figure of this size in CSS pixels, with axes in the report's style."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    return figure, axes


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an ``<svg>`` element without outside parts. ``name`` keeps its ids apart from other figures'."""
    target = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Letters that matplotlib's own typeface lacks are drawn by the page.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(target, format="svg", metadata=metadata, transparent=True)
    svg = target.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # these ids name parts that nothing refers to
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', _short_numbers, svg)
    svg = re.sub(r'(?<= )style="[^"]*"', _page_style, svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    width = float(box[1].split()[2])
    opening = f'<svg viewBox="{box[1]}" role="img" aria-label="{description}" style="--natural: {width:.0f}px">'
    svg = opening + svg[svg.index(">") + 1 :]
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _page_style(style: re.Match[str]) -> str:
    """A style with the page's typeface and colours."""
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", style[0])
    for colour, value in COLOURS.items():
        text = text.replace(value, f"var(--{colour}, {value})")
    return text


def _short_numbers(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a pixel."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def add_legend(axes: Axes) -> None:
    """The names of what is drawn, in rows above the axes, where they cover nothing."""
    names = axes.get_legend_handles_labels()[1]
    if names:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=len(names) if sum(6 + len(name) for name in names) < 60 else 2,
            borderaxespad=0.0,
            borderpad=0.2,
            handlelength=1.5,
            handletextpad=0.5,
            columnspacing=1.4,
            markerscale=0.8,
        )


def thousands(axes: Axes, axis: str = "x") -> None:
    """Whole numbers with their thousands apart on an axis."""
    formatter = FuncFormatter(lambda value, _: f"{value:,.0f}" if float(value).is_integer() else "")
    (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(formatter)


def percent(axes: Axes, axis: str = "y") -> None:
    """Shares of one as percentages on an axis."""
    formatter = FuncFormatter(lambda value, _: f"{100 * value:.3g}%")
    (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(formatter)
