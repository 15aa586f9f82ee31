"""Days and weeks as numbers: counted from 1970-01-01, weekdays from Monday."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    # The forms of DAGs are read without NumPy.
    from typing import Any

    import numpy as np
    import numpy.typing as npt

HOURS_PER_DAY = 24
SECONDS_PER_HOUR = 3_600
SECONDS_PER_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR
DAYS_PER_WEEK = 7
#: Names of the features that models get of the time of a row.
HOUR, WEEKDAY = "hour", "weekday"
#: Weekday of 1970-01-01: a Thursday.
FIRST_WEEKDAY = 3

_Days = TypeVar("_Days", "int", "npt.NDArray[Any]")


def days_of(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return days since 1970 of times in seconds since 1970, shape (rows,)."""
    days: npt.NDArray[np.int64] = (seconds // SECONDS_PER_DAY).astype("int64")
    return days


def weekday_of(day: _Days) -> _Days:
    """Return the weekday (0 is Monday) of days that are counted from 1970-01-01."""
    return (day + FIRST_WEEKDAY) % DAYS_PER_WEEK
