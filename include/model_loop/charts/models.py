"""Charts of a model, by the numbers of its run: how it was found, how far off it is and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty, Figure
from model_loop.charts.explanations import UNTOLD, explanation_charts

_NO_CURVES = Empty(
    "It learns in one step, or was trained by an earlier version: there is no learning curve.",
    "xgboost_training",
)
#: Curves are cut off where they are so many times the best.
_WORST_SHOWN = 2.5


def model_charts(numbers: Mapping[str, Any]) -> list[Chart]:
    """Return the charts of a training run; see `numbers.numbers_of`."""
    return [
        curves_chart(numbers),
        *evaluation_charts(numbers.get("test") or {}),
        *explanation_charts(numbers),
    ]


def curves_chart(numbers: Mapping[str, Any] | None) -> Chart:
    """Draw the validation error of each trial while it was fitted."""
    curves = (numbers or {}).get("curves") or ()
    given_up = sum(bool(curve["stopped"]) for curve in curves)
    rows = [
        (curve["trial"], step, error, curve["stopped"], "best" if curve["best"] else "")
        for curve in curves
        for step, error in zip(curve["steps"], curve["errors"], strict=True)
    ]
    traces: list[dict[str, Any]] = []
    named: set[str] = set()
    for curve in sorted(curves, key=lambda one: one["best"]):
        kind = "best" if curve["best"] else "given up" if curve["stopped"] else "ended"
        color = {"best": figures.ORANGE, "given up": figures.GREY, "ended": figures.BLUE}[kind]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": curve["steps"],
                "y": curve["errors"],
                "name": kind,
                "legendgroup": kind,
                "showlegend": kind not in named,
                "line": {"color": color, "width": 3 if kind == "best" else 1.2},
                # A cross at the end marks a trial that was stopped.
                "marker": {
                    "size": [0] * (len(curve["steps"]) - 1) + [9 if kind == "given up" else 5],
                    "symbol": "x" if kind == "given up" else "circle",
                    "color": color,
                },
                "hovertemplate": f"trial {curve['trial']}, step %{{x}}: %{{y:.3f}}<extra></extra>",
            }
        )
        named.add(kind)
    best = min((row[2] for row in rows), default=0.0)
    worst = min(max((row[2] for row in rows), default=1.0), best * _WORST_SHOWN)
    return Chart(
        "learning_curves",
        "Learning curves",
        "minutes of validation RMSE",
        f"{len(curves)} trials, of which {given_up} were given up: a cross stands where.",
        ChartTable(("trial", "step", "validation error (min)", "given up", "which"), rows),
        _NO_CURVES,
        {
            "data": traces,
            "layout": {
                "showlegend": True,
                "xaxis": {"title": {"text": "steps (rounds, trees or iterations)"}},
                "yaxis": {
                    "title": {"text": "validation error (minutes)"},
                    "range": [best * 0.96, worst * 1.02],
                },
            },
        },
        wide=True,
        height=340,
    )


def evaluation_charts(test: Mapping[str, Any]) -> list[Chart]:
    """Return the charts of the errors on the test months."""
    return [_residuals(test), _cells(test), *_slices(test)]


def _residuals(test: Mapping[str, Any]) -> Chart:
    found = test.get("residuals", {})
    edges, counts = found.get("edges", []), found.get("trips", [])
    return Chart(
        "residuals",
        "Residuals",
        "trips by minutes",
        f"Half of the {test['trips']:,} test trips are predicted to within "
        f"{test['half_within']:.1f} minutes. ±20 minutes and more are counted together."
        if edges
        else "",
        ChartTable(
            ("predicted less actual, from (min)", "trips"), list(zip(edges, counts, strict=True))
        ),
        UNTOLD,
        figures.histogram(edges, counts, title="predicted less actual minutes") if edges else None,
    )


def _cells(test: Mapping[str, Any]) -> Chart:
    found = test.get("cells", {})
    edges = found.get("edges", [])
    rows = [
        (predicted, actual, count)
        for predicted, row in zip(edges, found.get("trips", []), strict=True)
        for actual, count in zip(edges, row, strict=True)
        if count
    ]
    shown = [[count or None for count in row] for row in found.get("trips", [])]
    return Chart(
        "predicted_and_actual",
        "Predicted and actual duration",
        "trips",
        "Test trips by what was predicted and how long they took, in cells of two minutes; on the "
        "line the prediction is right.",
        ChartTable(("predicted from (min)", "actual from (min)", "trips"), rows),
        UNTOLD,
        _on_the_line(figures.heatmap(edges, edges, shown, bar="trips")) if edges else None,
    )


def _on_the_line(figure: Figure) -> Figure:
    layout = {
        **figure["layout"],
        "xaxis": {"title": {"text": "actual minutes"}, "range": [0, 60]},
        "yaxis": {"title": {"text": "predicted minutes"}, "range": [0, 60]},
        "shapes": [
            {
                "type": "line",
                "x0": 0,
                "y0": 0,
                "x1": 60,
                "y1": 60,
                "line": {"color": figures.RED, "width": 1.5},
            }
        ],
    }
    return {**figure, "layout": layout}


def _slices(test: Mapping[str, Any]) -> list[Chart]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in test.get("slices", ()):
        found.setdefault(row["slice"], []).append(row)
    return [_slice(name, rows) for name, rows in found.items()] or [_slice("slice", [])]


def _number(row: Mapping[str, Any]) -> int:
    """Return the number of rows of a slice, also of runs of versions before 0.2."""
    number: int = row["rows"] if "rows" in row else row["trips"]
    return number


def _slice(name: str, found: Sequence[Mapping[str, Any]]) -> Chart:
    rows = [(row["value"], _number(row), row["mae"], row["rmse"], row["bias"]) for row in found]
    worst = max(rows, key=lambda row: row[2] or 0.0, default=None)
    return Chart(
        f"errors_by_{name}",
        f"Error by {name}",
        "minutes",
        f"Mean absolute error on the test months; largest: {worst[0]}, {worst[2]:.1f} minutes."
        if worst
        else "",
        ChartTable((name, "trips", "MAE (min)", "RMSE (min)", "bias (min)"), rows),
        UNTOLD,
        figures.bars(
            [str(row[0]) for row in rows], [row[2] for row in rows], title="MAE (minutes)"
        ),
    )
