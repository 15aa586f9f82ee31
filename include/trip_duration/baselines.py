"""The best rule for trips that needs no model: a table of pairs of zones.

A model that is no better than such a table is not worth its upkeep, and the median of all trips is
a bar that any table clears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.training_set.matrices import Matrix, Targets
from model_loop.training_set.types import TrainingSet
from trip_duration.services import DISTANCE, DROPOFF_ZONE, PICKUP_ZONE
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder

#: Pairs of fewer trips say less than all trips from their pick-up zone.
FEWEST_TRIPS = 5
#: Miles: shorter ones are metering errors, longer ones are no trips within the city.
_SHORTEST, _LONGEST = 0.1, 30.0
#: Zone ids below this are looked up in a table; TLC's highest is 265.
_ZONES = 512

_MEDIAN, _MEAN, _PACE = "median", "mean", "median pace"


@dataclass(frozen=True)
class PairRule:
    """A rule that needs no model: a table of pairs of zones.

    Parameters
    ----------
    statistic
        Statistic of each pair: the ``median`` or ``mean`` duration, or the ``median
        pace`` in minutes per mile, which is multiplied by the metered distance. A pair of fewer
        than `FEWEST_TRIPS` trips has the value of its pick-up zone, and a zone without trips that
        of all trips.
    table
        Values, shape (512, 512), by pick-up and drop-off zone.
    shortest, longest
        Bounds of the durations (minutes) that were learned from.
    """

    statistic: str
    table: npt.NDArray[np.float64]
    shortest: float
    longest: float

    @property
    def title(self) -> str:
        """Return what the rule says, for people."""
        rule = f"{self.statistic} of the pair of zones"
        return f"{rule} times the metered distance" if self.statistic == _PACE else rule

    def predict(self, trips: pd.DataFrame) -> Targets:
        """Return minutes of raw trips, shape (trips,)."""
        pickup, dropoff = (
            np.clip(trips[zone].to_numpy(dtype=np.int64), 0, _ZONES - 1)
            for zone in (PICKUP_ZONE, DROPOFF_ZONE)
        )
        minutes: Targets = self.table[pickup, dropoff]
        if self.statistic == _PACE:
            minutes = minutes * _miles(trips[DISTANCE].to_numpy(dtype=np.float64))
        within: Targets = np.clip(minutes, self.shortest, self.longest)
        return within


@dataclass(frozen=True)
class _Trips:
    """Columns that the rules read: pairs of zones, minutes, and miles where the recipe has them."""

    pairs: npt.NDArray[np.int64]
    minutes: Targets
    miles: Targets | None

    def rows(self, rows: slice) -> _Trips:
        miles = None if self.miles is None else self.miles[rows]
        return _Trips(self.pairs[rows], self.minutes[rows], miles)

    def frame(self) -> pd.DataFrame:
        pickup, dropoff = np.divmod(self.pairs, _ZONES)
        columns = {PICKUP_ZONE: pickup, DROPOFF_ZONE: dropoff}
        return pd.DataFrame(columns if self.miles is None else {**columns, DISTANCE: self.miles})


def best_pair_rule(training_set: TrainingSet) -> PairRule:
    """Return the rule with the lowest RMSE on the validation trips.

    The choice is made by tables of the train months; the table of the rule that is chosen is
    learned from train and validation, as models are. The metered distance is used only where the
    recipe knows it.
    """
    trips = _trips(training_set)
    train = len(training_set.train_target)
    learned, judged = trips.rows(slice(None, train)), trips.rows(slice(train, None))
    raw = judged.frame()
    best = min(
        _rules(learned, training_set),
        key=lambda rule: float(np.mean((rule.predict(raw) - judged.minutes) ** 2)),
    )
    return next(rule for rule in _rules(trips, training_set) if rule.statistic == best.statistic)


def _rules(trips: _Trips, training_set: TrainingSet) -> Iterator[PairRule]:
    rules = training_set.request.rules
    bounds = (rules.minimum_duration, rules.maximum_duration)
    for statistic in (_MEDIAN, _MEAN):
        yield PairRule(statistic, _table(trips.pairs, trips.minutes, statistic), *bounds)
    if trips.miles is not None:
        paces = trips.minutes / _miles(trips.miles)
        yield PairRule(_PACE, _table(trips.pairs, paces, _MEDIAN), *bounds)


def _table(
    pairs: npt.NDArray[np.int64], values: Targets, statistic: str
) -> npt.NDArray[np.float64]:
    found = pd.Series(values)
    table = np.full((_ZONES, _ZONES), float(getattr(found, statistic)()))
    by_zone = found.groupby(pairs // _ZONES).agg(statistic)
    table[by_zone.index.to_numpy()] = by_zone.to_numpy()[:, np.newaxis]
    by_pair = found.groupby(pairs).agg([statistic, "size"])
    known = by_pair[by_pair["size"] >= FEWEST_TRIPS]
    table.ravel()[known.index.to_numpy()] = known[statistic].to_numpy()
    return table


def _trips(training_set: TrainingSet) -> _Trips:
    """Read zones and distances back from the one-hot layout, which every training set has.

    Each row begins with the entry of its pair, which the encoder of all trips always knows, and
    ends with the distance, where the recipe knows it.
    """
    splits = training_set.layouts["sparse"]
    matrix: Matrix = splits.train_validation
    encoder = splits.encoder
    if not isinstance(encoder, OneHotTripEncoder) or isinstance(matrix, np.ndarray):
        raise TypeError("The sparse layout holds no one-hot matrix")
    rows = matrix.shape[0]
    first = matrix.indices.reshape(rows, -1)[:, 0]
    pairs = encoder.pairs_.astype(np.int64) @ np.array([_ZONES, 1])
    miles = None
    if DISTANCE in training_set.recipe.columns:
        miles = matrix.data.reshape(rows, -1)[:, -1]
    return _Trips(pairs[first], training_set.train_validation_target, miles)


def _miles(distance: Targets) -> Targets:
    return np.clip(distance, _SHORTEST, _LONGEST)
