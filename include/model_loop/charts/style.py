"""Style of figures: one place for colours, sizes and numbers.

The colours are told apart by people who see few of them (Okabe and Ito, Color Universal Design,
2008; viridis for scales).
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREY = "#6B7280"
SCALE = "viridis"

#: Inches.
WIDTH, HEIGHT = 8.0, 4.2
RESOLUTION = 120

#: Numbers with separators between thousands, none after the point where there is nothing.
NUMBERS = FuncFormatter(lambda value, _: f"{value:,.10g}")


def figure(title: str, *, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure with a title on its left."""
    drawn = Figure(figsize=(WIDTH, height), dpi=RESOLUTION, layout="constrained")
    axes = drawn.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=8)
    return drawn, axes


def label(axes: Axes, horizontal: str, vertical: str) -> None:
    """Name the axes."""
    axes.set_xlabel(horizontal, fontsize=9, color=GREY)
    axes.set_ylabel(vertical, fontsize=9, color=GREY)


def bars(axes: Axes, positions: Sequence[float], counts: Sequence[int], width: float) -> None:
    """Upright bars between thin lines."""
    axes.bar(positions, counts, width=width * 0.9, align="edge", color=BLUE)
    axes.yaxis.set_major_formatter(NUMBERS)
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def say_empty(axes: Axes) -> None:
    """Say that there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no trips", ha="center", va="center", transform=axes.transAxes, color=GREY)
