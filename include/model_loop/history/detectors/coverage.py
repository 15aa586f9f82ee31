"""Parts of a partition that are not there: days, hours, the end of a file; and its size."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np

from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY
from model_loop.findings import Finding
from model_loop.history.calendar import first_weekday, weekly_profile
from model_loop.history.limits import HistoryLimits
from model_loop.history.sketch import Sketch
from model_loop.history.table import Array

#: An hour in which fewer rows are expected may well have none by chance.
_LEAST_EXPECTED = 16.0
#: An hour with less than this share of what is expected is empty.
_EMPTY = 0.02
#: A day with less than this share of what is expected is thin; holidays are, but they are few.
_THIN = 0.7
_LEAST_THIN_DAYS = 4
#: A day of fewer rows is too small for a look at hours.
_LEAST_DAILY = 40.0
#: A message names so many days or hours.
_MOST_LISTED = 5


def coverage(sketch: Sketch, history: Sequence[Sketch], limits: HistoryLimits) -> Iterator[Finding]:
    """Find days and hours without rows; the profile of the week is the partition's own."""
    missing = _missing_hours(sketch, history)
    if missing is None:
        return
    expected, empty = missing
    share = float(expected[empty].sum() / expected.sum())
    if share < limits.coverage:
        return
    refused = share >= limits.coverage_refused
    yield Finding(
        "part_of_partition",
        None,
        sketch.partition,
        "refused" if refused else "warning",
        f"Rows are missing for {_described(sketch, empty)}: {share:.1%} of what a whole partition "
        "would hold. The file is probably only a part of it.",
        "Fetch the whole file again, or wait until it has been published completely.",
    )


def thin_days(
    sketch: Sketch, history: Sequence[Sketch], limits: HistoryLimits
) -> Iterator[Finding]:
    """Find weekdays, or other days, that have far fewer rows than history lets expect."""
    missing = _missing_hours(sketch, history) if history else None
    if missing is None:
        return
    expected = missing[0].reshape(-1, HOURS_PER_DAY).sum(axis=1)
    daily = sketch.per_day()
    certain = daily < expected - 4 * np.sqrt(expected)
    thin = certain & (daily < _THIN * expected) & (daily > _EMPTY * expected)
    share = float((expected - daily)[thin].sum() / expected.sum())
    if np.count_nonzero(thin) < _LEAST_THIN_DAYS or share < limits.thin:
        return
    yield Finding(
        "thin_days",
        None,
        sketch.partition,
        "warning",
        f"{np.count_nonzero(thin)} days have less than {_THIN:.0%} of the rows that such days "
        f"have in earlier partitions; {share:.1%} of the rows are missing.",
        "Compare the number of rows with what the publisher states.",
    )


def size(sketch: Sketch, history: Sequence[Sketch], limits: HistoryLimits) -> Iterator[Finding]:
    """Find a partition with many more or fewer rows than those before.

    Of hardly any rows nothing else can be compared, and no catastrophe has left so few.
    """
    if not history:
        return
    usual = float(np.median([_daily(one) for one in history]))
    now = _daily(sketch)
    whole_weeks = len(sketch.per_hour) >= DAYS_PER_WEEK * HOURS_PER_DAY
    fewer = limits.fewer if whole_weeks else limits.fewer_on_days
    if usual < 1 or fewer <= now / usual <= limits.more:
        return
    gone = whole_weeks and now / usual < limits.fewer_refused
    yield Finding(
        "number_of_rows",
        None,
        sketch.partition,
        "refused" if gone else "warning",
        f"There are {now:,.{0 if now >= 1 else 2}f} rows a day where earlier partitions "
        f"have {usual:,.0f}: the file may be a sample or a part, hold rows twice, or demand has "
        "changed.",
        "Compare the number of rows with what the publisher states.",
    )


def _daily(sketch: Sketch) -> float:
    return sketch.sound / max(len(sketch.per_hour) / HOURS_PER_DAY, 1)


def _missing_hours(sketch: Sketch, history: Sequence[Sketch]) -> tuple[Array, Array] | None:
    """Return the rows that are expected in each hour, and the hours that have none."""
    counts = sketch.per_hour.astype(np.float64)
    days = counts.reshape(-1, HOURS_PER_DAY)
    daily = days.sum(axis=1)
    present = daily[daily > 0]
    if not len(present):
        return None
    # The size of a whole day is known even if some days are missing.
    level = float(np.median(present))
    if level < _LEAST_DAILY:
        return None
    profile = weekly_profile(history or [sketch])
    hours = np.arange(len(counts))
    place = (
        (first_weekday(sketch) + hours // HOURS_PER_DAY) % DAYS_PER_WEEK
    ) * HOURS_PER_DAY + hours % HOURS_PER_DAY
    expected = level * profile.ravel()[place]
    whole_days = np.repeat(daily < _EMPTY * level, HOURS_PER_DAY)
    sparse = (expected >= _LEAST_EXPECTED) & (counts < _EMPTY * expected)
    if np.count_nonzero(sparse) == 1:
        # An hour is skipped when summer time begins.
        sparse[:] = False
    return expected, whole_days | sparse


def _described(sketch: Sketch, empty: Array) -> str:
    """Name the hours that have no rows, shortly."""
    days = empty.reshape(-1, HOURS_PER_DAY)
    gone = np.flatnonzero(days.all(axis=1))
    start = dt.datetime.fromtimestamp(sketch.start / 1e6, tz=dt.UTC)

    def day(number: int) -> str:
        return f"{start + dt.timedelta(days=int(number)):%Y-%m-%d}"

    if len(gone) == 0:
        hours = np.flatnonzero(days.any(axis=0))
        return f"{int(empty.sum())} hours ({_listed([f'{hour}:00' for hour in hours])})"
    if len(gone) == gone[-1] - gone[0] + 1 and len(gone) > 1:
        return f"{len(gone)} of {len(days)} days, {day(gone[0])} to {day(gone[-1])}"
    return f"{len(gone)} of {len(days)} days ({_listed([day(int(number)) for number in gone])})"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:_MOST_LISTED]) + (", …" if len(words) > _MOST_LISTED else "")
