"""Profile of the trips of a month: counts that are added up batch by batch.

Every number comes from counts in fixed bins and from sums, so that memory depends on neither the
number of trips nor the size of a batch, and profiles do not depend on how a month was cut.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.datasets.columns import Scale
from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY
from trip_duration.batches import ZONES, Array, TripBatch
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.contract.rules import MINUTES_PER_DAY, Mask
from trip_duration.months import Month
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    DURATION,
    LAST_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
)

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Number of the most frequent values, and of the most frequent pairs of zones, that are named.
MOST_FREQUENT = 10

_MICROSECONDS_PER_HOUR = 3_600 * 1_000_000
_ZONES = LAST_ZONE + 1
#: Numbers of a byte; so many different ones are counted by comparing, each in a tenth of the time
#: that NumPy takes to count all numbers by their value.
_BYTE, _FEW_NUMBERS = 256, 20
#: With more gaps between them, rows are picked by a mask.
_FEW_GAPS = 64


#: Bins of each column that is profiled, by its name; minutes to the twentieth, up to a day.
SCALES: Mapping[str, Scale] = {
    **{column.name: column.scale for column in TRIP_COLUMNS if column.scale},
    DURATION: Scale(0.05, MINUTES_PER_DAY),
}


@dataclass(frozen=True)
class ColumnProfile:
    """One column of a month.

    Parameters
    ----------
    name
        Our name of it.
    known, missing
        Number of trips with and without a value.
    mean, standard_deviation, minimum, maximum
        Of the known values; None where there is none.
    quantiles
        Values below which a share of the trips lies, to the width of the column's bins.
    distinct
        Number of distinct values, to the width of the bins.
    most_frequent
        The most frequent values with their counts, the most frequent first.
    """

    name: str
    known: int
    missing: int
    mean: float | None
    standard_deviation: float | None
    minimum: float | None
    maximum: float | None
    quantiles: Mapping[str, float]
    distinct: int
    most_frequent: tuple[tuple[float, int], ...]

    @property
    def missing_share(self) -> float:
        """Share of trips without a value."""
        return self.missing / max(self.known + self.missing, 1)


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; the last bin takes everything beyond.

    Parameters
    ----------
    edges
        Lower edges of the bins.
    counts
        Number of trips in each.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ZoneProfile:
    """The trips that begin in a zone: how many, and their means in minutes and miles."""

    zone: int
    trips: int
    mean_duration: float
    mean_distance: float


@dataclass(frozen=True)
class PairProfile:
    """Number of trips from one zone to another."""

    pickup: int
    dropoff: int
    trips: int


@dataclass(frozen=True)
class MonthProfile:
    """Profile of the trips of a month.

    Parameters
    ----------
    service, month
        Which month.
    trips
        Number of sound trips, of any duration up to a day.
    columns
        Each column.
    durations, distances
        Histograms in minutes and miles.
    per_day
        Trips by day of the month, the first day first.
    per_weekday_and_hour
        Trips by weekday, Monday first, and by hour of the day.
    zones
        The zones where trips begin.
    pairs
        The most frequent pairs of zones.
    """

    service: str
    month: str
    trips: int
    columns: tuple[ColumnProfile, ...]
    durations: Histogram
    distances: Histogram
    per_day: tuple[int, ...]
    per_weekday_and_hour: tuple[tuple[int, ...], ...]
    zones: tuple[ZoneProfile, ...]
    pairs: tuple[PairProfile, ...]

    def column(self, name: str) -> ColumnProfile:
        """The profile of a column."""
        return next(column for column in self.columns if column.name == name)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON."""
        return asdict(self)


