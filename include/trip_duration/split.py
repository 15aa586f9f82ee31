"""Time decides which trips are learned from, tuned on and judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from model_loop.errors import ContractError
from model_loop.training_set.types import Period
from trip_duration.batches import TripBatch
from trip_duration.cleaning import TripArrays
from trip_duration.contract.rules import Mask, month_bounds
from trip_duration.months import Month, MonthSplit
from trip_duration.services import DURATION, PICKUP_TIME, Service

_BEGINNING, _END = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True)
class SplitTrips:
    """Trips by what they are for.

    Parameters
    ----------
    train, validation, test
        Trips in the order of their files; `test` may be empty.
    periods
        First and last pick-up of each part that has trips.
    strays
        Number of trips that belong to none of them; see `SplitCollector`.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    periods: Mapping[str, Period]
    strays: int


class SplitCollector:
    """Takes the trips of months, batch by batch, and cuts them by pick-up time.

    Published files hold a few trips of other times. Those of the train and validation files are cut
    at the start of the first validation month: earlier rows belong to train. Rows of these files at
    or after the start of the first test month, and earlier rows of the test files, are left out, so
    that nothing from the time of the test is learned from.

    Parameters
    ----------
    split
        Which month is for what.
    service, columns
        Whose trips, and which of our columns of them.
    most
        The most trips that may come, of all months together.
    """

    def __init__(
        self, split: MonthSplit, service: Service, columns: Sequence[str], most: int
    ) -> None:
        boundary = month_bounds(min(split.validation))[0]
        end = month_bounds(min(split.test))[0] if split.test else _END
        names = (*columns, DURATION)
        self._split = split
        self._train = _TimeSpan(TripArrays(service, names, most), _BEGINNING, boundary)
        self._validation = _TimeSpan(TripArrays(service, names, most), boundary, end)
        self._test = _TimeSpan(TripArrays(service, names, most), end, _END)
        self._parts: tuple[_TimeSpan, ...] = ()
        self._strays = 0

    def begin(self, month: Month) -> None:
        """Say which month's trips come next."""
        learned = month in (*self._split.train, *self._split.validation)
        self._parts = (self._train, self._validation) if learned else (self._test,)

    def append(self, batch: TripBatch, wanted: Mask) -> None:
        """Take the wanted trips of a batch."""
        pickup = batch[PICKUP_TIME]
        first, last = int(pickup.min(initial=_END)), int(pickup.max(initial=_BEGINNING))
        taken = sum(part.append(batch, wanted, first, last) for part in self._parts)
        self._strays += int(np.count_nonzero(wanted)) - taken

    def finish(self) -> SplitTrips:
        """All trips that were taken.

        Raises
        ------
        ContractError
            If no trip is left to learn from or to tune on.
        """
        parts = {"train": self._train, "validation": self._validation, "test": self._test}
        for name in ("train", "validation"):
            if not parts[name].trips.rows:
                raise ContractError(
                    f"The {name} months of {', '.join(map(str, self._split.all))}",
                    "hold no trip of their time",
                    "Check that the files hold the months that their names say.",
                )
        return SplitTrips(
            **{name: part.trips.frame() for name, part in parts.items()},
            periods={name: part.period() for name, part in parts.items() if part.trips.rows},
            strays=self._strays,
        )


@dataclass
class _TimeSpan:
    """The trips between two moments, in microseconds."""

    trips: TripArrays
    start: int
    end: int
    first: int = _END
    last: int = _BEGINNING

    def append(self, batch: TripBatch, wanted: Mask, first: int, last: int) -> int:
        """Take the wanted trips of this part; return how many they are.

        Parameters
        ----------
        first, last
            The batch's first and last pick-up.
        """
        if last < self.start or first >= self.end:
            return 0
        pickup, mine = batch[PICKUP_TIME], wanted
        if first < self.start:
            mine = mine & (pickup >= self.start)
        if last >= self.end:
            mine = mine & (pickup < self.end)
        before = self.trips.rows
        self.trips.append(batch, mine)
        if (first < self.first or last > self.last) and self.trips.rows > before:
            times = pickup[mine]
            self.first = min(self.first, int(times.min()))
            self.last = max(self.last, int(times.max()))
        return self.trips.rows - before

    def period(self) -> Period:
        """First and last pick-up."""
        first, last = (
            str(np.datetime64(moment, "us").astype("datetime64[s]"))
            for moment in (self.first, self.last)
        )
        return Period(first, last)
