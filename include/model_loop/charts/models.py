"""Charts of a model, by the numbers of its run: how it was found, how far off it is and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty, Figure
from model_loop.charts.classes import class_charts
from model_loop.charts.explanations import UNTOLD, explanation_charts
from model_loop.charts.groups import group_charts
from model_loop.charts.wording import Wording

_NO_CURVES = Empty(
    "It learns in one step, or was trained by an earlier version: there is no learning curve.",
    "xgboost_training",
)
#: Curves are cut off where they are so many times the best.
_WORST_SHOWN = 2.5


def model_charts(numbers: Mapping[str, Any], words: Wording) -> list[Chart]:
    """Return the charts of a training run; see `numbers.numbers_of`."""
    return [
        curves_chart(numbers, words),
        *evaluation_charts(numbers.get("test") or {}, words),
        *explanation_charts(numbers, words),
    ]


def curves_chart(numbers: Mapping[str, Any] | None, words: Wording) -> Chart:
    """Draw the validation error of each trial while it was fitted."""
    curves = (numbers or {}).get("curves") or ()
    pruned = sum(bool(curve["stopped"]) for curve in curves)
    rows = [
        (curve["trial"], step, error, curve["stopped"], "best" if curve["best"] else "")
        for curve in curves
        for step, error in zip(curve["steps"], curve["errors"], strict=True)
    ]
    traces: list[dict[str, Any]] = []
    named: set[str] = set()
    for curve in sorted(curves, key=lambda one: one["best"]):
        kind = "best" if curve["best"] else "pruned" if curve["stopped"] else "ended"
        color = {"best": figures.ORANGE, "pruned": figures.GREY, "ended": figures.BLUE}[kind]
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
                    "size": [0] * (len(curve["steps"]) - 1) + [9 if kind == "pruned" else 5],
                    "symbol": "x" if kind == "pruned" else "circle",
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
        words.axis(f"validation {words.error}"),
        f"{len(curves)} trials, of which {pruned} were pruned: a cross stands where.",
        ChartTable(("trial", "step", words.axis("validation error"), "pruned", "which"), rows),
        _NO_CURVES,
        {
            "data": traces,
            "layout": {
                "showlegend": True,
                "xaxis": {"title": {"text": "steps (rounds, trees or iterations)"}},
                "yaxis": {
                    "title": {"text": words.axis("validation error")},
                    "range": [best * 0.96, worst * 1.02],
                },
            },
        },
        wide=True,
        height=340,
    )


def evaluation_charts(test: Mapping[str, Any], words: Wording) -> list[Chart]:
    """Return the charts of the errors on the test rows."""
    if words.is_classified:
        return [
            *class_charts(test, words),
            *group_charts(test.get("groups", ()), words),
        ]
    known = words.renewed(test)
    return [_residuals(known, words), _cells(known, words), *_slices(known, words)]


def _residuals(test: Mapping[str, Any], words: Wording) -> Chart:
    found = test.get("residuals", {})
    edges, counts = found.get("edges", []), found.get("rows", [])
    less = f"predicted less actual {words.target}"
    return Chart(
        "residuals",
        "Residuals",
        words.rows,
        f"Half of the {test['rows']:,} test {words.rows} are predicted to within "
        f"{words.amount(test['half_within'])}. ±{words.amount(-edges[0], 0)} and more are counted "
        "together."
        if edges
        else "",
        ChartTable(
            (words.axis(f"{less}, from"), words.rows), list(zip(edges, counts, strict=True))
        ),
        UNTOLD,
        figures.histogram(edges, counts, title=words.axis(less), values=words.rows)
        if edges
        else None,
    )


def _cells(test: Mapping[str, Any], words: Wording) -> Chart:
    found = test.get("cells", {})
    edges = found.get("edges", [])
    counts = found.get("rows", [])
    width = edges[1] - edges[0] if len(edges) > 1 else 0.0
    rows = [
        (predicted, actual, count)
        for predicted, row in zip(edges, counts, strict=True)
        for actual, count in zip(edges, row, strict=True)
        if count
    ]
    shown = [[count or None for count in row] for row in counts]
    size = f"{width:g} {words.unit}".rstrip()
    return Chart(
        "predicted_and_actual",
        f"Predicted and actual {words.target}",
        words.rows,
        f"Test {words.rows} by predicted and actual {words.target}, in cells of {size}; on the "
        "line the prediction is right.",
        ChartTable((words.axis("predicted from"), words.axis("actual from"), words.rows), rows),
        UNTOLD,
        _on_the_line(figures.heatmap(edges, edges, shown, bar=words.rows), edges, words)
        if edges
        else None,
    )


def _on_the_line(figure: Figure, edges: Sequence[float], words: Wording) -> Figure:
    first, last = edges[0], edges[-1] + (edges[1] - edges[0] if len(edges) > 1 else 0.0)
    layout = {
        **figure["layout"],
        "xaxis": {"title": {"text": words.axis(f"actual {words.target}")}, "range": [first, last]},
        "yaxis": {
            "title": {"text": words.axis(f"predicted {words.target}")},
            "range": [first, last],
        },
        "shapes": [
            {
                "type": "line",
                "x0": first,
                "y0": first,
                "x1": last,
                "y1": last,
                "line": {"color": figures.RED, "width": 1.5},
            }
        ],
    }
    return {**figure, "layout": layout}


def _slices(test: Mapping[str, Any], words: Wording) -> list[Chart]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in test.get("slices", ()):
        found.setdefault(row["slice"], []).append(row)
    charts = [_slice(name, rows, words) for name, rows in found.items()]
    return charts or [_slice("slice", [], words)]


def _slice(name: str, found: Sequence[Mapping[str, Any]], words: Wording) -> Chart:
    rows = [(row["value"], row["rows"], row["mae"], row["rmse"], row["bias"]) for row in found]
    worst = max(rows, key=lambda row: row[2] or 0.0, default=None)
    errors = (words.axis("MAE"), words.axis("RMSE"), words.axis("bias"))
    return Chart(
        f"errors_by_{name}",
        f"Error by {name}",
        words.unit,
        f"Mean absolute error on the test {words.rows}; largest: {worst[0]}, "
        f"{words.amount(worst[2])}."
        if worst
        else "",
        ChartTable((name, words.rows, *errors), rows),
        UNTOLD,
        figures.bars(
            [str(row[0]) for row in rows], [row[2] for row in rows], title=words.axis("MAE")
        ),
    )
