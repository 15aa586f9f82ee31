"""Explanations of a model: the columns it needs, and the minutes each adds to its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import plain

UNTOLD = Empty(
    "This run has no figures: it has not ended, or was trained by an earlier version.",
    "xgboost_training",
)
_NO_TREES = Empty("SHAP values are kept of models that are made of trees.", "xgboost_training")


def explanation_charts(numbers: Mapping[str, Any] | None) -> list[Chart]:
    """Draw the columns that a model needs and what each adds, by the figures of its run."""
    return [
        _permutation(numbers),
        _shap_bar(numbers),
        _shap_summary(numbers),
        _shap_force(numbers),
    ]


def _permutation(numbers: Mapping[str, Any] | None) -> Chart:
    found = (numbers or {}).get("permutation") or ()
    rows = [(row["column"], row["increase"], row["spread"]) for row in found]
    return Chart(
        "permutation_importance",
        "Permutation importance",
        "minutes of RMSE",
        "How much worse the model predicts when one raw column is shuffled (Breiman, 2001).",
        ChartTable(("column", "added RMSE (min)", "spread (min)"), rows),
        UNTOLD,
        figures.bars(
            [row[0] for row in rows],
            [row[1] for row in rows],
            title="added RMSE (minutes)",
            horizontal=True,
            labels=[f"{row[1]:.2f}" for row in rows],
        ),
    )


def _shap(numbers: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (numbers or {}).get("shap") or {}


def _shap_empty(numbers: Mapping[str, Any] | None) -> Empty:
    return _NO_TREES if numbers else UNTOLD


def _shap_bar(numbers: Mapping[str, Any] | None) -> Chart:
    found = _shap(numbers)
    rows = list(zip(found.get("columns", ()), found.get("means", ()), strict=True))
    return Chart(
        "shap_bar",
        "SHAP: what each column adds or takes, on average",
        "minutes",
        f"Mean absolute SHAP value over {found['trips']} test trips." if found else "",
        ChartTable(("column", "mean |SHAP| (min)"), rows),
        _shap_empty(numbers),
        figures.bars(
            [row[0] for row in rows],
            [row[1] for row in rows],
            title="minutes",
            horizontal=True,
            labels=[f"{row[1]:.2f}" for row in rows],
        ),
    )


def _shap_summary(numbers: Mapping[str, Any] | None) -> Chart:
    found = _shap(numbers)
    columns = found.get("columns", ())
    rows = [
        (trip, column, added, value)
        for trip, (minutes_, values) in enumerate(
            zip(found.get("minutes", ()), found.get("values", ()), strict=True)
        )
        for column, added, value in zip(columns, minutes_, values, strict=True)
    ]
    return Chart(
        "shap_summary",
        "SHAP summary",
        "minutes",
        f"A dot for each of {len(found.get('minutes', ()))} trips and each column: what it adds to "
        "the prediction; the colour is the value of the column.",
        ChartTable(("trip", "column", "SHAP (min)", "value"), rows),
        _shap_empty(numbers),
        figures.beeswarm(columns, found["minutes"], found["values"]) if found else None,
        height=420,
    )


def _shap_force(numbers: Mapping[str, Any] | None) -> Chart:
    found = _shap(numbers)
    rows = []
    if found:
        rows = [
            (column if value is None else f"{column} = {plain(value)}", added)
            for column, added, value in zip(
                found["columns"], found["minutes"][0], found["values"][0], strict=True
            )
        ]
        rows.sort(key=lambda row: -abs(row[1]))
    total = found.get("base", 0.0) + sum(row[1] for row in rows)
    return Chart(
        "shap_force",
        "SHAP force: how the longest prediction comes about",
        "minutes",
        f"From {found['base']:.1f} minutes of the average trip to {total:.1f} minutes."
        if found
        else "",
        ChartTable(("column", "SHAP (min)"), rows),
        _shap_empty(numbers),
        figures.force(found["base"], rows) if found else None,
        height=420,
    )
