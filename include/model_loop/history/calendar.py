"""Days of the week: a partition of a part of them is compared with the same days of history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY, weekday_of
from model_loop.history.sketch import MICROSECONDS_PER_HOUR, Sketch
from model_loop.history.table import Array

MICROSECONDS_PER_DAY = HOURS_PER_DAY * MICROSECONDS_PER_HOUR
#: Limits are those of a month; a shorter partition varies more.
_DAYS_OF_MONTH = 28
_WORKING_DAYS = frozenset(range(5))
#: Fewer rows of the same days of the week are not enough history.
_LEAST_ROWS = 1_000
#: One earlier day does not tell how much such days vary.
_LEAST_PARTITIONS = 2
#: Partitions of history: the latest so many, or as many as cover so many days.
LATEST, _LATEST_DAYS = 6, 42


@dataclass(frozen=True)
class Calendar:
    """Days of the week on which a partition can be compared with its history.

    Parameters
    ----------
    weekdays
        Those of history that count, Monday as 0.
    alike
        Whether they are the days of the partition, and often enough in history: otherwise the
        hours of the day may differ for good reasons.
    widening
        Factor for limits on what changes from day to day: a month averages it out, a day does not.
    """

    weekdays: frozenset[int]
    alike: bool
    widening: float

    @classmethod
    def of(cls, sketch: Sketch, history: Sequence[Sketch]) -> Calendar:
        """Choose the days of history for a partition."""
        days = _days(sketch)
        widening = max(1.0, math.sqrt(_DAYS_OF_MONTH / days))
        wanted, everything = _weekdays(sketch), frozenset(range(DAYS_PER_WEEK))
        if days >= DAYS_PER_WEEK:
            covered = sum(_days(one) for one in history) >= DAYS_PER_WEEK
            return cls(everything, covered, widening)
        same_kind = _WORKING_DAYS if wanted <= _WORKING_DAYS else everything - _WORKING_DAYS
        for weekdays in (wanted, same_kind if wanted <= same_kind else everything):
            rows = [_rows_on(one, weekdays) for one in history]
            if sum(rows) >= _LEAST_ROWS:
                enough = np.count_nonzero(rows) >= _LEAST_PARTITIONS
                return cls(weekdays, weekdays == wanted and bool(enough), widening)
        return cls(everything, alike=False, widening=widening)

    def chosen(self, times: Array) -> npt.NDArray[np.bool_]:
        """Return the rows that count, by their times."""
        return np.isin(_weekday_of(times), list(self.weekdays))


def latest(history: Sequence[Sketch]) -> Sequence[Sketch]:
    """Return the partitions that serve as history: the latest, more of them if they are short."""
    days = 0
    for number, sketch in enumerate(reversed(history), start=1):
        days += _days(sketch)
        if number >= LATEST and days >= _LATEST_DAYS:
            return history[-number:]
    return history


def first_weekday(sketch: Sketch) -> int:
    """Return the weekday of the first day, Monday as 0."""
    return int(_weekday_of(np.array([sketch.start]))[0])


def weekly_profile(sketches: Sequence[Sketch]) -> Array:
    """Return the rows of each hour of the week as a share of a usual day, shape (7, 24)."""
    total, days = np.zeros((DAYS_PER_WEEK, HOURS_PER_DAY)), np.zeros(DAYS_PER_WEEK)
    for sketch in sketches:
        counts = sketch.per_hour.reshape(-1, HOURS_PER_DAY)
        daily = counts.sum(axis=1)
        level = float(np.median(daily[daily > 0])) if daily.any() else 1.0
        for number, day in enumerate(counts):
            if daily[number]:
                weekday = (first_weekday(sketch) + number) % DAYS_PER_WEEK
                total[weekday] += day / level
                days[weekday] += 1
    overall = total.sum(axis=0) / max(days.sum(), 1)
    known = days > 0
    total[known] /= days[known, None]
    total[~known] = overall
    return total


def _weekday_of(times: Array) -> Array:
    return weekday_of(times // MICROSECONDS_PER_DAY)


def _days(sketch: Sketch) -> int:
    return max(len(sketch.per_hour) // HOURS_PER_DAY, 1)


def _weekdays(sketch: Sketch) -> frozenset[int]:
    first = first_weekday(sketch)
    return frozenset((first + day) % DAYS_PER_WEEK for day in range(_days(sketch)))


def _rows_on(sketch: Sketch, weekdays: frozenset[int]) -> int:
    daily, first = sketch.per_day(), first_weekday(sketch)
    on = [rows for day, rows in enumerate(daily) if (first + day) % DAYS_PER_WEEK in weekdays]
    return min(int(sum(on)), sketch.sampled)
