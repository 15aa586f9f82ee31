"""Figures of a model's structure and of its explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts.chart import Figure
from model_loop.charts.figures.frame import (
    BLUE,
    GREY,
    ORANGE,
    SCALE,
    figure,
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
        Labels at some places of each axis.
    colors
        Values that colour the lines; the least is the best.
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
    return figure(
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
    added: Sequence[Sequence[float]],
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
) -> Figure:
    """SHAP values, a dot for each row and column, coloured by the value of the column.

    Parameters
    ----------
    added, values
        Of shape (rows, columns).
    title
        Title of the axis.
    """
    xs, ys, colors = [], [], []
    for place in range(len(names)):
        column = [row[place] for row in added]
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
    return figure(
        [trace],
        xaxis={"title": {"text": title}},
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "range": [len(names) - 0.4, -0.6],
            "automargin": True,
            "zeroline": False,
        },
        hovermode="closest",
    )


def force(base: float, parts: Sequence[tuple[str, float]], *, average: str, title: str) -> Figure:
    """Draw a prediction as the average, and the amount that each column adds or takes."""
    names = [average, *(name for name, _ in parts), "prediction"]
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
    return figure(
        [trace],
        xaxis={"title": {"text": title}},
        yaxis={"autorange": "reversed", "automargin": True, "type": "category"},
        margin={"l": 8, "r": 48, "t": 12, "b": 44},
    )


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
