"""Kinds of damage that were written after the limits were set, and ran before any was changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from tests.trip_duration.history.kinds import (
    AMOUNT,
    DISTANCE,
    DROPOFF,
    PICKUP,
    ZONES,
    Change,
    Kind,
    Rows,
    minutes_of,
    with_minutes,
)
from tests.trip_duration.history.months import generated

_ZONE_COUNT = 265
Numbers = Callable[[pd.DataFrame, np.random.Generator], Any]


def _set(column: str, compute: Numbers) -> Change:
    """Set a column of the damaged rows to something that is computed from them."""

    def change(
        month: pd.DataFrame, rows: Rows, _: pd.DataFrame, random: np.random.Generator
    ) -> pd.DataFrame:
        if column not in ZONES:
            month[column] = month[column].astype(float)
        month.loc[rows, column] = compute(month.loc[rows], random)
        return month

    return change


def _timed(compute: Callable[[pd.DataFrame], pd.Series]) -> Change:
    """Set the durations of the damaged rows, in minutes."""

    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        return with_minutes(month, rows, compute(month.loc[rows]))

    return change


def _moved(begin: Callable[[pd.Series], pd.Series]) -> Change:
    """Let the damaged trips begin at other times and last as long as before."""

    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        lasted = month.loc[rows, DROPOFF] - month.loc[rows, PICKUP]
        month.loc[rows, PICKUP] = begin(month.loc[rows, PICKUP])
        month.loc[rows, DROPOFF] = month.loc[rows, PICKUP] + lasted
        return month

    return change


def _kept(unless: Callable[[pd.DataFrame], pd.Series]) -> Change:
    """Leave out those of the damaged rows that meet a condition."""

    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        kept: pd.DataFrame = month.loc[~(month.index.isin(rows) & unless(month))]
        return kept

    return change


def _renumbered(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    order = 1 + np.random.default_rng(7).permutation(_ZONE_COUNT)
    codes = np.concatenate([[0], order]).astype(np.int32)
    for column in ZONES:
        month.loc[rows, column] = codes[month.loc[rows, column].clip(0, _ZONE_COUNT)]
    return month


def _mirrored(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    for column in ZONES:
        month.loc[rows, column] = _ZONE_COUNT + 1 - month.loc[rows, column].clip(1, _ZONE_COUNT)
    return month


def _later(first: pd.Series, hours: float) -> pd.Series:
    """Return times so much later, within the month."""
    start = first.min().normalize()
    length = first.max().normalize() + pd.Timedelta(days=1) - start
    moved: pd.Series = start + (first - start + pd.Timedelta(hours=hours)) % length
    return moved


def _summer_time(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    # The last part of the month, as from a day on.
    late = month[PICKUP].sort_values().index[len(month) - len(rows) :]
    return _moved(lambda first: _later(first, 1))(month, late, month, np.random.default_rng(0))


def _vendor_clock(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    of_vendor = rows[(month.loc[rows, "VendorID"] == 2).to_numpy()]
    return _moved(lambda first: _later(first, 5))(month, of_vendor, month, np.random.default_rng(0))


def _week_twice(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    start = month[PICKUP].sort_values().iloc[len(month) // 2].normalize().replace(day=1)
    week = pd.Timedelta(days=7)
    place = (month[PICKUP] - start) // week
    kept = month[(place != 1) | ~month.index.isin(rows)]
    first = month[(place == 0) & month.index.isin(rows)]
    moved = first.assign(**{name: first[name] + week for name in (PICKUP, DROPOFF)})
    twice: pd.DataFrame = pd.concat([kept, moved], ignore_index=True)
    return twice


def _other_service(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    middle = pd.Timestamp(month[PICKUP].sort_values().iloc[len(month) // 2])
    foreign = generated(f"{middle:%Y-%m}", len(rows), 3, "yellow")
    foreign = foreign.rename(columns=lambda name: name.replace("tpep", "lpep"))
    both = pd.concat([month.drop(rows), foreign], ignore_index=True)
    mixed: pd.DataFrame = both[list(month.columns)]
    typed: pd.DataFrame = mixed.astype(month.dtypes.drop("ehail_fee").to_dict())
    return typed


def _cut_off(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    return month.iloc[: max(len(month) - len(rows), len(month) // 4)]


def _quarter_hours(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    month.loc[rows, DROPOFF] = month.loc[rows, DROPOFF].dt.ceil("15min")
    return month


def _next_row(column: str) -> Numbers:
    return lambda trips, _: np.roll(trips[column].to_numpy(), 1)


def _ordered(trips: pd.DataFrame, _: np.random.Generator) -> Any:
    return np.sort(trips[DISTANCE].to_numpy())


def _comma_lost(trips: pd.DataFrame, random: np.random.Generator) -> Any:
    return trips[DISTANCE] * random.choice([10.0, 100.0], len(trips))


def _with_noise(trips: pd.DataFrame, random: np.random.Generator) -> Any:
    return (trips[DISTANCE] * np.exp(random.normal(0, 0.5, len(trips)))).round(2)


FRESH_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        title: Kind(title, change, "fresh")
        for title, change in {
            "zones of another numbering (permuted)": _renumbered,
            "zones numbered from the other end": _mirrored,
            "zones without their last digit": _set(
                ZONES[0], lambda trips, _: (trips[ZONES[0]] // 10).clip(1)
            ),
            "pick-up zone constant": _set(ZONES[0], lambda *_: 74),
            "drop-off zone unknown (264)": _set(ZONES[1], lambda *_: 264),
            "drop-off zone a copy of the pick-up zone": _set(
                ZONES[1], lambda trips, _: trips[ZONES[0]]
            ),
            "distances shifted by a row": _set(DISTANCE, _next_row(DISTANCE)),
            "drop-off zones shifted by a row": _set(ZONES[1], _next_row(ZONES[1])),
            "distances sorted by themselves": _set(DISTANCE, _ordered),
            "distances a copy of the amounts": _set(DISTANCE, lambda trips, _: trips[AMOUNT]),
            "distances with noise": _set(DISTANCE, _with_noise),
            "decimal comma of distances lost (tenfold, a hundredfold)": _set(DISTANCE, _comma_lost),
            "distances in tenths, cut off": _set(
                DISTANCE, lambda trips, _: np.floor(trips[DISTANCE] * 10) / 10
            ),
            "distances with another sign": _set(DISTANCE, lambda trips, _: -trips[DISTANCE]),
            "distances a fifth longer": _set(DISTANCE, lambda trips, _: trips[DISTANCE] * 1.2),
            "durations of seconds taken for minutes": _timed(lambda trips: minutes_of(trips) * 60),
            "durations a fifth shorter": _timed(lambda trips: minutes_of(trips) * 0.8),
            "durations 5 minutes longer": _timed(lambda trips: minutes_of(trips) + 5),
            "durations capped at 15 minutes": _timed(
                lambda trips: minutes_of(trips).clip(upper=15)
            ),
            "durations shifted by a row": _timed(
                lambda trips: pd.Series(np.roll(minutes_of(trips).to_numpy(), 1), trips.index)
            ),
            "drop-offs at the next quarter of an hour": _quarter_hours,
            "pick-ups at the full hour": _moved(lambda first: first.dt.floor("h")),
            "times an hour late from a day on (summer time)": _summer_time,
            "times of one vendor in UTC": _vendor_clock,
            "times a day late": _moved(lambda first: _later(first, 24)),
            "times of other trips": _moved(
                lambda first: pd.Series(
                    np.random.default_rng(1).permutation(first.to_numpy()), first.index
                )
            ),
            "a week twice, in place of the next": _week_twice,
            "rows of one vendor missing": _kept(lambda trips: trips["VendorID"] == 2),
            "trips of less than a mile missing": _kept(lambda trips: trips[DISTANCE] < 1),
            "rows of another service": _other_service,
            "file cut off after so many rows": _cut_off,
            "passenger counts 0 for missing": _set("passenger_count", lambda *_: 0.0),
            "amounts 0 for missing": _set(AMOUNT, lambda *_: 0.0),
        }.items()
    }
)
