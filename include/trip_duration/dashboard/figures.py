"""Figures for Plotly, as plain JSON: the browser draws them, in the colours of its theme.

Colours are names that the theme gives values to: ``@1`` to ``@7`` are told apart by people who see
few of them (Okabe and Ito, Color Universal Design, 2008).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trip_duration.dashboard.page import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (f"@{number}" for number in range(1, 8))
GREY = "@grey"
#: Light to dark on light ground; see https://doi.org/10.1371/journal.pone.0199239 (cividis).
SCALE = "Cividis"
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW)

#: Fewer bars than this are not as wide as there is room.
_FEW = 5

Series = Mapping[str, Sequence[tuple[Any, Any]]]
"""Points by the name of their line."""


def bars(
    names: Sequence[Any],
    values: Sequence[float | None],
    *,
    title: str,
    horizontal: bool = False,
    color: str = BLUE,
    labels: Sequence[str] | None = None,
    form: str = "",
) -> Figure:
    """Bars, one for each name, the first on top where they lie.

    Parameters
    ----------
    title
        Of the axis of the values.
    labels
        What is written beside the bars.
    form
        How values are written (d3-format).
    """
    flat: dict[str, Any] = {"type": "bar", "orientation": "h"} if horizontal else {"type": "bar"}
    if len(names) < _FEW:
        flat["width"] = 0.45
    x, y = (values, names) if horizontal else (names, values)
    trace = {**flat, "x": list(x), "y": list(y), "marker": {"color": color}}
    if labels is not None:
        trace |= {"text": list(labels), "textposition": "auto", "cliponaxis": False}
    value_axis = {"title": {"text": title}, "tickformat": form, "rangemode": "tozero"}
    name_axis: dict[str, Any] = {"type": "category", "automargin": True}
    if horizontal:
        return _figure([trace], xaxis=value_axis, yaxis={**name_axis, "autorange": "reversed"})
    return _figure([trace], xaxis=name_axis, yaxis=value_axis)


def stacked(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    *,
    title: str,
    colors: Sequence[str] = COLORS,
) -> Figure:
    """Bars that are made of parts."""
    traces = [
        {
            "type": "bar",
            "name": part,
            "x": list(names),
            "y": list(values),
            "marker": {"color": c},
            **({"width": 0.45} if len(names) < _FEW else {}),
        }
        for (part, values), c in zip(parts.items(), colors, strict=False)
    ]
    axis: dict[str, Any] = {"title": {"text": title}, "rangemode": "tozero"}
    if max((sum(counts) for counts in zip(*parts.values(), strict=True)), default=0) <= _FEW:
        # Counts have no fractions.
        axis["dtick"] = 1
    return _figure(traces, barmode="stack", yaxis=axis, legend=True)


def histogram(
    edges: Sequence[float], counts: Sequence[int], *, title: str, values: str = "trips"
) -> Figure:
    """Counts between edges."""
    width = edges[1] - edges[0] if len(edges) > 1 else 1
    trace = {
        "type": "bar",
        "x": [edge + width / 2 for edge in edges],
        "y": list(counts),
        "width": width * 0.94,
        "marker": {"color": BLUE},
        "customdata": [f"{edge:g} to {edge + width:g}" for edge in edges],
        "hovertemplate": "%{customdata}: %{y:,}<extra></extra>",
    }
    return _figure(
        [trace],
        xaxis={"title": {"text": title}},
        yaxis={"title": {"text": values}, "rangemode": "tozero"},
    )


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
    """Lines of points.

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
            "line": {"color": COLORS[number % len(COLORS)], "width": 2},
            "marker": {
                "size": 6,
                "symbol": number % 7,
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
    return _figure(
        traces,
        xaxis=axis,
        yaxis=y,
        legend=len(series) > 1,
        **(_limits(limits) if limits else {}),
    )


def share(names: Sequence[str], values: Sequence[float]) -> Figure:
    """Shares of a whole, as a ring."""
    trace = {
        "type": "pie",
        "labels": list(names),
        "values": list(values),
        "hole": 0.58,
        "sort": False,
        "direction": "clockwise",
        "textinfo": "percent",
        "textposition": "outside",
        "marker": {"colors": [COLORS[place % len(COLORS)] for place in range(len(names))]},
    }
    return _figure([trace], legend=True, margin={"l": 30, "r": 30, "t": 24, "b": 24})


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
    return _figure([trace], **axes)


def strip(groups: Mapping[str, Sequence[float]], *, title: str) -> Figure:
    """All values of each group as points, and what is usual as a box."""
    traces = [
        {
            "type": "box",
            "name": name,
            "x": list(values),
            "orientation": "h",
            "boxpoints": "all" if len(values) <= 200 else "outliers",  # noqa: PLR2004 - points that can be told apart
            "jitter": 0.5,
            "pointpos": 0,
            "marker": {"color": BLUE, "size": 4, "opacity": 0.6},
            "line": {"width": 1.5},
            "fillcolor": "@soft",
        }
        for name, values in groups.items()
    ]
    return _figure(
        traces,
        xaxis={"title": {"text": title}},
        yaxis={"automargin": True, "autorange": "reversed"},
    )


def parallel(
    axes: Mapping[str, Sequence[float | None]],
    ticks: Mapping[str, Sequence[tuple[float, str]]],
    colors: Sequence[float],
    names: Sequence[str],
    *,
    bar: str,
) -> Figure:
    """Parallel coordinates: a line for each of *names*, through its place on each axis.

    Lines of SVG, not of WebGL: they need no ``eval``, and are drawn everywhere.

    Parameters
    ----------
    axes
        Places between 0 and 1, by the name of the axis; None where there is none.
    ticks
        What stands at some places of each axis.
    colors
        What the lines are coloured by; the least is the best.
    """
    titles = list(axes)
    low, high = min(colors, default=0.0), max(colors, default=1.0)
    traces: list[dict[str, Any]] = []
    order = sorted(range(len(names)), key=lambda place: -colors[place])
    for place in order:
        depth = (colors[place] - low) / (high - low) if high > low else 0.0
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": list(range(len(titles))),
                "y": [axes[title][place] for title in titles],
                "line": {"width": 3 if depth == 0 else 1.5, "color": f"@scale{depth:.3f}"},
                "opacity": 1.0 if depth == 0 else 0.75,
                "name": names[place],
                "hovertemplate": f"{names[place]}<br>{bar} {colors[place]:.3f}<extra></extra>",
                "showlegend": False,
            }
        )
    notes = [
        {
            "x": number,
            "y": at,
            "text": text,
            "showarrow": False,
            "xanchor": "left" if number < len(titles) - 1 else "right",
            "xshift": 5 if number < len(titles) - 1 else -5,
            "font": {"size": 11},
            "bgcolor": "@ground",
        }
        for number, title in enumerate(titles)
        for at, text in ticks[title]
    ]
    posts = [
        {
            "type": "line",
            "x0": number,
            "x1": number,
            "y0": 0,
            "y1": 1,
            "line": {"color": GREY, "width": 1},
        }
        for number in range(len(titles))
    ]
    return _figure(
        traces,
        xaxis={
            "tickvals": list(range(len(titles))),
            "ticktext": titles,
            "side": "top",
            "showgrid": False,
            "zeroline": False,
            "range": [-0.1, len(titles) - 0.9],
        },
        yaxis={"visible": False, "range": [-0.05, 1.05]},
        annotations=notes,
        shapes=posts,
        hovermode="closest",
        margin={"l": 24, "r": 24, "t": 44, "b": 16},
    )


