"""Figures of how well a model separates classes: curves in a square, confusion, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts.chart import Figure
from model_loop.charts.figures.frame import BLUE, COLORS, GREY, figure

Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Values of x and y by the name of the curve."""

#: Shares are drawn a little beyond 0 and 1, so that no line lies on the frame.
_SHARES = (-0.02, 1.02)
#: Height of the counts below a reliability diagram, and of the gap above them.
_COUNTS, _GAP = 0.2, 0.1
_DASHED = {"color": GREY, "width": 1.5, "dash": "dash"}
#: Axes of a reliability diagram end at 1 from here on, and have no decimals from here on.
_WHOLE, _FINE = 0.7, 0.1


def curves(
    series: Curves,
    references: Curves,
    *,
    x_title: str,
    y_title: str,
    steps: bool = False,
    shares: bool = True,
) -> Figure:
    """Curves of shares, and dotted lines to compare them with.

    Parameters
    ----------
    references
        Lines of what a rule without a model comes to.
    steps
        Whether a curve keeps its height from one point back to the point before.
    shares
        Whether the vertical axis is of shares, too.
    """
    traces = [
        _line(name, x, y, {"color": COLORS[number % len(COLORS)], "width": 2.5}, steps=steps)
        for number, (name, (x, y)) in enumerate(series.items())
    ]
    traces += [
        _line(name, x, y, {"color": GREY, "width": 1.5, "dash": dash})
        for (name, (x, y)), dash in zip(references.items(), ("dash", "dot"), strict=False)
    ]
    share_axis = {"range": list(_SHARES), "tickformat": ".0%"}
    return figure(
        traces,
        legend="above",
        xaxis={"title": {"text": x_title}, **share_axis},
        yaxis={
            "title": {"text": y_title},
            **(share_axis if shares else {"rangemode": "tozero"}),
        },
        hovermode="closest",
    )


def confusion(
    labels: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]] | None,
    *,
    slider: Mapping[str, Any] | None = None,
) -> Figure:
    """Cells by actual class, row by row, and predicted class.

    Parameters
    ----------
    shares
        Share of the rows of an actual class that are predicted so, which colours a cell.
    texts
        Text of each cell; None leaves them empty, where there are too many.
    slider
        Steps of a slider below the figure, each with its own ``z`` and ``text``; see ``plots.js``.
    """
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": list(labels),
        "y": list(labels),
        "z": [list(row) for row in shares],
        "zmin": 0,
        "zmax": 1,
        # Pale enough for the text of every cell.
        "colorscale": [[0, "@low"], [1, "@high"]],
        "xgap": 2,
        "ygap": 2,
        "colorbar": {
            "title": {"text": "share of the actual class", "side": "right"},
            "tickfont": {"size": 11},
            "tickformat": ".0%",
            "thickness": 10,
            "outlinewidth": 0,
        },
        "hovertemplate": "actual %{y}, predicted %{x}: %{z:.1%}<extra></extra>",
    }
    if texts is not None:
        trace |= {"text": [list(row) for row in texts], "texttemplate": "%{text}"}
        trace["textfont"] = {"size": 13, "color": "@text"}
    category = {"type": "category", "showgrid": False}
    drawn = figure(
        [trace],
        xaxis={"title": {"text": "predicted"}, **category},
        yaxis={"title": {"text": "actual"}, "autorange": "reversed", **category},
    )
    return drawn if slider is None else {**drawn, "slider": slider}


def reliability(
    series: Mapping[str, Sequence[tuple[float, float, float, float, int]]],
    *,
    x_title: str,
    y_title: str,
) -> Figure:
    """Shares against probabilities; of a single class, with a band and the rows of each bin.

    Parameters
    ----------
    series
        Of each class and bin the mean probability, the share, the ends of the band where the shares
        of perfect probabilities lie, and the number of rows.
    """
    bins = [each for points in series.values() for each in points]
    # A rare class would have all of its bins in a corner.
    highest = max((max(each[:4]) for each in bins), default=1.0)
    end = 1.0 if highest > _WHOLE else 1.1 * highest
    ticks = {
        "range": [bound * end for bound in _SHARES],
        "tickformat": ".0%" if end > _FINE else ".1%",
    }
    single = len(series) == 1
    traces = [_line("as predicted", (0, end), (0, end), _DASHED)]
    if single:
        x = [each[0] for each in bins]
        band = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        traces += [
            {**band, "x": x, "y": [each[2] for each in bins], "showlegend": False},
            {
                **band,
                "x": x,
                "y": [each[3] for each in bins],
                "name": "by chance (95 %)",
                "fill": "tonexty",
                "fillcolor": "@soft",
            },
            {
                "type": "bar",
                "name": "rows",
                "x": x,
                "y": [each[4] for each in bins],
                "width": 0.012 * end,
                "yaxis": "y2",
                "marker": {"color": BLUE},
                "showlegend": False,
                "hovertemplate": "%{y:,} rows<extra></extra>",
            },
        ]
    traces += [
        {
            **_line(
                "observed" if single else name,
                [each[0] for each in points],
                [each[1] for each in points],
                {"color": COLORS[number % len(COLORS)], "width": 2},
            ),
            "mode": "lines+markers",
            "marker": {"size": 7, "color": COLORS[number % len(COLORS)]},
        }
        for number, (name, points) in enumerate(series.items())
    ]
    axes: dict[str, Any] = {
        "xaxis": {"title": {"text": x_title}, **ticks},
        "yaxis": {"title": {"text": y_title}, **ticks},
    }
    if single:
        axes["xaxis"]["anchor"] = "y2"
        axes["yaxis"]["domain"] = [_COUNTS + _GAP, 1]
        axes["yaxis2"] = {
            "title": {"text": "rows"},
            "domain": [0, _COUNTS],
            "rangemode": "tozero",
            "nticks": 3,
        }
    return figure(traces, legend="above", hovermode="closest", **axes)


def _line(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    line: Mapping[str, Any],
    *,
    steps: bool = False,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {**line, "shape": "vh"} if steps else dict(line),
    }
