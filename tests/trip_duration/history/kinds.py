"""Kinds of damage to a month that no rule of the contract sees, each to a share of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
DISTANCE, AMOUNT = "trip_distance", "total_amount"
ZONES = ("PULocationID", "DOLocationID")
Rows = pd.Index
Group = Literal["tuned", "judging", "fresh"]
Change = Callable[[pd.DataFrame, Rows, pd.DataFrame, np.random.Generator], pd.DataFrame]
"""From a month, the rows to damage, the month before, and a generator to the damaged month."""


@dataclass(frozen=True)
class Kind:
    """A kind of damage.

    Parameters
    ----------
    title
        What is wrong, as in the table.
    change
        Does it.
    group
        ``tuned``: the limits were set with it. ``judging``: it only judged them, until some were
        lowered. ``fresh``: nobody had seen it when limits were set.
    """

    title: str
    change: Change
    group: Group


def damaged(
    kind: Kind, month: pd.DataFrame, before: pd.DataFrame, share: float, seed: int
) -> pd.DataFrame:
    """Damage a share of a month's rows."""
    random = np.random.default_rng(seed)
    count = round(share * len(month))
    rows = month.index[np.sort(random.choice(len(month), count, replace=False))]
    return kind.change(month.copy(), rows, before, random)


def _times(column: str, factor: float) -> Change:
    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        month[column] = month[column].astype(float)
        month.loc[rows, column] *= factor
        return month

    return change


def _filled(column: str, value: float | None) -> Change:
    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        month[column] = month[column].astype(float)
        month.loc[rows, column] = value
        return month

    return change


def _shuffled(*columns: str) -> Change:
    def change(
        month: pd.DataFrame, rows: Rows, _: pd.DataFrame, random: np.random.Generator
    ) -> pd.DataFrame:
        order = random.permutation(len(rows))
        month.loc[rows, list(columns)] = month.loc[rows, list(columns)].to_numpy()[order]
        return month.astype({name: month[name].dtype for name in columns})

    return change


def _swapped(one: str, other: str) -> Change:
    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        values = month.loc[rows, [other, one]].to_numpy()
        month[[one, other]] = month[[one, other]].astype(values.dtype)
        month.loc[rows, [one, other]] = values
        return month

    return change