def beeswarm(
    names: Sequence[str],
    minutes: Sequence[Sequence[float]],
    values: Sequence[Sequence[float | None]],
) -> Figure:
    """SHAP values, a dot for each trip and column, coloured by the value of the column.

    Parameters
    ----------
    minutes, values
        Of shape (trips, columns).
    """
    xs, ys, colors = [], [], []
    for place in range(len(names)):
        column = [row[place] for row in minutes]
        ranks = _ranks([row[place] for row in values])
        for at, offset, rank in zip(column, _spread(column), ranks, strict=True):
            xs.append(at)
            ys.append(round(place + offset, 3))
            colors.append(rank)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": xs,
        "y": ys,
        "marker": {
            "size": 5,
            "opacity": 0.8,
            "color": colors,
            "cmin": 0,
            "cmax": 1,
            "colorscale": SCALE,
            "colorbar": {
                "title": {"text": "value of the column", "side": "right"},
                "tickvals": [0, 1],
                "ticktext": ["low", "high"],
                "thickness": 8,
                "outlinewidth": 0,
            },
        },
        "hoverinfo": "x",
    }
    return _figure(
        [trace],
        xaxis={"title": {"text": "minutes that it adds"}},
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "range": [len(names) - 0.4, -0.6],
            "automargin": True,
            "zeroline": False,
        },
        hovermode="closest",
    )


