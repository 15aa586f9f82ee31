"""Figures for Plotly, as plain JSON: the browser draws them, in the colours of its theme.

Colours are names that the theme gives values to: ``@1`` to ``@7`` are told apart by people who see
few of them (Okabe and Ito, Color Universal Design, 2008).
"""

from model_loop.charts.figures.amounts import bars, histogram, share, stacked, strip
from model_loop.charts.figures.courses import heatmap, lines, points
from model_loop.charts.figures.explaining import beeswarm, force, parallel
from model_loop.charts.figures.frame import (
    BLUE,
    COLORS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SCALE,
    SKY,
    YELLOW,
    inert,
)

__all__ = [
    "BLUE",
    "COLORS",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RED",
    "SCALE",
    "SKY",
    "YELLOW",
    "bars",
    "beeswarm",
    "force",
    "heatmap",
    "histogram",
    "inert",
    "lines",
    "parallel",
    "points",
    "share",
    "stacked",
    "strip",
]
