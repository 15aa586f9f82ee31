"""Clocks of times: those of UTC, or those of the place.

Offsets beside the times say it. Of times that carry none, summer time does: clocks of a place skip
an hour in spring, and what people do keeps its hours on them; in UTC, no hour is skipped, and it
moves by one. Without summer time, a column that holds the hour says it, or the hours of the night.
"""

from __future__ import annotations

import dataclasses
import re
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.types as pt

from model_loop.drafting.values import ColumnValues, Floats, TableValues, probe
from model_loop.tables.raw import RawTable
from model_loop.tables.values import to_values

UTC = "UTC"
_HOUR, _DAY, _HOURS = 3_600, 86_400, 24
#: Rows whose text is read for an offset.
_ROWS_READ = 10_000
#: Days before and after a change of the clocks that it is compared with.
_WINDOW = 28
#: Chance of no row in the skipped hour, if it was not skipped, below which the rows show it.
_UNLIKELY = 0.05
#: Rows in the skipped hours that errors may have, as a share of those of other days.
_ERRORS = 0.2
#: Distance of two profiles of the day beyond chance, and how much closer the better reading is.
_BEYOND_CHANCE, _CLOSER = 50.0, 0.5
#: Share of the rows whose hour another column holds.
_EQUAL = 0.99
#: Hours of the middle of a day, how much rows gather around it, and hours that two clocks differ.
_DAYTIME, _BY_DAY, _APART = (10, 17), 0.3, 3


#: An offset behind a time of day.
_OFFSET = re.compile(r"\d{2}:\d{2}[^+-]*?([+-])(\d{2})(?::?(\d{2}))?$")
#: Rows whose offsets are compared with those of all time zones.
_ROWS_COMPARED = 500


@dataclass(frozen=True)
class Offsets:
    """Offsets from UTC that times carry, and the places whose clocks had them.

    Parameters
    ----------
    column
        Column of the times.
    offsets
        Each offset, as files write it, the smallest first; of a typed column, its time zone.
    time_zones
        Time zones that had the same offset at each of these times; those of the continent that has
        most of them come first.
    """

    column: str
    offsets: tuple[str, ...]
    time_zones: tuple[str, ...]

    @property
    def time_zone(self) -> str:
        """Time zone whose clocks the times show: UTC where they are those of several places."""
        return next(iter(self.time_zones), UTC)

    @property
    def described(self) -> str:
        """The offsets and their place, as a sentence."""
        carried = f"The times of {self.column} carry {' and '.join(self.offsets)}"
        if not self.time_zones:
            return f"{carried}, which are the offsets of several places."
        others = len(self.time_zones) - 1
        beside = f" and {others} more" if others else ""
        return f"{carried}: the clocks of {self.time_zone}{beside}."


@dataclass(frozen=True)
class Clocks:
    """Clocks that times are written on, as far as the rows show them.

    Parameters
    ----------
    column
        Column of the times.
    time_zone
        Time zone of the place.
    moved
        Rows that fall into another month on the clocks of the place, if they are in UTC.
    stored_in
        Time zone of the clocks; empty if the rows do not show it.
    evidence
        The reason, as a clause for people.
    """

    column: str
    time_zone: str
    moved: int
    stored_in: str = ""
    evidence: str = "the rows do not show it"

    @property
    def default(self) -> str:
        """Time zone of the clocks: those of the place, where the rows show nothing."""
        return self.stored_in or self.time_zone

    @property
    def described(self) -> str:
        """The evidence and what depends on it, as a sentence."""
        rows = "1 row falls" if self.moved == 1 else f"{self.moved:,} rows fall"
        depends = f"; {rows} into another month in UTC" if self.moved else ""
        return f"{self.evidence[0].upper()}{self.evidence[1:]}{depends}."


def offsets_of(time: ColumnValues, raw: RawTable) -> Offsets | None:
    """Return the offsets beside the times of a column; None if there are none but UTC's."""
    column = raw.columns[time.name]
    if pt.is_timestamp(column.type):
        time_zone = column.type.tz
        known = time_zone != UTC and time_zone in zoneinfo.available_timezones()
        return Offsets(time.name, (time_zone,), (time_zone,)) if known else None
    if not (pt.is_string(column.type) or pt.is_large_string(column.type)):
        return None
    rows = probe(np.flatnonzero(time.present), _ROWS_READ)
    texts = column.take(pa.array(rows)).to_pylist()
    matches = [_OFFSET.search(text.strip()) for text in texts]
    seconds = np.array([_seconds(each) for each in matches])
    if not seconds.any():
        return None
    shown = {_seconds(each): f"{each[1]}{each[2]}:{each[3] or '00'}" for each in matches if each}
    some = probe(np.arange(len(rows)), _ROWS_COMPARED)
    places = _places(time.numbers[rows[some]], seconds[some])
    return Offsets(time.name, tuple(shown[each] for each in sorted(shown)), places)


