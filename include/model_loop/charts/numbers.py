"""The numbers that the figures of a model show, small enough to be read for every page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.charts.class_numbers import class_numbers
from model_loop.datasets.dataset import Target
from model_loop.models.evaluation import Evaluation, predicted_of
from model_loop.models.explanation import OTHERS, Explanation, ShapValues
from model_loop.models.groups import group_reports
from model_loop.models.outcomes import parts_of_classifier
from model_loop.models.search import TuningResult
from model_loop.models.training import TrainedModel
from model_loop.partitions.keys import keys_of
from model_loop.training_set.frames import clock_times
from model_loop.training_set.types import TrainingSet

#: Points of a learning curve, and curves.
_CURVE_POINTS = 40
_CURVES = 200
#: Cells of a chart, where the dataset does not say how its target is counted.
_CELLS, _RESIDUAL_CELLS = 30, 40
#: Share of the values that the cells span; those beyond are counted in the outer ones.
_SPANNED = 0.98
#: Rows and columns whose SHAP values are kept.
_SHAP_ROWS, _SHAP_COLUMNS = 150, 12

_Floats = npt.NDArray[np.float64]


def numbers_of(trained: TrainedModel, training_set: TrainingSet) -> dict[str, Any]:
    """Return the numbers of a model's figures, as plain JSON; None for figures it does not have."""
    return {
        "family": trained.tuned.family,
        "curves": _curves(trained.tuned),
        "test": _test(trained, training_set) if trained.evaluation else None,
        "permutation": _permutation(trained.explanation),
        "shap": _shap(trained.explanation.shap)
        if trained.explanation and trained.explanation.shap
        else None,
    }


def _test(trained: TrainedModel, training_set: TrainingSet) -> dict[str, Any]:
    evaluation, target = trained.evaluation, training_set.target
    assert evaluation is not None
    if not target.is_classified:
        return _evaluation(evaluation, target)
    predicted = predicted_of(evaluation.predictions)
    threshold = parts_of_classifier(trained.model.named_steps["estimate"]).threshold
    actual = evaluation.predictions.actual.to_numpy(dtype=np.float64)
    return {
        **class_numbers(actual, predicted, target.labels, threshold, _partitions(training_set)),
        "intervals": {name: list(ends) for name, ends in evaluation.intervals.items()},
        "threshold_reason": trained.decision.threshold_reason if trained.decision else "",
        "slices": _records(evaluation.slices),
        "groups": group_reports(training_set, predicted, threshold),
    }


def _partitions(training_set: TrainingSet) -> Sequence[str]:
    """Return the partition of each test row; nothing where there is but one, or no time."""
    dataset, rows = training_set.dataset, training_set.test_rows
    if dataset.time is None or dataset.partition == "whole" or dataset.time not in rows:
        return ()
    keys: list[str] = keys_of(
        clock_times(rows[dataset.time]).to_numpy(), dataset.partition
    ).tolist()
    return keys


def _curves(tuned: TuningResult) -> list[dict[str, Any]]:
    found = []
    for trial in [trial for trial in tuned.trials if trial.curve][:_CURVES]:
        places = np.unique(
            np.linspace(0, len(trial.curve) - 1, min(_CURVE_POINTS, len(trial.curve))).round()
        ).astype(int)
        found.append(
            {
                "trial": trial.number,
                "steps": [trial.steps[place] for place in places],
                "errors": [round(trial.curve[place], 4) for place in places],
                "stopped": trial.stopped or "",
                "best": trial.number == tuned.best.number,
            }
        )
    return found


