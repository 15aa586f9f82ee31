"""The numbers that the figures of a model show, small enough to be read for every page."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.models.evaluation import Evaluation
from model_loop.models.explanation import OTHERS, Explanation, ShapValues
from model_loop.models.search import TuningResult
from model_loop.models.training import TrainedModel

#: Points of a learning curve, and curves.
_CURVE_POINTS = 40
_CURVES = 200
#: Minutes beyond which residuals are counted together.
_FARTHEST = 20
#: Minutes up to which predictions are compared with what happened, and the side of a cell.
_LONGEST, _CELL = 60, 2
#: Trips and columns whose SHAP values are kept.
_SHAP_TRIPS, _SHAP_COLUMNS = 150, 12

#: Share of the trips that an interval is to hold.
CONFIDENCE = 0.9
#: Predictions from so many minutes on have an interval of their own, if so many trips tell it.
_BANDS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0)
_LEAST_TRIPS = 50

_Floats = npt.NDArray[np.float64]


def numbers_of(trained: TrainedModel) -> dict[str, Any]:
    """Return the numbers of a model's figures, as plain JSON; None for figures it does not have."""
    return {
        "family": trained.tuned.family,
        "curves": _curves(trained.tuned),
        "test": _evaluation(trained.evaluation) if trained.evaluation else None,
        "permutation": _permutation(trained.explanation),
        "shap": _shap(trained.explanation.shap)
        if trained.explanation and trained.explanation.shap
        else None,
    }


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


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    actual = evaluation.predictions.actual.to_numpy(dtype=np.float64)
    predicted = evaluation.predictions.predicted.to_numpy(dtype=np.float64)
    errors = predicted - actual
    edges = np.arange(-_FARTHEST, _FARTHEST + 1)
    cells = np.arange(0, _LONGEST + _CELL, _CELL)
    within = cells[-1] - 1e-9
    return {
        "trips": len(errors),
        "half_within": round(float(np.median(np.abs(errors))), 4),
        "residuals": {
            "edges": edges[:-1].tolist(),
            "trips": np.histogram(errors.clip(-_FARTHEST, _FARTHEST), edges)[0].tolist(),
        },
        "cells": {
            "edges": cells[:-1].tolist(),
            # Row by row of the predicted minutes.
            "trips": np.histogram2d(predicted.clip(0, within), actual.clip(0, within), cells)[0]
            .astype(int)
            .tolist(),
        },
        "intervals": _intervals(predicted, errors),
        "slices": _records(evaluation.slices),
        **{name: _records(table) for name, table in evaluation.tables.items()},
    }


def _intervals(predicted: _Floats, errors: _Floats) -> list[dict[str, float | None]]:
    """Quantiles of the residuals by how long the prediction is; the first is of all trips."""
    tail = (1 - CONFIDENCE) / 2
    bounds = [(-math.inf, math.inf), *itertools.pairwise((*_BANDS, math.inf))]
    found: list[dict[str, float | None]] = []
    for low, high in bounds:
        part = errors[(predicted >= low) & (predicted < high)]
        if len(part) >= _LEAST_TRIPS:
            quantiles = np.quantile(part, (tail, 1 - tail))
            found.append(
                {
                    "from": max(low, 0.0),
                    "to": high if math.isfinite(high) else None,
                    "trips": len(part),
                    "low": round(float(quantiles[0]), 4),
                    "high": round(float(quantiles[1]), 4),
                }
            )
    return found


def _permutation(explanation: Explanation | None) -> list[dict[str, Any]] | None:
    return None if explanation is None else _records(explanation.permutation)


def _shap(found: ShapValues) -> dict[str, Any]:
    """SHAP values of some trips: the longest prediction first, which the force plot shows."""
    longest = int(found.added.sum(axis=1).to_numpy().argmax())
    others = [row for row in range(len(found.added)) if row != longest]
    rows = [longest, *others[: _SHAP_TRIPS - 1]]
    named = [name for name in found.added.columns if name != OTHERS]
    shown, rest = named[:_SHAP_COLUMNS], found.added.columns.difference(named[:_SHAP_COLUMNS])
    minutes, columns = found.added.iloc[rows][shown], found.columns.iloc[rows][shown]
    if len(rest):
        minutes = minutes.assign(**{OTHERS: found.added.iloc[rows][rest].sum(axis=1)})
        columns = columns.assign(**{OTHERS: np.nan})
    means = found.added.abs().mean()
    return {
        "base": round(found.base, 4),
        "trips": len(found.added),
        "columns": list(minutes.columns),
        "means": [
            round(float(means[name]), 4)
            if name != OTHERS
            else round(float(found.added[rest].sum(axis=1).abs().mean()), 4)
            for name in minutes.columns
        ],
        "minutes": minutes.astype(float).round(3).to_numpy().tolist(),
        "values": [
            [None if math.isnan(value) else value for value in row]
            for row in columns.astype(float).round(3).to_numpy().tolist()
        ],
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table, rounded; what is not a number is None."""
    rows = table.to_dict(orient="records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell of any table
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