def _seconds(offset: re.Match[str] | None) -> int:
    if offset is None:
        return 0
    sign, hours, minutes = offset.groups()
    return (int(hours) * _HOUR + int(minutes or 0) * 60) * (-1 if sign == "-" else 1)


def _places(moments: Floats, offsets: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Return the time zones that had these offsets from UTC, in seconds, at these moments."""
    fitting = [
        name
        for name in sorted(zoneinfo.available_timezones())
        if name[0].isupper()
        and "/" in name
        and not name.startswith("Etc/")
        and (on_clocks(moments, name) - moments == offsets).all()
    ]
    continents = Counter(name.partition("/")[0] for name in fitting)
    return tuple(sorted(fitting, key=lambda name: -continents[name.partition("/")[0]]))


def has_open_clocks(time: ColumnValues, raw: RawTable) -> bool:
    """Return whether the times of a column have a time of day, and no offset beside it."""
    column = raw.columns[time.name].slice(0, _ROWS_READ)
    elsewhere = dataclasses.replace(time.read_as, stored_in="Etc/GMT-5")
    written, _ = to_values(column, time.read_as)
    moved, _ = to_values(column, elsewhere)
    same = (written == moved) | written.isna()
    times = time.numbers[time.present]
    return not bool(same.any()) and bool((times % _DAY != 0).any())


def clocks_of(table: TableValues, time: ColumnValues, time_zone: str) -> Clocks:
    """Return what the rows show of the clocks of a time without offsets.

    Parameters
    ----------
    time_zone
        Time zone of the place.
    """
    times = time.numbers[time.present]
    there = on_clocks(times, time_zone)
    moved = int((_months(times) != _months(there)).sum())
    for stored_in, evidence in (
        *_of_hours(table, time, time_zone),
        *_of_changes(table, time, time_zone),
        *_of_nights(times, there, time_zone),
    ):
        return Clocks(time.name, time_zone, moved, stored_in, evidence)
    return Clocks(time.name, time_zone, moved)


def on_clocks(moments: Floats, time_zone: str) -> Floats:
    """Return seconds of UTC as seconds on the clocks of a place."""
    there = pd.DatetimeIndex(pd.to_datetime(moments, unit="s", utc=True)).tz_convert(time_zone)
    return there.tz_localize(None).to_numpy("M8[us]").astype(np.int64) / 1e6


def _months(seconds: Floats) -> npt.NDArray[np.int64]:
    return (seconds * 1e6).astype("M8[us]").astype("M8[M]").astype(np.int64)


def _hours(seconds: Floats) -> Floats:
    return seconds % _DAY // _HOUR


def _of_hours(table: TableValues, time: ColumnValues, time_zone: str) -> Iterator[tuple[str, str]]:
    """Yield the column that holds the hours of the place, where the times do not."""
    for column in table.features:
        if column.kind not in {"number", "category"} or not _HOURS / 2 <= column.distinct <= _HOURS:
            continue
        values = column.numbers
        if column.labels:
            if not all(label.isdecimal() for label in column.labels):
                continue
            codes = np.where(column.present, values, 0).astype(np.intp)
            values = np.array([float(each) for each in column.labels])[codes]
        rows = column.present & time.present
        here = _hours(time.numbers[rows])
        there = _hours(on_clocks(time.numbers[rows], time_zone))
        if (values[rows] == there).mean() >= _EQUAL > (values[rows] == here).mean():
            yield UTC, f"{column.name} is their hour in {time_zone}, if they are in UTC"


@dataclass(frozen=True)
class _ClockChange:
    """A change of the clocks: its first hour on those before, and by how many they are moved."""

    at: float
    hours: float


def _changes(times: Floats, time_zone: str) -> list[_ClockChange]:
    """Return the changes of a place's clocks between the first and the last time."""
    first, last = float(times.min()) // _HOUR * _HOUR, float(times.max())
    moments = np.arange(first, last + _HOUR, _HOUR)
    offsets = on_clocks(moments, time_zone) - moments
    places = np.flatnonzero(np.diff(offsets))
    return [
        _ClockChange(
            float(moments[each + 1] + offsets[each]), float(np.diff(offsets)[each] / _HOUR)
        )
        for each in places
    ]


def _of_changes(
    table: TableValues, time: ColumnValues, time_zone: str
) -> Iterator[tuple[str, str]]:
    times = time.numbers[time.present]
    changes = _changes(times, time_zone)
    if not changes:
        return
    yield from _of_skipped(times, [each.at for each in changes if each.hours > 0], time_zone)
    counts = _daily(times, np.ones(len(times)), changes)
    stays, _, earlier = _distances(counts)
    if _is_closer(earlier, stays):
        yield UTC, f"the hours of the day move when the clocks of {time_zone} change"
    if _is_closer(stays, earlier):
        yield time_zone, f"the hours of the day stay when the clocks of {time_zone} change"
    target = table.outcome
    if target.kind != "number":
        return
    # Events that follow the sun move on clocks, and not in UTC: hours that stay show nothing here.
    sums = _daily(times, np.nan_to_num(target.numbers[time.present]), changes)
    stays, later, earlier = _distances(sums)
    for distance, other, stored_in in ((earlier, later, UTC), (later, earlier, time_zone)):
        if _is_closer(distance, min(stays, other)):
            yield stored_in, f"{target.name} moves by an hour when the clocks of {time_zone} change"


def _is_closer(one: float, other: float) -> bool:
    """Return whether a distance of profiles is smaller than another one by more than chance."""
    return other - one > _BEYOND_CHANCE and one < _CLOSER * other


def _of_skipped(times: Floats, skipped: list[float], time_zone: str) -> Iterator[tuple[str, str]]:
    """Yield what the hours say that the clocks of a place skip."""
    hours = times // _HOUR * _HOUR
    chance, rows, usual = 1.0, 0, 0.0
    for at in skipped:
        around = [at + day * _DAY for day in range(-_WINDOW // 2, _WINDOW // 2 + 1) if day]
        counts = np.array([np.count_nonzero(hours == each) for each in around])
        rows += int(np.count_nonzero(hours == at))
        usual += float(counts.mean())
        chance *= (np.count_nonzero(counts == 0) + 0.5) / (len(counts) + 1)
    if rows > _ERRORS * usual:
        verb = "row is" if rows == 1 else "rows are"
        yield UTC, f"{rows:,} {verb} in hours that the clocks of {time_zone} skip"
    elif not rows and chance < _UNLIKELY:
        number = "the hour" if len(skipped) == 1 else f"the {len(skipped)} hours"
        yield (
            time_zone,
            f"no row is in {number} that the clocks of {time_zone} skip, unlike on other days",
        )


@dataclass(frozen=True)
class _Profiles:
    """Sums by day and hour before and after a change of the clocks, each of shape (days, 24)."""

    before: Floats
    after: Floats
    hours: int


def _daily(times: Floats, weights: Floats, changes: list[_ClockChange]) -> list[_Profiles]:
    found = []
    for change in changes:
        day = change.at // _DAY * _DAY
        around = list[Floats]()
        for first in (day - _WINDOW * _DAY, day + _DAY):
            inside = (times >= first) & (times < first + _WINDOW * _DAY)
            hours = ((times[inside] - first) // _HOUR).astype(np.intp)
            sums = np.bincount(hours, weights[inside], minlength=_WINDOW * _HOURS)
            daily: Floats = sums.astype(float).reshape(_WINDOW, _HOURS)
            around.append(daily[daily.any(axis=1)])
        if min(map(len, around)) >= _WINDOW / 2:
            found.append(_Profiles(around[0], around[1], round(change.hours)))
    return found


def _distances(profiles: list[_Profiles]) -> tuple[float, float, float]:
    """Return how far the hours after the changes are from those before.

    As they are, an hour later, and an hour earlier for each hour that the clocks went ahead; in
    squared standard errors, the sum of all changes.
    """
    moved = []
    for each in profiles:
        error = each.before.var(axis=0) / len(each.before)
        before, after = each.before.mean(axis=0), each.after.mean(axis=0)
        for hours in (0, each.hours, -each.hours):
            noise = np.roll(error, hours) + each.after.var(axis=0) / len(each.after)
            usable = noise > 0
            squared = (np.roll(before, hours) - after)[usable] ** 2 / noise[usable]
            moved.append(float(squared.sum()))
    if not moved:
        return 0.0, 0.0, 0.0
    stays, later, earlier = np.array(moved).reshape(-1, 3).sum(axis=0)
    return float(stays), float(later), float(earlier)


def _of_nights(here: Floats, there: Floats, time_zone: str) -> Iterator[tuple[str, str]]:
    """Yield the clocks on which most rows are by day, where one alone has them then."""
    middles = []
    for times in (here, there):
        mean = np.exp(2j * np.pi * times / _DAY).mean()
        if abs(mean) < _BY_DAY:
            return
        middles.append(float(np.angle(mean) / (2 * np.pi) * _HOURS % _HOURS))
    days = [_DAYTIME[0] <= middle <= _DAYTIME[1] for middle in middles]
    apart = (middles[0] - middles[1]) % _HOURS
    if days[0] != days[1] and min(apart, _HOURS - apart) >= _APART:
        kind = "by day" if days[0] else "by night"
        yield (
            time_zone if days[0] else UTC,
            f"most rows are around {middles[0]:.0f} o'clock as written, {kind}",
        )