def _evaluation(evaluation: Evaluation, target: Target) -> dict[str, Any]:
    actual = evaluation.predictions.actual.to_numpy(dtype=np.float64)
    predicted = evaluation.predictions.predicted.to_numpy(dtype=np.float64)
    errors = predicted - actual
    cells, edges = _cells(actual, target), _residual_edges(errors, target)
    low, high = cells[0], cells[-1] - 1e-9
    return {
        "rows": len(errors),
        "half_within": round(float(np.median(np.abs(errors))), 4),
        "residuals": {
            "edges": edges[:-1].tolist(),
            "rows": np.histogram(errors.clip(edges[0], edges[-1]), edges)[0].tolist(),
        },
        "cells": {
            "edges": cells[:-1].tolist(),
            # Row by row of the predicted values.
            "rows": np.histogram2d(predicted.clip(low, high), actual.clip(low, high), cells)[0]
            .astype(int)
            .tolist(),
        },
        "slices": _records(evaluation.slices),
        **{name: _records(table) for name, table in evaluation.tables.items()},
    }


def _cells(actual: _Floats, target: Target) -> _Floats:
    """Return the edges of cells that nearly all targets lie in."""
    if target.scale is not None:
        end, width = target.scale.end, target.scale.width
        return np.arange(0.0, end + width, width, dtype=np.float64)
    low, high = np.quantile(actual, ((1 - _SPANNED) / 2, (1 + _SPANNED) / 2))
    width = _round_width((high - low) / _CELLS)
    first, last = math.floor(low / width), math.ceil(high / width)
    return width * np.arange(first, last + 1, dtype=np.float64)


def _residual_edges(errors: _Floats, target: Target) -> _Floats:
    if target.scale is not None:
        width = target.scale.width / 2
        farthest = round(target.scale.end / 3 / width)
    else:
        width = _round_width(2 * float(np.quantile(np.abs(errors), _SPANNED)) / _RESIDUAL_CELLS)
        farthest = _RESIDUAL_CELLS // 2
    return width * np.arange(-farthest, farthest + 1, dtype=np.float64)


def _round_width(width: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not less."""
    if not width > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9)))


def _permutation(explanation: Explanation | None) -> list[dict[str, Any]] | None:
    return None if explanation is None else _records(explanation.permutation)


def _shap(found: ShapValues) -> dict[str, Any]:
    """SHAP values of some rows: the largest prediction first, which the force plot shows."""
    largest = int(found.added.sum(axis=1).to_numpy().argmax())
    others = [row for row in range(len(found.added)) if row != largest]
    rows = [largest, *others[: _SHAP_ROWS - 1]]
    named = [name for name in found.added.columns if name != OTHERS]
    shown, rest = named[:_SHAP_COLUMNS], found.added.columns.difference(named[:_SHAP_COLUMNS])
    added, columns = found.added.iloc[rows][shown], found.columns.iloc[rows][shown]
    if len(rest):
        added = added.assign(**{OTHERS: found.added.iloc[rows][rest].sum(axis=1)})
        columns = columns.assign(**{OTHERS: np.nan})
    means = found.added.abs().mean()
    classified: dict[str, Any] = {"of": found.of, "scale": found.scale} if found.of else {}
    if found.by_class is not None:
        classified["by_class"] = _by_class(found.by_class, list(added.columns))
    return {
        **classified,
        "base": round(found.base, 4),
        "rows": len(found.added),
        "columns": list(added.columns),
        "means": [
            round(float(means[name]), 4)
            if name != OTHERS
            else round(float(found.added[rest].sum(axis=1).abs().mean()), 4)
            for name in added.columns
        ],
        "added": added.astype(float).round(3).to_numpy().tolist(),
        "values": [
            [None if math.isnan(value) else value for value in row]
            for row in columns.astype(float).round(3).to_numpy().tolist()
        ],
    }


def _by_class(means: pd.DataFrame, shown: list[str]) -> dict[str, list[float]]:
    """Return the mean amounts of each class, those of columns that are not shown added up."""
    table = means.set_index("column")
    own = [name for name in shown if name != OTHERS]
    kept = table.loc[own].to_numpy().T
    rest = table.drop(index=own).sum().to_numpy()
    return {
        str(name): [
            round(float(value), 4) for value in (*values, *([others] if OTHERS in shown else []))
        ]
        for name, values, others in zip(table.columns, kept, rest, strict=True)
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table, rounded; what is not a number is None."""
    rows = table.to_dict(orient="records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell of any table
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
