"""Profile of the rows of a partition: what each column is like, and when rows come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Most frequent values that are named.
MOST_FREQUENT = 10
_BINS = 30
#: Share of the values that bins of equal width reach over.
_USUAL = 0.995


def profile_of(dataset: Dataset, rows: pd.DataFrame) -> dict[str, Any]:
    """Describe rows that keep the contract, as plain JSON.

    Returns
    -------
    dict
        ``rows``; ``columns``, each with its numbers of known and missing values and, of numbers,
        their distribution; ``histograms`` of numbers, the target first; where rows have a time,
        ``per_day`` and ``per_weekday_and_hour``, Monday first.
    """
    target = dataset.target.name
    names = [*dict.fromkeys([*(column.name for column in dataset.columns), target])]
    numbers = [column.name for column in dataset.columns.by_kind("number")]
    if target in rows and pd.api.types.is_numeric_dtype(rows[target]):
        numbers = [target, *numbers]
    profile = {
        "rows": len(rows),
        "columns": [_column(name, rows[name]) for name in names if name in rows],
        "histograms": [
            _histogram(name, rows[name]) for name in dict.fromkeys(numbers) if name in rows
        ],
    }
    return profile | (_when(rows[dataset.time].dropna()) if dataset.time in rows else {})


def _column(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    known = values.dropna()
    counts = known.value_counts().head(MOST_FREQUENT)
    described: dict[str, Any] = {
        "name": name,
        "known": len(known),
        "missing": len(values) - len(known),
        "distinct": int(known.nunique()),
        "most_frequent": [[_plain(value), int(count)] for value, count in counts.items()],
        "mean": None,
        "standard_deviation": None,
        "minimum": None,
        "maximum": None,
        "quantiles": {},
    }
    if len(known) and pd.api.types.is_numeric_dtype(known) and known.dtype.kind == "f":
        numbers = known.to_numpy(dtype=np.float64)
        described |= {
            "mean": float(numbers.mean()),
            "standard_deviation": float(numbers.std()),
            "minimum": float(numbers.min()),
            "maximum": float(numbers.max()),
            "quantiles": {
                str(share): float(value)
                for share, value in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)
            },
        }
    return described


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell of any type, and a value of JSON
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.number):
        return float(value)
    return str(value)


def _histogram(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    """Count values between edges; the last bin takes all beyond, so that outliers widen no bin."""
    known = values.dropna().to_numpy(dtype=np.float64)
    low, high = np.quantile(known, (0.0, _USUAL)) if len(known) else (0.0, 1.0)
    step = (high - low) / (_BINS - 1) or 1.0
    edges = low + step * np.arange(_BINS)
    bins = np.clip(((known - low) / step).astype(np.int64), 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    return {"column": name, "edges": edges.tolist(), "counts": counts.tolist()}


def _when(times: pd.Series[Any]) -> dict[str, Any]:
    if times.empty:
        return {}
    days = times.dt.strftime("%Y-%m-%d").value_counts().sort_index()
    weekdays = np.zeros((DAYS_PER_WEEK, HOURS_PER_DAY), dtype=np.int64)
    np.add.at(weekdays, (times.dt.weekday.to_numpy(), times.dt.hour.to_numpy()), 1)
    return {"per_day": [*days.items()], "per_weekday_and_hour": weekdays.tolist()}
