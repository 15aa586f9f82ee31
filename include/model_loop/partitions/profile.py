"""Profile of the rows of a partition: what each column is like, and when rows come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from model_loop.datasets.dataset import Dataset

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Most frequent values that are named.
MOST_FREQUENT = 10
_BINS = 30


def profile_of(dataset: Dataset, rows: pd.DataFrame) -> dict[str, Any]:
    """Describe rows that keep the contract, as plain JSON.

    Returns
    -------
    dict
        ``rows``; ``columns``, each with its numbers of known and missing values and, of numbers,
        their distribution; ``target``, a histogram; ``per_day``, rows by day, where rows have a
        time.
    """
    target = dataset.target.name
    names = [*dict.fromkeys([*(column.name for column in dataset.columns), target])]
    return {
        "rows": len(rows),
        "columns": [_column(name, rows[name]) for name in names if name in rows],
        "target": _histogram(rows[target].to_numpy(dtype=np.float64)),
        "per_day": _per_day(rows[dataset.time]) if dataset.time in rows else [],
    }


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


def _histogram(values: np.ndarray) -> dict[str, list[float] | list[int]]:
    counts, edges = np.histogram(values[np.isfinite(values)], bins=_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _per_day(times: pd.Series[Any]) -> list[list[Any]]:
    days = times.dropna().dt.strftime("%Y-%m-%d").value_counts().sort_index()
    return [[str(day), int(count)] for day, count in days.items()]
