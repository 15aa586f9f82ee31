"""Slices: parts of the rows by which errors are shown and judged.

A dataset in Python may have its own. Otherwise rows are cut by the columns that the dataset
declares, or else by the most telling columns of the recipe, and by hour and weekday: categories as
they are, numbers in bands that hold about equally many of the learned rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.training_set.frames import clock_times
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

#: Columns that errors are sliced by where the dataset declares none.
MOST_TELLING = 3
#: Categories with a slice of their own; the others share one.
LARGEST = 20
#: Bands of a number. A number with few values has a slice for each.
_BANDS, _FEW_VALUES = 5, 12
#: Significant digits of the bounds of bands.
_DIGITS = 3

_OTHERS, _MISSING = "others", "missing"
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

TimePart = Literal["hour", "weekday"]


@dataclass(frozen=True)
class Cut:
    """A rule that cuts rows into slices by one column.

    Parameters
    ----------
    name
        Name of the slices.
    column
        The column; empty of the target.
    values
        Values with a slice of their own, as text. Other ones share a slice.
    edges
        Inner bounds of bands of numbers, ascending.
    part
        Part of a time, or ``yes_no``: the values are 0 and 1.
    unit
        Unit of the bounds.
    """

    name: str
    column: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    part: TimePart | Literal["yes_no"] | None = None
    unit: str = ""

    def __call__(self, values: pd.Series) -> Any:  # noqa: ANN401 - an array or a categorical
        """Return the slice of each value."""
        if self.part == "hour":
            # Hours stay whole numbers where one is unknown.
            return clock_times(values).dt.hour.astype("Int64").array
        if self.part == "weekday":
            codes = clock_times(values).dt.weekday.fillna(-1).to_numpy(dtype=np.int64)
            return _categorical(codes, _WEEKDAYS)
        if self.part == "yes_no":
            codes = pd.to_numeric(values).fillna(2).to_numpy(dtype=np.int64)
            return _categorical(codes, ("no", "yes", _MISSING))
        if self.values:
            texts = as_texts(values)
            names = list(dict.fromkeys((*self.values, _OTHERS, _MISSING)))
            own = texts.where(texts.isin(names) | texts.isna(), _OTHERS)
            return pd.Categorical(own.fillna(_MISSING), names, ordered=True)
        numbers = pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan)
        labels = _labels(self.edges, self.unit)
        codes = np.searchsorted(self.edges, numbers, side="right")
        codes[np.isnan(numbers)] = len(labels)
        return _categorical(codes, (*labels, _MISSING))


@dataclass(frozen=True)
class Slicing:
    """Slices of the rows of a dataset.

    Parameters
    ----------
    dataset
        The table that the rows are of.
    cuts
        Cuts by columns; of a dataset with slices of its own, none.
    outcome
        The cut by the target; None where none was learned.
    """

    dataset: Dataset
    cuts: tuple[Cut, ...] = ()
    outcome: Cut | None = None

    def slices(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Return the slice of each row, by the name of the slices, from values known beforehand.

        Slices whose column the rows do not have are left out.
        """
        own = self.dataset.extensions.load("slices")
        if own is not None:
            found: dict[str, Any] = own(rows)
            return found
        return {cut.name: cut(rows[cut.column]) for cut in self.cuts if cut.column in rows}

    def outcome_bands(self, actual: Targets) -> dict[str, Any]:
        """Return the slice of each target, for descriptions alone: it is the outcome itself."""
        name = self.dataset.target.title or self.dataset.target.name
        own = self.dataset.extensions.load("outcome_bands")
        if own is not None:
            return {name: own(actual)}
        return {name: self.outcome(pd.Series(actual))} if self.outcome else {}


def slicing_of(training_set: TrainingSet) -> Slicing:
    """Learn the slices of a training set from its train rows; see `learn_slicing`."""
    return learn_slicing(
        training_set.dataset,
        training_set.train_rows,
        training_set.train_validation_target,
        training_set.recipe.columns,
    )


