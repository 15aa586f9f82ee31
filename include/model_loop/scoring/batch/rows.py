"""Rows that were scored, whatever file they come from."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from model_loop.datasets.dataset import Dataset
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.intervals.scores import Numbers
from model_loop.scoring.columns import Given, check_rows
from model_loop.scoring.identifiers import new_ids
from model_loop.scoring.notices import codes_of, notice_text
from model_loop.scoring.predictor import Predictor
from model_loop.scoring.reasons import Explain, reasons_of_rows
from model_loop.scoring.rows import from_frame
from model_loop.training_set.frames import as_numbers
from model_loop.training_set.matrices import Targets

#: Rows that are scored at once: memory depends on it, and on nothing else.
BATCH_ROWS = 2**16


Columns = Mapping[str, pa.Array] | Sequence[Mapping[str, Any]]
"""Columns by names, shape (rows,) each; or the objects of JSON, one for each row."""


@dataclass(frozen=True)
class RawRows:
    """Successive rows as they are in a file.

    Parameters
    ----------
    columns
        Their columns by names, shape (rows,) each; or the objects of JSON.
    lines
        Texts: each row as it stands in the file, without its line end.
    broken
        Errors of rows that could not be read, by their places.
    """

    columns: Columns
    lines: Sequence[bytes] = ()
    broken: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        if self.lines or isinstance(self.columns, Sequence):
            return len(self.lines) or len(self.columns)
        return len(next(iter(self.columns.values()), ()))

    def slice(self, first: int, count: int) -> RawRows:
        """Return at most so many rows from one on."""
        if not first and len(self) <= count:
            return self
        last = first + count
        columns = self.columns
        return RawRows(
            columns[first:last]
            if isinstance(columns, Sequence)
            else {name: column.slice(first, count) for name, column in columns.items()},
            self.lines[first:last],
            {row - first: why for row, why in self.broken.items() if first <= row < last},
        )


@dataclass(frozen=True)
class ScoredRows:
    """Successive rows with what became of them; every array has shape (rows,).

    Parameters
    ----------
    predicted
        Predictions, of classes the number that a log would keep; NaN for rows that could not be
        predicted.
    identifiers
        Ids of the predictions, as bytes; of rows that could not be predicted, they name nothing.
    reasons
        Reasons why rows could not be predicted; None where they could.
    assumed
        Fields that a row left out and that were assumed; None where nothing was.
    notices
        What is to be said of a row that was predicted: a tuple of `notices.Notice`; None of
        nothing.
    lower, upper
        Limits around predictions; NaN where there is none.
    level
        Percentage of true values that such intervals hold; None without intervals.
    explained
        Reasons of the predictions as JSON; None where they were not asked for.
    outcomes
        Predicted classes; None for rows that could not be predicted, and of numbers.
    """

    predicted: Targets
    identifiers: npt.NDArray[np.bytes_]
    reasons: npt.NDArray[np.object_]
    assumed: npt.NDArray[np.object_]
    notices: npt.NDArray[np.object_]
    lower: Numbers
    upper: Numbers
    level: float | None
    explained: npt.NDArray[np.object_]
    outcomes: npt.NDArray[np.object_]

    @property
    def told(self) -> list[str | None]:
        """Return the notices of each row as text."""
        return [None if each is None else notice_text(each) for each in self.notices]

    @property
    def counts(self) -> Counter[str]:
        """Return the number of rows with each notice, as ``column: code``."""
        given = self.notices[pd.notna(self.notices) & ~self.rejected]
        return Counter(code for each in given for code in codes_of(each))

    @property
    def rejected(self) -> npt.NDArray[np.bool_]:
        """Mask of the rows that could not be predicted, shape (rows,)."""
        return np.asarray(pd.notna(self.reasons))

    @property
    def first_reason(self) -> str:
        """Reason why the first rejected row could not be predicted; empty if all could."""
        rejected = np.flatnonzero(self.rejected)
        return str(self.reasons[rejected[0]]) if len(rejected) else ""


def score_rows(
    dataset: Dataset,
    rows: Given,
    broken: Mapping[int, str],
    predictor: Predictor,
    now: dt.datetime | None = None,
    level: float = DEFAULT_LEVEL,
    explain: Explain | None = None,
) -> ScoredRows:
    """Check rows, and predict those that can be.

    Parameters
    ----------
    broken
        Known errors of some of them.
    predictor
        Version that predicts.
    now
        The present moment on the clocks of the table, for rows that leave their time out.
    level
        Percentage of true values that the intervals are to hold, from 50 to 99.
    explain
        Computes the reasons of the predictions; None where they are not asked for.
    """
    checked = check_rows(dataset, rows, predictor.columns, now, predictor.watch)
    good, reasons = checked.rows.drop(index=list(broken), errors="ignore"), checked.reasons
    for row, reason in broken.items():
        reasons[row] = reason
    predicted, lower, upper = np.full((3, len(reasons)), np.nan)
    found = predictor.predict(good)
    outcomes, deciding = np.full(len(reasons), None, dtype=object), predictor.deciding
    correction = predictor.correction
    intervals = predictor.intervals if deciding is None else None
    if deciding is None:
        predicted[good.index] = found
    else:
        for row, outcome in zip(
            good.index, deciding.outcomes(found, level, correction), strict=True
        ):
            outcomes[row], predicted[row] = outcome, outcome.number
    if intervals is not None:
        time = dataset.time
        times = as_numbers(good[time]) if time is not None and time in good else None
        band, sizes = intervals.at(level, correction), intervals.sizes(found, times, good)
        limits_of_rows = band.limits_of(found, times, sizes)
        for side, limits in zip((lower, upper), limits_of_rows, strict=True):
            side[good.index] = np.where(np.isfinite(limits), limits, np.nan)
    explained = np.full(len(reasons), None, dtype=object)
    if explain is not None:
        values = from_frame(dataset, good, predictor.columns)
        given = reasons_of_rows(explain, dataset, values, found)
        explained[good.index] = [msgspec.json.encode(one).decode() for one in given]
    return ScoredRows(
        predicted,
        new_ids(len(reasons)),
        reasons,
        checked.assumed,
        checked.notices,
        lower,
        upper,
        None if intervals is None and not (deciding and deciding.has_sets) else level,
        explained,
        outcomes,
    )
