"""Errors of a window: of all rows, and by the slices that models are judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.models.class_metrics import log_losses
from model_loop.models.intervals import (
    CONFIDENCE,
    DaySpread,
    DaySums,
    MeasuredErrors,
    measured_errors,
    sums_by_day,
)
from model_loop.models.slices import Cut, Slicing
from model_loop.monitoring.levels import ALL
from model_loop.monitoring.windows import Days, WindowRows


@dataclass(frozen=True)
class SliceErrors:
    """Errors of a part of the rows.

    Parameters
    ----------
    slice, value
        Name and value of the slice: ``hour`` and ``8``; both ``all`` for all rows.
    measured
        The errors, with their intervals.
    """

    slice: str
    value: str
    measured: MeasuredErrors


def measure_errors(
    labelled: WindowRows,
    confidence: float = CONFIDENCE,
    known: DaySpread | None = None,
    cuts: tuple[Cut, ...] = (),
) -> tuple[SliceErrors, ...]:
    """Errors of rows whose true value is known: of all, and by slice.

    For classes they are log losses, and the mean absolute error is their mean.

    Parameters
    ----------
    labelled
        Rows of one version; see `labels.labelled`. Slices are those of `errors_by_slice`; rows
        whose inputs were not logged count in no slice.
    confidence
        Confidence of the intervals. Those of slices are wider, so that all together hold with it
        (Bonferroni's correction).
    known
        Variation between days, for windows of less than a week; see `models.intervals`.
    cuts
        Rules that cut rows into slices, as the version's training has learned them.
    """
    if not len(labelled):
        return ()
    days = labelled.days()
    if labelled.dataset.target.is_classified:
        errors = log_losses(labelled.actual, labelled.predicted)
    else:
        errors = labelled.predicted - labelled.actual
    parts = _slice_sums(labelled, errors, days, Slicing(labelled.dataset, cuts))
    each = 1 - (1 - confidence) / max(len(parts), 1)
    return (
        SliceErrors(ALL, ALL, measured_errors(sums_by_day(errors, days), known, confidence)),
        *(SliceErrors(*which, measured_errors(sums, known, each)) for which, sums in parts.items()),
    )


def errors_table(errors: Sequence[SliceErrors]) -> pd.DataFrame:
    """Errors as a table: a line for each slice, intervals as two columns each."""
    rows = []
    for one in errors:
        plain = asdict(one.measured)
        for name in ("bias", "mae", "rmse"):
            low, high = plain.pop(f"{name}_interval") or (math.nan, math.nan)
            plain |= {f"{name}_low": low, f"{name}_high": high}
        rows.append({"slice": one.slice, "value": one.value, **plain})
    return pd.DataFrame(rows)


def _slice_sums(
    labelled: WindowRows, errors: npt.NDArray[np.float64], days: Days, slicing: Slicing
) -> dict[tuple[str, str], DaySums]:
    """Sums of the errors by slice and value, and by day."""
    columns = labelled.dataset.columns
    needed = [name for name in columns.names if name in columns.required - columns.computed]
    needed = [name for name in needed if name != labelled.dataset.time]
    if not set(needed) <= set(labelled.rows):
        return {}
    known = labelled.rows[needed].notna().all(axis=1).to_numpy()
    if not known.any():
        return {}
    asked, wanted, days = labelled.rows[known], errors[known], days[known]
    return {
        (name, str(value)): sums_by_day(wanted[rows], days[rows])
        for name, values in slicing.slices(asked).items()
        for value, rows in pd.Series(wanted)
        .groupby(pd.Series(values), observed=True)
        .indices.items()
    }
