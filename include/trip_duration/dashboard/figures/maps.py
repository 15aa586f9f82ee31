"""Maps of New York."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trip_duration.dashboard.figures.frame import (
    SCALE,
    figure,
)
from trip_duration.dashboard.page import Figure


def city(
    places: Sequence[tuple[str, float, float]],
    sizes: Sequence[float],
    values: Sequence[float],
    *,
    bar: str,
    outlines: Sequence[Sequence[tuple[float, float]]] = (),
) -> Figure:
    """A map: circles at places, whose area is a size and whose colour is a value.

    Parameters
    ----------
    places
        Name, latitude and longitude (degrees) of each.
    outlines
        Rings of longitudes and latitudes that are drawn below.
    """
    traces: list[dict[str, Any]] = []
    if outlines:
        x: list[float | None] = []
        y: list[float | None] = []
        for ring in outlines:
            x += [*(longitude for longitude, _ in ring), None]
            y += [*(latitude for _, latitude in ring), None]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": y,
                "line": {"color": "@edge", "width": 0.7},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    most = max(sizes, default=1) or 1
    ordered = sorted(values)
    top = ordered[int(0.97 * (len(ordered) - 1))] if ordered else 1
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [longitude for _, _, longitude in places],
            "y": [latitude for _, latitude, _ in places],
            "text": [name for name, _, _ in places],
            "customdata": [[size, value] for size, value in zip(sizes, values, strict=True)],
            "hovertemplate": "%{text}<br>%{customdata[0]:,} trips<br>"
            f"{bar}: %{{customdata[1]:,.3~f}}<extra></extra>",
            "marker": {
                "size": [round(4 + 26 * math.sqrt(size / most), 1) for size in sizes],
                "color": list(values),
                "cmin": ordered[0] if ordered else 0,
                "cmax": top,
                "colorscale": SCALE,
                "reversescale": "@light",
                "opacity": 0.85,
                "line": {"width": 0.7, "color": "@ground"},
                "colorbar": {
                    "title": {"text": bar, "side": "right"},
                    "thickness": 10,
                    "outlinewidth": 0,
                },
            },
        }
    )
    return figure(traces, **map_axes())


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