def force(base: float, parts: Sequence[tuple[str, float]]) -> Figure:
    """How a prediction comes about: from the average, what each column adds or takes."""
    names = ["average trip", *(name for name, _ in parts), "prediction"]
    total = base + sum(value for _, value in parts)
    trace = {
        "type": "waterfall",
        "orientation": "h",
        "y": names,
        "x": [base, *(value for _, value in parts), total],
        "measure": ["absolute", *("relative" for _ in parts), "total"],
        "text": [f"{base:.1f}", *(f"{value:+.1f}" for _, value in parts), f"{total:.1f}"],
        "textposition": "outside",
        "cliponaxis": False,
        "increasing": {"marker": {"color": ORANGE}},
        "decreasing": {"marker": {"color": BLUE}},
        "totals": {"marker": {"color": GREY}},
        "connector": {"line": {"color": GREY, "width": 1, "dash": "dot"}},
    }
    return _figure(
        [trace],
        xaxis={"title": {"text": "minutes"}},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
        margin={"l": 8, "r": 48, "t": 12, "b": 44},
    )


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
    return _figure(traces, **map_axes())


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


def points(
    groups: Mapping[str, Sequence[tuple[Any, float, float, float]]], *, title: str
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
                "color": COLORS[number % len(COLORS)],
            },
            "marker": {"size": 9, "color": COLORS[number % len(COLORS)]},
        }
        for number, (group, found) in enumerate(groups.items())
    ]
    return _figure(
        traces,
        xaxis={"title": {"text": title}},
        yaxis={"type": "category", "automargin": True, "autorange": "reversed"},
        legend=len(groups) > 1,
    )


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


def _spread(values: Sequence[float]) -> list[float]:
    """Offsets that keep dots of about the same value apart."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    width = (high - low) / 60 or 1.0
    taken: dict[int, int] = {}
    offsets = []
    for value in values:
        cell = int((value - low) / width)
        count = taken.get(cell, 0)
        taken[cell] = count + 1
        side = 1 if count % 2 else -1
        offsets.append(max(-0.4, min(0.4, side * ((count + 1) // 2) * 0.045)))
    return offsets


def _ranks(values: Sequence[float | None]) -> list[float]:
    """The place of each value among the others, from 0 to 1; in the middle where it is unknown."""
    known = sorted({value for value in values if value is not None})
    if len(known) < 2:  # noqa: PLR2004 - a lowest and a highest
        return [0.5] * len(values)
    places = {value: place / (len(known) - 1) for place, value in enumerate(known)}
    return [0.5 if value is None else round(places[value], 3) for value in values]


def _figure(
    data: Sequence[Mapping[str, Any]],
    *,
    legend: bool = False,
    **layout: Any,  # noqa: ANN401 - of Plotly
) -> Figure:
    return {"data": list(data), "layout": {**layout, "showlegend": legend}}
