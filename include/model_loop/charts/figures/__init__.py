"""Figures for Plotly, as plain JSON: the browser draws them, in the colours of its theme.

Colours are names that the theme gives values to: people who see few colours can distinguish ``@1``
to ``@7`` (Okabe and Ito, Color Universal Design, 2008).
"""

from model_loop.charts.figures.amounts import bars, grouped, histogram, share, stacked, strip
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
from model_loop.charts.figures.judging import confusion, curves, reliability

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
    "confusion",
    "curves",
    "force",
    "grouped",
    "heatmap",
    "histogram",
    "inert",
    "lines",
    "parallel",
    "points",
    "reliability",
    "share",
    "stacked",
    "strip",
]
