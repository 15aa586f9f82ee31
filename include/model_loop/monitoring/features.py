"""The features of rows that are watched, and the bins that they fall into.

Bins are fixed once, on the rows that a version has learned from: deciles of numbers, and the
categories themselves where they are not rare. Everything later is counted in the same bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.days import HOUR, SECONDS_PER_DAY, SECONDS_PER_HOUR, WEEKDAY, weekday_of

Kind = Literal["number", "category"]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Feature: TypeAlias = npt.NDArray[Any]
"""Values of shape (rows,): numbers, NaN where one is missing; or texts, None where one is."""

#: Bins of a number, as usual for the population stability index.
NUMBER_BINS = 10
#: Categories that are rarer than this share one bin: of a rare one, any window holds another share.
OWN_BIN_SHARE = 0.005

_MISSING = -1


@dataclass(frozen=True)
class Bins:
    """Bins in which the values of a feature are counted.

    Parameters
    ----------
    name
        Of the feature.
    kind
        A number, or a category.
    edges
        Number: the inner edges, ascending; a value that equals one lies above it.
    categories
        Category: codes or texts that have a bin of their own. Two bins come after them: for those
        that training saw rarely, and for those that it never saw.
    rare
        Category: those that training saw rarely.
    """

    name: str
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[int | str, ...] = ()
    rare: tuple[int | str, ...] = ()

    @classmethod
    def of_number(cls, name: str, values: Floats) -> Bins:
        """Deciles; fewer bins where many values are equal."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(name, "number")
        inner = np.linspace(0, 1, NUMBER_BINS + 1)[1:-1]
        edges = np.unique(np.quantile(known, inner))
        # Below the least value nothing was learned from.
        return cls(name, "number", edges=tuple(edges[edges > known.min()].tolist()))

    @classmethod
    def of_category(cls, name: str, values: Feature) -> Bins:
        """Each category that is common enough."""
        values, known = _categories_of(values)
        found, counts = np.unique(values[known], return_counts=True)
        common = counts >= OWN_BIN_SHARE * np.count_nonzero(known)
        return cls(
            name,
            "category",
            categories=tuple(found[common].tolist()),
            rare=tuple(found[~common].tolist()),
        )

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1 if self.kind == "number" else len(self.categories) + 2

    @property
    def unseen(self) -> int:
        """The bin of categories that training never saw."""
        return len(self.categories) + 1

    def codes(self, values: Feature) -> Counts:
        """The bin of each value, shape (rows,); -1 where it is missing."""
        if self.kind == "number":
            known = np.isfinite(values)
            found = np.searchsorted(np.asarray(self.edges), values, side="right")
        else:
            values, known = _categories_of(values)
            places = pd.Index(self.categories).get_indexer(pd.Index(values))
            rare = pd.Index(values).isin(self.rare)
            others = np.where(rare, len(self.categories), self.unseen)
            found = np.where(places >= 0, places, others)
        return np.where(known, found, _MISSING)

    def counts(self, values: Feature) -> Counts:
        """Count the values in each bin, shape (size,); missing values are in none."""
        codes = self.codes(values)
        return np.bincount(codes[codes != _MISSING], minlength=self.size)


def _categories_of(values: Feature) -> tuple[Feature, npt.NDArray[np.bool_]]:
    """Return categories as codes or texts, and which of them are known."""
    if values.dtype == object:
        known = ~pd.isna(values)
        return np.where(known, values, ""), known
    known = np.isfinite(values)
    return np.where(known, values, 0).astype(np.int64), known


def features(rows: pd.DataFrame, dataset: Dataset) -> Mapping[str, Feature]:
    """Return the features of raw rows, each of shape (rows,).

    The raw columns themselves, with ``hour`` and ``weekday`` in the place of the dataset's time,
    and ``<column>_hour`` and ``<column>_weekday`` in that of any other time.
    """
    found: dict[str, Feature] = {}
    for name in map(str, rows.columns):
        column = _column(name, dataset)
        if column is not None and column.kind == "time":
            prefix = "" if name == dataset.time else f"{name}_"
            found |= {f"{prefix}{part}": of for part, of in _parts_of_time(rows[name]).items()}
        elif column is not None and column.text:
            texts = rows[name].astype(object).map(str, na_action="ignore")
            found[name] = texts.to_numpy(dtype=object, copy=True)
            found[name][texts.isna().to_numpy()] = None
        else:
            found[name] = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def bins_of(name: str, values: Feature, dataset: Dataset) -> Bins:
    """Make the bins of a feature, from the values that were learned from."""
    make = Bins.of_number if is_number(name, dataset) else Bins.of_category
    return make(name, values)


def is_number(name: str, dataset: Dataset) -> bool:
    """Return whether a feature is compared by deciles.

    Hours and weekdays, which are no columns, are categories, and so are numbers of which each value
    has a bin.
    """
    column = _column(name, dataset)
    if column is None or column.kind != "number":
        return False
    return column.scale is None or not column.scale.whole


def _column(name: str, dataset: Dataset) -> Column | None:
    position = dataset.columns.places.get(name)
    return None if position is None else dataset.columns[position]


def _parts_of_time(times: pd.Series[Any]) -> Mapping[str, Floats]:
    """Return the hour of the day and the weekday, Monday = 0; NaN where there is no time."""
    moments = times.to_numpy().astype("datetime64[s]")
    known, seconds = ~np.isnat(moments), moments.astype(np.int64)
    hours = seconds % SECONDS_PER_DAY // SECONDS_PER_HOUR
    weekdays = weekday_of(seconds // SECONDS_PER_DAY)
    return {
        HOUR: np.where(known, hours, np.nan),
        WEEKDAY: np.where(known, weekdays, np.nan),
    }
