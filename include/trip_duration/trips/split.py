"""Time decides which trips are learned from, tuned on and judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from trip_duration.errors import ContractError, InvalidInputError
from trip_duration.trips.months import Month, MonthSplit
from trip_duration.trips.services import PICKUP_TIME


@dataclass(frozen=True)
class SplitTrips:
    """Trips by what they are for.

    Parameters
    ----------
    train, validation, test
        Trips in the order of their files; `test` may be empty.
    strays
        Number of trips that belong to none of them; see `split_trips`.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    strays: int


def split_trips(months: Mapping[Month, pd.DataFrame], split: MonthSplit) -> SplitTrips:
    """Cut the months by pick-up time.

    Published files hold a few trips of other times. Those of the train and validation files are
    cut at the start of the first validation month: what lies before belongs to train. What lies at
    or after the start of the first test month, and what the test files hold from before it, is left
    out, so that nothing from the time of the test is learned from.

    Raises
    ------
    InvalidInputError
        If a month of the split is missing.
    ContractError
        If no trip is left to learn from or to tune on.
    """
    missing = [str(month) for month in split.all if month not in months]
    if missing:
        raise InvalidInputError(
            f"Month {', '.join(missing)}", "was not prepared", "Prepare every month of the split."
        )
    known = pd.concat([months[month] for month in (*split.train, *split.validation)])
    unseen = pd.concat([months[month] for month in split.test]) if split.test else known.iloc[:0]
    early, late = _cut(known, min(split.validation))
    strays = 0
    if split.test:
        start = min(split.test)
        (early, strays_early), (late, strays_late) = _cut(early, start), _cut(late, start)
        strays_test, unseen = _cut(unseen, start)
        strays = len(strays_early) + len(strays_late) + len(strays_test)
    for name, trips in (("train", early), ("validation", late)):
        if trips.empty:
            raise ContractError(
                f"The {name} months of {', '.join(map(str, split.all))}",
                "hold no trip of their time",
                "Check that the files hold the months that their names say.",
            )
    train, validation, test = (part.reset_index(drop=True) for part in (early, late, unseen))
    return SplitTrips(train, validation, test, strays)


def _cut(trips: pd.DataFrame, month: Month) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trips picked up before the month's start, and the others."""
    before = trips[PICKUP_TIME].to_numpy() < pd.Timestamp(month.start).to_datetime64()
    return trips[before], trips[~before]