class ProfileBuilder:
    """Adds up the trips of a month.

    Parameters
    ----------
    service, month
        Which month.
    """

    def __init__(self, service: str, month: Month) -> None:
        self._service = service
        self._month = month
        self._start = int(np.datetime64(month.start, "us").astype(np.int64))
        self._days = (month.next().start - month.start).days
        self._columns: dict[str, _ColumnCounts] = {}
        self._per_hour = np.zeros(self._days * HOURS_PER_DAY, dtype=np.int64)
        self._zone_minutes = np.zeros(_ZONES)
        self._zone_miles = np.zeros(_ZONES)
        self._pairs = np.zeros((_ZONES, _ZONES), dtype=np.int64)

    def add(self, batch: TripBatch, sound: Mask) -> None:
        """Add the sound trips of a batch."""
        trips = _sound_trips(batch, sound)
        hours = trips[PICKUP_TIME] - self._start
        hours //= _MICROSECONDS_PER_HOUR
        self._per_hour += np.bincount(hours, minlength=len(self._per_hour))
        pickup = trips[PICKUP_ZONE].astype(np.int64)
        self._zone_minutes += np.bincount(pickup, trips[DURATION], minlength=_ZONES)
        self._zone_miles += np.bincount(pickup, trips[DISTANCE], minlength=_ZONES)
        pickup *= _ZONES
        pickup += trips[DROPOFF_ZONE]
        self._pairs += np.bincount(pickup, minlength=self._pairs.size).reshape(self._pairs.shape)
        for name, scale in SCALES.items():
            if name not in trips:
                continue
            if name not in self._columns:
                self._columns[name] = _ColumnCounts(name, scale)
            if name not in ZONES:
                self._columns[name].add(trips[name])

    def build(self) -> MonthProfile:
        """The profile of what was added."""
        # The pairs have counted both of their zones.
        for name, axis in zip(ZONES, (1, 0), strict=True):
            if name in self._columns:
                self._columns[name] = _ColumnCounts(name, SCALES[name])
                self._columns[name].add_whole(self._pairs.sum(axis=axis))
        return MonthProfile(
            service=self._service,
            month=str(self._month),
            trips=int(self._per_hour.sum()),
            columns=tuple(column.profile() for column in self._columns.values()),
            durations=self._histogram(DURATION, 1.0, 60),
            distances=self._histogram(DISTANCE, 0.5, 40),
            per_day=_whole(self._per_hour.reshape(-1, HOURS_PER_DAY).sum(axis=1)),
            per_weekday_and_hour=self._per_weekday_and_hour(),
            zones=self._zones(),
            pairs=self._most_frequent_pairs(),
        )

    def _histogram(self, name: str, width: float, bins: int) -> Histogram:
        column = self._columns.get(name)
        edges = tuple(width * number for number in range(bins + 1))
        if column is None:
            return Histogram(edges, (0,) * len(edges))
        centres = np.arange(len(column.counts)) * column.scale.width
        # The bins of a column are finer, and their centres lie between the edges.
        indices = np.minimum((centres / width + 1e-9).astype(np.int64), bins)
        counts = np.bincount(indices, column.counts, minlength=bins + 1)
        return Histogram(edges, _whole(counts))

    def _per_weekday_and_hour(self) -> tuple[tuple[int, ...], ...]:
        table = np.zeros((DAYS_PER_WEEK, HOURS_PER_DAY), dtype=np.int64)
        first = dt.date(self._month.year, self._month.number, 1).weekday()
        for day, hours in enumerate(self._per_hour.reshape(-1, HOURS_PER_DAY)):
            table[(first + day) % DAYS_PER_WEEK] += hours
        return tuple(_whole(row) for row in table)

    def _zones(self) -> tuple[ZoneProfile, ...]:
        trips = self._pairs.sum(axis=1)
        return tuple(
            ZoneProfile(
                int(zone),
                int(trips[zone]),
                float(self._zone_minutes[zone] / trips[zone]),
                float(self._zone_miles[zone] / trips[zone]),
            )
            for zone in np.flatnonzero(trips)
        )

    def _most_frequent_pairs(self) -> tuple[PairProfile, ...]:
        pairs = self._pairs.ravel()
        order = np.argsort(-pairs, kind="stable")[:MOST_FREQUENT]
        return tuple(
            PairProfile(int(pair // _ZONES), int(pair % _ZONES), int(pairs[pair]))
            for pair in order
            if pairs[pair]
        )


def _sound_trips(batch: TripBatch, sound: Mask) -> Mapping[str, Array]:
    """Return what is profiled of the sound trips, without a copy where all of them are."""
    names = [name for name in (PICKUP_TIME, *SCALES) if name in batch.columns]
    gaps = np.flatnonzero(~sound)
    if not len(gaps):
        return {name: batch[name] for name in names}
    if len(gaps) > _FEW_GAPS:
        return {name: batch[name][sound] for name in names}
    # Stretches between a few gaps are copied several times as fast as a mask picks their rows.
    stretches = list(zip([0, *(gaps + 1)], [*gaps, batch.rows], strict=True))
    return {
        name: np.concatenate([batch[name][first:end] for first, end in stretches]) for name in names
    }


class _ColumnCounts:
    """Counts and sums of one column."""

    def __init__(self, name: str, scale: Scale) -> None:
        self.name = name
        self.scale = scale
        self.counts = np.zeros(scale.bins, dtype=np.int64)
        self.missing = 0
        self.sum = self.squares = 0.0
        self.minimum, self.maximum = np.inf, -np.inf

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add values; NaN is a missing one."""
        missing = np.isnan(values)
        known = values[~missing] if missing.any() else values
        self.missing += len(values) - len(known)
        if not len(known):
            return
        self.minimum = min(self.minimum, lowest := float(known.min()))
        self.maximum = max(self.maximum, highest := float(known.max()))
        if self.scale.whole and lowest >= 0 and highest < _BYTE:
            numbers = known.astype(np.uint8)
            if np.array_equal(numbers, known):
                self.add_whole(_counted(numbers, int(lowest), int(highest)))
                return
        # Clipped before anything is computed: a distance may be nearly the largest number.
        bins = np.clip(known, 0.0, self.scale.end)
        bins /= self.scale.width
        np.rint(bins, out=bins)
        self.counts += np.bincount(bins.astype(np.int64), minlength=self.scale.bins)
        with np.errstate(over="ignore"):
            self.sum += float(known.sum())
            # Not np.dot, whose threads wait for each other on a busy machine.
            self.squares += float(np.square(known, out=bins).sum())

    def add_whole(self, counts: npt.NDArray[np.int64]) -> None:
        """Add whole numbers by how many there are of each, shape (numbers,), from 0 on."""
        numbers = np.flatnonzero(counts)
        if not len(numbers):
            return
        counts = counts[numbers]
        np.add.at(self.counts, np.minimum(numbers, len(self.counts) - 1), counts)
        self.sum += float(counts @ numbers)
        self.squares += float(counts @ numbers**2)
        self.minimum = min(self.minimum, float(numbers[0]))
        self.maximum = max(self.maximum, float(numbers[-1]))

    def profile(self) -> ColumnProfile:
        """Return the profile of the values."""
        known = int(self.counts.sum())
        mean = self.sum / known if known else None
        # Not a power, which is an error where a product of floats is infinite.
        variance = max(self.squares / known - mean * mean, 0.0) if mean is not None else None
        return ColumnProfile(
            name=self.name,
            known=known,
            missing=self.missing,
            mean=mean,
            standard_deviation=None if variance is None else variance**0.5,
            minimum=self.minimum if known else None,
            maximum=self.maximum if known else None,
            quantiles=self._quantiles(known),
            distinct=int(np.count_nonzero(self.counts)),
            most_frequent=self._most_frequent(),
        )

    def _quantiles(self, known: int) -> dict[str, float]:
        if not known:
            return {}
        cumulated = np.cumsum(self.counts)
        bins = (int(np.searchsorted(cumulated, share * known)) for share in QUANTILES)
        return {
            f"{share:g}": self._value(bin_) for share, bin_ in zip(QUANTILES, bins, strict=True)
        }

    def _most_frequent(self) -> tuple[tuple[float, int], ...]:
        order = np.argsort(-self.counts, kind="stable")[:MOST_FREQUENT]
        return tuple(
            (self._value(int(bin_)), int(self.counts[bin_])) for bin_ in order if self.counts[bin_]
        )

    def _value(self, bin_: int) -> float:
        return round(bin_ * self.scale.width, 10)


def _counted(numbers: npt.NDArray[np.uint8], lowest: int, highest: int) -> npt.NDArray[np.int64]:
    """Count numbers by their value, as np.bincount."""
    if highest - lowest >= _FEW_NUMBERS:
        return np.bincount(numbers)
    counts = np.zeros(highest + 1, dtype=np.int64)
    for number in range(lowest, highest + 1):
        counts[number] = np.count_nonzero(numbers == number)
    return counts


def _whole(counts: npt.NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(count) for count in counts)