def learn_slicing(
    dataset: Dataset, rows: pd.DataFrame | None, target: Targets, columns: Sequence[str]
) -> Slicing:
    """Learn the bands of numbers that errors are sliced by.

    Parameters
    ----------
    rows
        Raw rows with their target; None of a dataset with slices of its own.
    target
        Values of the target whose bands describe errors.
    columns
        Columns to choose from, where the dataset declares no slices.
    """
    outcome = Cut(dataset.target.name, "", edges=_edges(target), unit=dataset.target.unit)
    if dataset.extensions.slices or rows is None or rows.empty:
        return Slicing(dataset, (), outcome)
    wanted = dataset.slices or columns
    cuts = [
        cut_of(rows[column.name], column)
        for column in dataset.columns
        if column.name in wanted and column.name in rows and column.kind != "time"
    ]
    if not dataset.slices:
        outcomes = rows[dataset.target.name].to_numpy(dtype=np.float64)
        told = {cut.name: _told(cut(rows[cut.column]), outcomes) for cut in cuts}
        telling = [cut for cut in cuts if told[cut.name] > 0]
        cuts = sorted(telling, key=lambda cut: -told[cut.name])[:MOST_TELLING]
    taken = {cut.name for cut in cuts}
    times = [cut for cut in _times(dataset, rows) if cut.name not in taken]
    return Slicing(dataset, (*cuts, *times), outcome)


def as_texts(values: pd.Series) -> pd.Series:
    """Return values as text, whole numbers without a point; None where one is missing."""
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "yes", False: "no"}).astype(object)
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(object).map(lambda value: f"{value:g}", na_action="ignore")
    return values.astype(object).map(str, na_action="ignore")


def cut_of(values: pd.Series, column: Column) -> Cut:
    """Learn the slices of a column that holds no times from its values."""
    if column.kind == "yes_no":
        return Cut(column.field, column.name, part="yes_no")
    few = column.kind == "number" and values.nunique() <= _FEW_VALUES
    if column.kind == "number" and not few:
        edges = _edges(pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=np.nan))
        return Cut(column.field, column.name, edges=edges, unit=column.unit)
    largest = values.value_counts().head(LARGEST).index
    if few:
        largest = largest.sort_values()
    return Cut(column.field, column.name, values=tuple(as_texts(largest.to_series())))


def _edges(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return bounds between which about equally many values lie, each once, in round numbers."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ()
    quantiles = np.quantile(known, np.arange(1, _BANDS) / _BANDS)
    rounded = {float(f"{bound:.{_DIGITS}g}") for bound in quantiles}
    return tuple(sorted(bound for bound in rounded if known.min() < bound <= known.max()))


def _labels(edges: Sequence[float], unit: str) -> list[str]:
    unit = f" {unit}" if unit else ""
    if not edges:
        return ["all"]
    between = [f"{low:g} to {high:g}{unit}" for low, high in itertools.pairwise(edges)]
    return [f"below {edges[0]:g}{unit}", *between, f"{edges[-1]:g}{unit} and more"]


def _categorical(codes: npt.NDArray[np.int64], names: Sequence[str]) -> Any:  # noqa: ANN401 - pandas types it in part
    return pd.Categorical(np.array([*names, None], dtype=object)[codes], list(names), ordered=True)


def _times(dataset: Dataset, rows: pd.DataFrame) -> Iterator[Cut]:
    """Yield the cuts by the parts of the time that differ among the rows."""
    if dataset.time is None or dataset.time not in rows:
        return
    times = clock_times(rows[dataset.time]).dt
    if len(times.hour.unique()) > 1:
        yield Cut("hour", dataset.time, part="hour")
    if len(times.weekday.unique()) > 1:
        yield Cut("weekday", dataset.time, part="weekday")


def _told(slices: Any, outcomes: Targets) -> float:  # noqa: ANN401 - an array or a categorical
    """Return the share of the variance of the target that slices tell (adjusted R²)."""
    grouped = pd.Series(outcomes).groupby(pd.Series(slices), observed=True)
    rows, groups = len(outcomes), grouped.ngroups
    total = float(np.square(outcomes - outcomes.mean()).sum())
    if rows <= groups or not total:
        return 0.0
    within = float(np.square(outcomes - grouped.transform("mean").to_numpy()).sum())
    return 1 - (within / (rows - groups)) / (total / (rows - 1))
