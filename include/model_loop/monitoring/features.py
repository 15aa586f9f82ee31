"""The features of trips that are watched, and the bins that they fall into.

Bins are fixed once, on the trips that a version has learned from: deciles of numbers, and the
categories themselves where they are not rare. Everything later is counted in the same bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.training_set.encoders import columns as read
from model_loop.training_set.encoders.sources import HOUR, WEEKDAY
from trip_duration.profile import SCALES
from trip_duration.services import PICKUP_TIME

Kind = Literal["number", "category"]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

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
        Category: those that have a bin of their own. Two bins come after them: for those that
        training saw rarely, and for those that it never saw.
    rare
        Category: those that training saw rarely.
    """

    name: str
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[int, ...] = ()
    rare: tuple[int, ...] = ()

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
    def of_category(cls, name: str, values: Floats) -> Bins:
        """Each category that is common enough."""
        known = values[np.isfinite(values)].astype(np.int64)
        found, counts = np.unique(known, return_counts=True)
        common = counts >= OWN_BIN_SHARE * len(known)
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

    def codes(self, values: Floats) -> Counts:
        """The bin of each value, shape (trips,); -1 where it is missing."""
        known = np.isfinite(values)
        if self.kind == "number":
            found = np.searchsorted(np.asarray(self.edges), values, side="right")
        else:
            found = self._categories(np.where(known, values, 0).astype(np.int64))
        return np.where(known, found, _MISSING)

    def counts(self, values: Floats) -> Counts:
        """Count the values in each bin, shape (size,); missing values are in none."""
        codes = self.codes(values)
        return np.bincount(codes[codes != _MISSING], minlength=self.size)

    def _categories(self, values: Counts) -> Counts:
        own = np.asarray(self.categories, dtype=np.int64)
        if not len(own):
            places, equal = np.zeros(len(values), np.int64), np.zeros(len(values), bool)
        else:
            places = np.minimum(np.searchsorted(own, values), len(own) - 1)
            equal = own[places] == values
        others = np.where(np.isin(values, self.rare), len(own), self.unseen)
        return np.where(equal, places, others)


def features(trips: pd.DataFrame) -> Mapping[str, Floats]:
    """The features of raw trips, each of shape (trips,); NaN where one is missing.

    The raw columns themselves, with ``hour`` and ``weekday`` in the place of the pick-up time.
    """
    found: dict[str, Floats] = {}
    for name in trips.columns:
        if name == PICKUP_TIME:
            found[HOUR] = np.floor(read.hour_of_day(trips))
            found[WEEKDAY] = read.weekday(trips).astype(np.float64)
        else:
            found[name] = trips[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def bins_of(name: str, values: Floats) -> Bins:
    """Make the bins of a feature, from the values that were learned from."""
    scale = SCALES.get(name)
    # Hours and weekdays, which are no columns, are categories.
    make = Bins.of_category if scale is None or scale.whole else Bins.of_number
    return make(name, values)
