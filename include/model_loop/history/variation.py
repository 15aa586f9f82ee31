"""Differences between the partitions of a table that are its own way, and no damage.

The limits of `history.limits` take rows for independent, and the days of a table for alike. Where
that is broken, sound partitions give findings, too. So history is compared with itself: what it
finds there is no finding.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY, weekday_of
from model_loop.findings import Finding
from model_loop.history.calendar import MICROSECONDS_PER_DAY
from model_loop.history.sketch import MICROSECONDS_PER_HOUR, Sketch
from model_loop.history.table import Array, ComparedTable

#: Codes of findings about distributions and relations, which no single row proves.
VARYING = frozenset(
    {
        "another_clock",
        "distribution",
        "noisy_column",
        "precision",
        "rare_values",
        "shuffled_column",
        "single_value",
        "thin_days",
        "vanished_values",
        "weaker_relation",
    }
)
#: Fewer partitions do not tell how much partitions vary: they refuse nothing.
LEAST_PARTITIONS = 3
#: A kind of finding that so many of the partitions of history give says nothing of the next one.
_USUAL = 0.25
#: Rows of a partition that tell whether a column follows the calendar.
_TRIED_ROWS = 2_000
#: Share of the rows that do; some rows stand on the other side of midnight in another time zone.
_FOLLOW, _SAME = 0.98, 0.5


def without_calendar(table: ComparedTable, sketches: Sequence[Sketch]) -> ComparedTable:
    """Return the table without the columns that say when a row was: month, year, hour, week.

    Each partition has others of their values than those before it, and ought to. A column is left
    out if it counts along with a part of the date, or has one value in each partition and never the
    same again.

    Parameters
    ----------
    sketches
        The partition and its history. A column that follows the calendar in history alone is
        compared.
    """
    if len(sketches) < 2:  # noqa: PLR2004 - one partition has nothing to be compared with
        return table
    times = np.concatenate([_sampled(sketch, table.time) for sketch in sketches])
    parts, past = list(_parts_of_dates(times)), len(times) - len(_sampled(sketches[-1], table.time))
    followed = set()
    for column in table.columns:
        if column.name in (table.time, table.target):
            continue
        values = [_sampled(sketch, column.name).astype(np.float64) for sketch in sketches]
        if _counts_along(np.concatenate(values[:-1]), [part.first(past) for part in parts]):
            follows = _counts_along(np.concatenate(values), parts)
        else:
            follows = _never_again(values)
        if follows:
            followed.add(column.name)
    names = {column.name for column in table.columns} - followed
    return table.limited_to(frozenset(names))


def told(
    findings: Sequence[Finding],
    history: Sequence[Sketch],
    compare: Callable[[Sketch, Sequence[Sketch]], Iterable[Finding]],
) -> tuple[Finding, ...]:
    """Return the findings that say something of a partition, and are not the way of its table.

    A varying finding is reported if the partitions of history do not differ so from each other:
    each of them is compared with all others, as the partition was. One that does takes the word
    from a warning; it may be damaged itself, so that a refusal needs more of them.

    Parameters
    ----------
    history
        Partitions that it was compared with. Few of them refuse nothing, and no varying finding is
        reported.
    compare
        Compares a partition with others.
    """
    if len(history) < LEAST_PARTITIONS:
        return tuple(
            dataclasses.replace(each, level="warning")
            for each in findings
            if each.code not in VARYING
        )
    doubted = {each.code for each in findings} & VARYING
    usual, counts = set[str](), Counter[str]()
    for place, sketch in enumerate(history):
        if doubted <= usual:
            break
        others = [*history[:place], *history[place + 1 :]]
        counts.update({each.code for each in compare(sketch, others)} & doubted)
        usual = {code for code in doubted if counts[code] >= _USUAL * len(history)}
    return tuple(
        each
        for each in findings
        if each.code not in usual and (each.level == "refused" or not counts[each.code])
    )


def _sampled(sketch: Sketch, name: str) -> Array:
    return sketch.sample[name][:: max(sketch.sampled // _TRIED_ROWS, 1)]


@dataclasses.dataclass(frozen=True)
class _DatePart:
    """A part of dates as a number; of period 0 if it never comes again.

    Its clock may be off by `tolerance`: that of another time zone, or in winter.
    """

    values: Array
    period: int
    tolerance: int = 0

    def first(self, number: int) -> _DatePart:
        """Return that of the first rows."""
        return dataclasses.replace(self, values=self.values[:number])

    def wrapped(self, values: Array) -> Array:
        """Return values in their period."""
        return np.mod(values, self.period) if self.period else values


def _parts_of_dates(times: Array) -> Iterator[_DatePart]:
    months = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    days = times // MICROSECONDS_PER_DAY
    first_days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    years = months // 12
    first_of_year = years.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    yield _DatePart(years, 0)
    yield _DatePart(months // 3, 4)
    yield _DatePart(months, 12)
    yield _DatePart(days - first_days, 31, 1)
    yield _DatePart(days - first_of_year, 365, 1)
    yield _DatePart((days - first_of_year) // DAYS_PER_WEEK, 52)
    yield _DatePart(weekday_of(days), DAYS_PER_WEEK, 1)
    yield _DatePart(times // MICROSECONDS_PER_HOUR, HOURS_PER_DAY, 1)


def _counts_along(values: Array, parts: Iterable[_DatePart]) -> bool:
    """Return whether whole numbers are a part of the dates, or as many more in each row."""
    if not np.array_equal(values, np.round(values)) or len(np.unique(values)) == 1:
        return False
    for part in parts:
        if len(np.unique(part.wrapped(part.values))) == 1:
            continue
        ahead, counts = np.unique(part.wrapped(values - part.values), return_counts=True)
        away = np.abs(ahead - ahead[np.argmax(counts)])
        away = np.minimum(away, part.period - away) if part.period else away
        follow = counts[away <= part.tolerance].sum()
        if counts.max() >= _SAME * len(values) and follow >= _FOLLOW * len(values):
            return True
    return False


def _never_again(values: Sequence[Array]) -> bool:
    """Return whether each partition has a value of its own."""
    usual = []
    for each in values:
        found, counts = np.unique(each[np.isfinite(each)], return_counts=True)
        if not len(found) or counts.max() < _FOLLOW * len(each):
            return False
        usual.append(found[np.argmax(counts)])
    return len(set(usual)) == len(usual)
