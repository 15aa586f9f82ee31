"""Maps of New York."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from model_loop.charts.chart import Figure
from model_loop.charts.figures.frame import figure

Ring = Sequence[tuple[float, float]]
"""Longitudes and latitudes (degrees) of an outline."""

#: Share of the values that have a colour of their own; those above share the last one.
_MOST_COLORED = 0.97


@dataclass(frozen=True)
class Spot:
    """A place on a map.

    Parameters
    ----------
    name
        Title.
    latitude, longitude
        Of its middle, in degrees.
    size
        How many trips; the area of its circle.
    value
        Values by which it is coloured.
    area
        Its outlines; they are filled in place of the circle.
    """

    name: str
    latitude: float
    longitude: float
    size: float = 1
    value: float = 0
    area: Sequence[Ring] = ()


def city(spots: Sequence[Spot], *, bar: str, outlines: Sequence[Ring] = ()) -> Figure:
    """A map: areas that are coloured by a value, and circles where a spot has no area.

    The circles are the last trace.

    Parameters
    ----------
    bar
        Name of the value.
    outlines
        Layer that is drawn below.
    """
    ordered = sorted(spot.value for spot in spots)
    low = ordered[0] if ordered else 0
    top = ordered[math.ceil(_MOST_COLORED * (len(ordered) - 1))] if ordered else 1
    traces = [_lines(outlines)] if outlines else []
    for spot in spots:
        if spot.area:
            # There is no scale if all values are the same.
            share = min((spot.value - low) / (top - low), 1.0) if top > low else 0.0
            traces.append(_area(spot, share, bar))
    traces.append(_circles(spots, (low, top), bar))
    return figure(traces, **map_axes())


def _lines(outlines: Iterable[Ring]) -> dict[str, Any]:
    x, y = _joined(outlines)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": "@edge", "width": 0.7},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _area(spot: Spot, share: float, bar: str) -> dict[str, Any]:
    x, y = _joined(spot.area)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": f"@scaled{share:.3f}",
        "line": {"color": "@edge", "width": 0.7},
        "hoveron": "fills",
        "hoverinfo": "text",
        "text": f"{spot.name}<br>{spot.size:,} trips<br>{bar}: {spot.value:,.6g}",
        "showlegend": False,
    }


def _circles(spots: Sequence[Spot], bounds: tuple[float, float], bar: str) -> dict[str, Any]:
    """Circles of the spots that have no area; and the legend of the colours of all."""
    most = max((spot.size for spot in spots), default=1) or 1
    # One that nobody sees, where there is none: the legend of the colours hangs on it.
    left = [spot for spot in spots if not spot.area]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [spot.longitude for spot in left] or [None],
        "y": [spot.latitude for spot in left] or [None],
        "text": [spot.name for spot in left],
        "customdata": [[spot.size, spot.value] for spot in left],
        "hovertemplate": "%{text}<br>%{customdata[0]:,} trips<br>"
        f"{bar}: %{{customdata[1]:,.3~f}}<extra></extra>",
        "marker": {
            "size": [round(4 + 26 * math.sqrt(spot.size / most), 1) for spot in left],
            "color": [spot.value for spot in left] or [bounds[0]],
            "cmin": bounds[0],
            "cmax": bounds[1],
            "colorscale": "@scale",
            "showscale": True,
            "opacity": 0.85,
            "line": {"width": 0.7, "color": "@ground"},
            "colorbar": {
                "title": {"text": bar, "side": "right"},
                "thickness": 10,
                "outlinewidth": 0,
            },
        },
    }


def _joined(rings: Iterable[Ring]) -> tuple[list[float | None], list[float | None]]:
    """Rings as one line with gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    for ring in rings:
        x += [*(longitude for longitude, _ in ring), None]
        y += [*(latitude for _, latitude in ring), None]
    return x, y


def map_axes() -> dict[str, Any]:
    """Axes of a map of New York."""
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
    # A degree of longitude is shorter than one of latitude here.
    scale = {"scaleanchor": "x", "scaleratio": 1 / math.cos(math.radians(40.7))}
    return {
        "xaxis": {**hidden, "range": [-74.27, -73.68]},
        "yaxis": {**hidden, **scale, "range": [40.5, 40.93]},
        "hovermode": "closest",
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
    }
