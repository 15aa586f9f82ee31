"""Figures of amounts: bars, shares, distributions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts.chart import Figure
from model_loop.charts.figures.frame import (
    BLUE,
    COLORS,
    figure,
)

#: Fewer bars than this are not as wide as there is room.
_FEW = 5
#: Names below the bars, at most.
_TICKS = 12


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
        Labels beside the bars.
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
        return figure([trace], xaxis=value_axis, yaxis={**name_axis, "autorange": "reversed"})
    return figure([trace], xaxis=name_axis, yaxis=value_axis)


def stacked(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    *,
    title: str,
    colors: Sequence[str] = COLORS,
    spaced: bool = True,
    horizontal: bool = False,
) -> Figure:
    """Bars that are made of parts; what each part is stands above them.

    Parameters
    ----------
    title
        Of the axis of the values.
    spaced
        Whether names that are dates stand as far apart as they are; side by side otherwise.
    horizontal
        Whether the bars lie, the first on top: there is room for long names beside them.
    """
    traces = [
        {
            "type": "bar",
            "name": part,
            "orientation": "h" if horizontal else "v",
            "x": list(values if horizontal else names),
            "y": list(names if horizontal else values),
            "marker": {"color": color},
            **({"width": 0.45} if len(names) < _FEW else {}),
        }
        for (part, values), color in zip(parts.items(), itertools.cycle(colors), strict=False)
    ]
    values_axis: dict[str, Any] = {"title": {"text": title}, "rangemode": "tozero"}
    if max((sum(counts) for counts in zip(*parts.values(), strict=True)), default=0) <= _FEW:
        # Counts have no fractions.
        values_axis["dtick"] = 1
    # Few bars on an axis of dates would stand between ticks of parts of a day.
    spaced = spaced and len(set(names)) >= _FEW
    names_axis: dict[str, Any] = {} if spaced and not horizontal else {"type": "category"}
    names_axis["automargin"] = True
    # Some of many names that stand side by side suffice to infer the others.
    axes = {"xaxis": {**names_axis, "nticks": _TICKS}, "yaxis": values_axis}
    if horizontal:
        axes = {"xaxis": values_axis, "yaxis": {**names_axis, "autorange": "reversed"}}
    # Below the bars, it would meet names that are long or many.
    return figure(traces, barmode="stack", legend="above", **axes)


def grouped(
    names: Sequence[str], parts: Mapping[str, Sequence[float]], *, title: str, form: str = ""
) -> Figure:
    """Bars side by side for each name; what each is stands above them.

    Parameters
    ----------
    title
        Of the axis of the values.
    form
        How values are written (d3-format).
    """
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": list(names),
            "y": list(values),
            "marker": {"color": color},
        }
        for (name, values), color in zip(parts.items(), COLORS, strict=False)
    ]
    return figure(
        traces,
        barmode="group",
        legend="above",
        xaxis={"type": "category", "automargin": True, "nticks": _TICKS},
        yaxis={"title": {"text": title}, "tickformat": form, "rangemode": "tozero"},
    )


def share(names: Sequence[str], values: Sequence[float]) -> Figure:
    """Shares of a whole, as a ring; beyond the colours that there are, the rest is one part."""
    if len(names) > len(COLORS):
        kept = len(COLORS) - 1
        names = [*names[:kept], f"{len(names) - kept} others"]
        values = [*values[:kept], sum(values[kept:])]
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
    return figure([trace], legend=True, margin={"l": 30, "r": 30, "t": 24, "b": 24})


def histogram(edges: Sequence[float], counts: Sequence[int], *, title: str, values: str) -> Figure:
    """Draw the counts between edges."""
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
    return figure(
        [trace],
        xaxis={"title": {"text": title}},
        yaxis={"title": {"text": values}, "rangemode": "tozero"},
    )


def strip(groups: Mapping[str, Sequence[float]], *, title: str) -> Figure:
    """All values of each group as points, and what is usual as a box."""
    traces = [
        {
            "type": "box",
            "name": name,
            "x": list(values),
            "orientation": "h",
            "boxpoints": "all" if len(values) <= 200 else "outliers",  # noqa: PLR2004 - distinct points
            "jitter": 0.5,
            "pointpos": 0,
            "marker": {"color": BLUE, "size": 4, "opacity": 0.6},
            "line": {"width": 1.5},
            "fillcolor": "@soft",
        }
        for name, values in groups.items()
    ]
    return figure(
        traces,
        xaxis={"title": {"text": title}},
        yaxis={"automargin": True, "autorange": "reversed"},
    )
