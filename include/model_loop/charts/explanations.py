"""Explanations of a model: the columns it needs, and what each adds to its predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from model_loop.charts import figures
from model_loop.charts.chart import Chart, ChartTable, Empty
from model_loop.charts.formatting import plain
from model_loop.charts.wording import Wording

UNTOLD = Empty(
    "This run has no figures: it has not ended, or was trained by an earlier version.",
    "xgboost_training",
)
#: Steps of encoders of declared tables, and the columns that say where values were missing.
_STEPS = frozenset({"number", "category", "yes_no", "mean", "time"})
_MISSING = "missingindicator_"
#: Code of a class at the end of the name of its mean.
_CODE, _TWO = re.compile(r"_(\d+)(?:\.0)?$"), 2
_NO_TREES = Empty("SHAP values are kept of models that are made of trees.", "xgboost_training")


def explanation_charts(numbers: Mapping[str, Any] | None, words: Wording) -> list[Chart]:
    """Draw the columns that a model needs and what each adds, by the figures of its run."""
    known = words.renewed(numbers)
    shap = (known or {}).get("shap") or {}
    # Contributions to the answer of a classifier have a scale of their own.
    scaled = replace(words, unit=shap["scale"]) if shap.get("scale") else words
    charts = [
        _permutation(known, words),
        _shap_bar(known, scaled),
        _shap_summary(known, scaled),
        _shap_force(known, scaled),
    ]
    if shap.get("by_class"):
        charts.insert(2, _shap_by_class(known, scaled))
    return charts


def _explained(found: Mapping[str, Any], words: Wording) -> str:
    """Return the class that SHAP values are of, in brackets; empty of numbers."""
    if not found.get("of"):
        return ""
    return f" ({words.target} = {found['of']}, before calibration)"


def _shap_by_class(numbers: Mapping[str, Any] | None, words: Wording) -> Chart:
    found = _shap(numbers)
    by_class, columns = found["by_class"], found["columns"]
    rows = [
        (column, *(by_class[name][place] for name in by_class))
        for place, column in enumerate(columns)
    ]
    return Chart(
        "shap_by_class",
        "SHAP: what each column adds or takes, by class",
        words.unit,
        f"Mean absolute SHAP value over {found['rows']} test {words.rows}, added up over the "
        "classes.",
        ChartTable(("column", *by_class), rows),
        _shap_empty(numbers),
        figures.stacked(columns, by_class, title=words.axis("mean |SHAP|"), horizontal=True),
        height=420,
    )


def _permutation(numbers: Mapping[str, Any] | None, words: Wording) -> Chart:
    found = (numbers or {}).get("permutation") or ()
    rows = [(row["column"], row["increase"], row["spread"]) for row in found]
    added, digits = words.axis(f"added {words.error}"), 3 if words.is_classified else 2
    return Chart(
        "permutation_importance",
        "Permutation importance",
        added,
        "How much worse the model predicts when one raw column is shuffled (Breiman, 2001).",
        ChartTable(("column", added, words.axis("spread")), rows),
        UNTOLD,
        figures.bars(
            [row[0] for row in rows],
            [row[1] for row in rows],
            title=added,
            horizontal=True,
            labels=[f"{row[1]:.{digits}f}" for row in rows],
        ),
    )


def _shap(numbers: Mapping[str, Any] | None) -> Mapping[str, Any]:
    found = (numbers or {}).get("shap")
    classes = ((numbers or {}).get("test") or {}).get("classes", ())
    names = [feature_name(column, classes) for column in found["columns"]] if found else []
    return {**found, "columns": names} if found else {}


def feature_name(column: str, classes: Sequence[str] = ()) -> str:
    """Return the name of an encoded column without the names of the encoder's steps.

    Parameters
    ----------
    classes
        Labels by their codes: of several, there is a mean of each.
    """
    step, between, name = column.partition("__")
    if not between or step not in _STEPS:
        return column
    if name.startswith(_MISSING):
        return f"missing {name.removeprefix(_MISSING)}"
    if step != "mean":
        return name
    of_class = _CODE.search(name)
    if len(classes) > _TWO and of_class and int(of_class[1]) < len(classes):
        return f"share of {classes[int(of_class[1])]} by {name[: of_class.start()]}"
    return f"mean by {name}"


def _shap_empty(numbers: Mapping[str, Any] | None) -> Empty:
    return _NO_TREES if numbers else UNTOLD


def _shap_bar(numbers: Mapping[str, Any] | None, words: Wording) -> Chart:
    found = _shap(numbers)
    rows = list(zip(found.get("columns", ()), found.get("means", ()), strict=True))
    return Chart(
        "shap_bar",
        "SHAP: what each column adds or takes, on average",
        words.unit,
        f"Mean absolute SHAP value over {found['rows']} test {words.rows}"
        f"{_explained(found, words)}."
        if found
        else "",
        ChartTable(("column", words.axis("mean |SHAP|")), rows),
        _shap_empty(numbers),
        figures.bars(
            [row[0] for row in rows],
            [row[1] for row in rows],
            title=words.axis("mean |SHAP|"),
            horizontal=True,
            labels=[f"{row[1]:.2f}" for row in rows],
        ),
    )


def _shap_summary(numbers: Mapping[str, Any] | None, words: Wording) -> Chart:
    found = _shap(numbers)
    columns = found.get("columns", ())
    rows = [
        (row, column, added, value)
        for row, (amounts, values) in enumerate(
            zip(found.get("added", ()), found.get("values", ()), strict=True)
        )
        for column, added, value in zip(columns, amounts, values, strict=True)
    ]
    return Chart(
        "shap_summary",
        "SHAP summary",
        words.unit,
        f"A dot for each of {len(found.get('added', ()))} {words.rows} and each column: what it "
        f"adds to the prediction{_explained(found, words)}; the colour is the value of the column.",
        ChartTable((words.row, "column", words.axis("SHAP"), "value"), rows),
        _shap_empty(numbers),
        figures.beeswarm(columns, found["added"], found["values"], title=words.axis("added"))
        if found
        else None,
        height=420,
    )


def _shap_force(numbers: Mapping[str, Any] | None, words: Wording) -> Chart:
    found = _shap(numbers)
    rows = []
    if found:
        rows = [
            (column if value is None else f"{column} = {plain(value)}", added)
            for column, added, value in zip(
                found["columns"], found["added"][0], found["values"][0], strict=True
            )
        ]
        rows.sort(key=lambda row: -abs(row[1]))
    total = found.get("base", 0.0) + sum(row[1] for row in rows)
    return Chart(
        "shap_force",
        "SHAP force: how the largest prediction comes about",
        words.unit,
        f"From {words.amount(found['base'])} of the average {words.row} to {words.amount(total)}"
        f"{_explained(found, words)}."
        if found
        else "",
        ChartTable(("column", words.axis("SHAP")), rows),
        _shap_empty(numbers),
        figures.force(
            found["base"], rows, average=f"average {words.row}", title=words.axis(words.target)
        )
        if found
        else None,
        height=420,
    )
