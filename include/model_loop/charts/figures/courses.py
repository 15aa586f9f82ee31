"""Figures of one variable against another: lines, points, tables of colours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_loop.charts.chart import Figure
from model_loop.charts.figures.frame import (
    COLORS,
    GREY,
    RED,
    SCALE,
    Series,
    figure,
)

_DASHES = ("solid", "dash", "dot")
#: Distinct shapes of Plotly's markers.
_SYMBOLS = 9


def lines(
    series: Series,
    *,
    title: str,
    x_title: str = "",
    mode: str = "lines+markers",
    limits: Mapping[str, float] | None = None,
    dates: bool = False,
    form: str = "",
    zero: bool = False,
) -> Figure:
    """Draw lines through points.

    Parameters
    ----------
    limits
        Lines across, by what they are called.
    dates
        Whether the points lie at times.
    """
    traces = [
        {
            "type": "scatter",
            "mode": mode,
            "name": name,
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "line": {
                "color": COLORS[number % len(COLORS)],
                "width": 2,
                # Lines differ by their strokes when the colours begin again.
                "dash": _DASHES[number // len(COLORS) % len(_DASHES)],
            },
            "marker": {
                "size": 6,
                "symbol": number % _SYMBOLS,
                "opacity": 0.85,
                "color": COLORS[number % len(COLORS)],
            },
        }
        for number, (name, points) in enumerate(series.items())
    ]
    axis: dict[str, Any] = {"title": {"text": x_title}}
    if dates:
        axis["type"] = "date"
        axis |= _around(str(x) for points in series.values() for x, _ in points)
    y: dict[str, Any] = {"title": {"text": title}, "tickformat": form}
    if zero:
        y["rangemode"] = "tozero"
    return figure(
        traces,
        xaxis=axis,
        yaxis=y,
        legend=len(series) > 1,
        **(_limits(limits) if limits else {}),
    )


def points(
    groups: Mapping[str, Sequence[tuple[Any, float, float, float]]],
    *,
    title: str,
    colors: Sequence[str] = COLORS,
) -> Figure:
    """Values with intervals: name, value, low and high of each, by group."""
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": group,
            "x": [value for _, value, _, _ in found],
            "y": [name for name, _, _, _ in found],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [high - value for _, value, _, high in found],
                "arrayminus": [value - low for _, value, low, _ in found],
                "color": colors[number % len(colors)],
            },
            "marker": {"size": 9, "color": colors[number % len(colors)]},
        }
        for number, (group, found) in enumerate(groups.items())
    ]
    return figure(
        traces,
        xaxis={"title": {"text": title}},
        yaxis={"type": "category", "automargin": True, "autorange": "reversed"},
        legend=len(groups) > 1,
    )


def heatmap(
    x: Sequence[Any],
    y: Sequence[Any],
    cells: Sequence[Sequence[float | None]],
    *,
    bar: str,
    **axes: Any,  # noqa: ANN401 - of Plotly
) -> Figure:
    """Cells that are coloured by their value."""
    trace = {
        "type": "heatmap",
        "x": list(x),
        "y": list(y),
        "z": [list(row) for row in cells],
        "colorscale": SCALE,
        "reversescale": "@light",
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": bar, "side": "right"}, "thickness": 10, "outlinewidth": 0},
    }
    return figure([trace], **axes)


def _around(times: Iterable[str]) -> dict[str, Any]:
    """A day before and after, where all points lie at one moment."""
    known = set(times)
    if len(known) != 1:
        return {}
    at = dt.datetime.fromisoformat(known.pop())
    return {"range": [str(at - dt.timedelta(days=1)), str(at + dt.timedelta(days=1))]}


def _limits(limits: Mapping[str, float]) -> dict[str, Any]:
    return {
        "margin": {"r": 68},
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": value,
                "y1": value,
                "line": {
                    "color": RED if name == "act" else GREY,
                    "dash": "dash" if name == "act" else "dot",
                    "width": 1.5,
                },
            }
            for name, value in limits.items()
        ],
        "annotations": [
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "left",
                "xshift": 4,
                "y": value,
                "yanchor": "middle",
                "text": f"{name} {value:g}",
                "showarrow": False,
                "font": {"size": 11},
            }
            for name, value in limits.items()
        ],
    }