def _clock(hours: float, *columns: str) -> Change:
    def change(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
        start = pd.Timestamp(month[PICKUP].sort_values().iloc[len(month) // 2])
        start = start.normalize().replace(day=1)
        length = pd.Timedelta(days=start.days_in_month)
        shift = pd.Series(pd.Timedelta(hours=hours), index=rows)
        if PICKUP in columns:
            # What leaves the month comes from the neighbouring one.
            moved = month.loc[rows, PICKUP] + shift
            shift = shift.where(moved < start + length, shift - length)
            shift = shift.where(month.loc[rows, PICKUP] + shift >= start, shift + length)
        for column in columns:
            month.loc[rows, column] += shift
        return month

    return change


def _half_day(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    afternoon = rows[month.loc[rows, PICKUP].dt.hour >= 12]
    for column in (PICKUP, DROPOFF):
        month.loc[afternoon, column] -= pd.Timedelta(hours=12)
    return month


def minutes_of(month: pd.DataFrame) -> pd.Series:
    """Return the durations."""
    return (month[DROPOFF] - month[PICKUP]).dt.total_seconds() / 60


def with_minutes(month: pd.DataFrame, rows: Rows, minutes: pd.Series) -> pd.DataFrame:
    """Set the durations of some rows."""
    seconds = pd.to_timedelta((minutes * 60).round(), unit="s")
    month.loc[rows, DROPOFF] = month.loc[rows, PICKUP] + seconds
    return month


def _half_durations(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    return with_minutes(month, rows, minutes_of(month)[rows] / 2)


def _noisy_durations(
    month: pd.DataFrame, rows: Rows, _: pd.DataFrame, random: np.random.Generator
) -> pd.DataFrame:
    noise = np.exp(random.normal(0, 0.7, len(rows)))
    return with_minutes(month, rows, minutes_of(month)[rows] * noise)


def _shuffled_durations(
    month: pd.DataFrame, rows: Rows, _: pd.DataFrame, random: np.random.Generator
) -> pd.DataFrame:
    minutes = minutes_of(month)[rows]
    return with_minutes(month, rows, pd.Series(random.permutation(minutes.to_numpy()), rows))


def _constant_durations(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    return with_minutes(month, rows, pd.Series(10.0, rows))


def _whole_distances(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    month.loc[rows, DISTANCE] = np.ceil(month.loc[rows, DISTANCE])
    return month


def _capped(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    month.loc[rows, DISTANCE] = np.minimum(month.loc[rows, DISTANCE], 3.0)
    return month


def _whole_minutes(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    for column in (PICKUP, DROPOFF):
        month.loc[rows, column] = month.loc[rows, column].dt.floor("min")
    return month


def _one_zone_higher(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    for column in ZONES:
        month.loc[rows, column] = (month.loc[rows, column] + 1).clip(1, 265)
    return month


def _other_vendors(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    month.loc[rows, "VendorID"] = 3 - month.loc[rows, "VendorID"]
    return month


def _end_missing(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    order = month[PICKUP].sort_values().index
    # All of it would leave nothing: a week stays.
    return month.loc[order[: max(len(month) - len(rows), round(len(month) * 0.24))]].sort_index()


def _nights_missing(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    kept: pd.DataFrame = month.loc[~month.index.isin(rows) | (month[PICKUP].dt.hour >= 7)]
    return kept


def _weekends_missing(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    kept: pd.DataFrame = month.loc[~month.index.isin(rows) | (month[PICKUP].dt.weekday < 5)]
    return kept


def _long_missing(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    kept: pd.DataFrame = month.loc[~month.index.isin(rows) | (minutes_of(month) <= 15)]
    return kept


def _zones_missing(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    zones = month[ZONES[0]].value_counts().index[::2]
    kept: pd.DataFrame = month.loc[~month.index.isin(rows) | ~month[ZONES[0]].isin(zones)]
    return kept


def _stale(
    month: pd.DataFrame, rows: Rows, before: pd.DataFrame, random: np.random.Generator
) -> pd.DataFrame:
    kept = month.drop(rows)
    middles = [one[PICKUP].sort_values().iloc[len(one) // 2] for one in (month, before)]
    days = pd.Timedelta(days=(middles[0].normalize() - middles[1].normalize()).days)
    copied = before.sample(min(len(rows), len(before)), random_state=int(random.integers(2**31)))
    copied = copied.assign(**{name: copied[name] + days for name in (PICKUP, DROPOFF)})
    return pd.concat([kept, copied], ignore_index=True)


def _copied_within(month: pd.DataFrame, rows: Rows, *_: object) -> pd.DataFrame:
    kept = month.drop(rows)
    source = kept if len(kept) > len(month) / 10 else month.iloc[: len(month) // 10]
    copies = source.sample(len(rows), replace=True, random_state=1)
    copies = copies.assign(
        **{name: copies[name] + pd.Timedelta(minutes=7) for name in (PICKUP, DROPOFF)}
    )
    return pd.concat([kept, copies], ignore_index=True)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.title: kind
        for kind in (
            Kind("distances in kilometres", _times(DISTANCE, 1.609344), "tuned"),
            Kind("drop-off zones shuffled among trips", _shuffled(ZONES[1]), "tuned"),
            Kind("zones of pick-up and drop-off swapped", _swapped(*ZONES), "tuned"),
            Kind("the end of the month missing", _end_missing, "tuned"),
            Kind("times in UTC (5 hours later)", _clock(5, PICKUP, DROPOFF), "tuned"),
            Kind("rows of the month before at new times", _stale, "tuned"),
            Kind("distances filled with 0", _filled(DISTANCE, 0.0), "tuned"),
            Kind("distances rounded up to whole miles", _whole_distances, "tuned"),
            Kind("zones numbered one higher", _one_zone_higher, "tuned"),
            Kind("distances capped at 3 miles", _capped, "tuned"),
            Kind("passenger counts missing", _filled("passenger_count", None), "tuned"),
            Kind("durations shuffled among trips", _shuffled_durations, "tuned"),
            Kind("trips at night missing", _nights_missing, "tuned"),
            Kind("distances in metres, contract permitting", _times(DISTANCE, 3.0), "tuned"),
            Kind("distances in nautical miles", _times(DISTANCE, 0.868976), "judging"),
            Kind("distances a hundredfold", _times(DISTANCE, 100.0), "judging"),
            Kind("distances shuffled among trips", _shuffled(DISTANCE), "judging"),
            Kind("pick-up zones shuffled among trips", _shuffled(ZONES[0]), "judging"),
            Kind("distance and amount swapped", _swapped(DISTANCE, AMOUNT), "judging"),
            Kind("drop-offs an hour late", _clock(1, DROPOFF), "judging"),
            Kind("AM and PM lost", _half_day, "judging"),
            Kind("durations halved", _half_durations, "judging"),
            Kind("durations with noise", _noisy_durations, "judging"),
            Kind("durations of 10 minutes", _constant_durations, "judging"),
            Kind("times in whole minutes", _whole_minutes, "judging"),
            Kind("codes of the vendors exchanged", _other_vendors, "judging"),
            Kind("weekends missing", _weekends_missing, "judging"),
            Kind("trips of more than 15 minutes missing", _long_missing, "judging"),
            Kind("half of the zones missing", _zones_missing, "judging"),
            Kind("rows copied within the month", _copied_within, "judging"),
            Kind("amounts in cents", _times(AMOUNT, 100.0), "judging"),
        )
    }
)


def like_april_2020(month: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Imitate a month of a lockdown: a tenth of the rows, another mix, faster and longer trips."""
    random = np.random.default_rng(seed)
    zones = np.exp(random.normal(0, 0.6, 266))
    hours = np.where(np.isin(np.arange(24), [22, 23, 0, 1, 2, 3, 4]), 0.5, 1.0)
    hours[6:11] *= 1.3
    distance = month[DISTANCE].clip(0.1, 20)
    weight = (
        zones[month[ZONES[0]].clip(0, 265)]
        * hours[month[PICKUP].dt.hour]
        * distance.to_numpy() ** 0.35
    )
    # Without replacement, by the largest of weighted draws (Efraimidis and Spirakis, 2006).
    draws = np.log(random.random(len(month))) / np.asarray(weight)
    chosen = month.iloc[np.sort(np.argsort(-draws)[: len(month) // 10])].copy()
    chosen = with_minutes(chosen, chosen.index, minutes_of(chosen) * 0.72)
    lacking = chosen.index[random.random(len(chosen)) < 0.25]
    chosen["passenger_count"] = chosen["passenger_count"].astype(float)
    chosen.loc[lacking, ["passenger_count", "trip_type"]] = np.nan
    return chosen
