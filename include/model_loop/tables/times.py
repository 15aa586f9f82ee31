"""Times as text, all values of a column at once; `datasets.times` says which formats are read."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model_loop.datasets.conditions import Mask
from model_loop.datasets.times import (
    EPOCH_DAYS,
    EPOCHS,
    EXCEL,
    FIRST_YEAR,
    ISO,
    LAST_CENTURY,
    LAST_YEAR,
    WORD,
    month_of,
    pattern,
)

_DAY_MICROSECONDS = 86_400_000_000
_MONTHS_OF_A_YEAR, _HOURS, _HOURS_OF_HALF_A_DAY, _SIXTY = 12, 24, 12, 60

Micros = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Times:
    """Times that were read.

    Parameters
    ----------
    micros
        Microseconds since 1970, shape (rows,): on the clocks that were written, or in UTC where an
        offset stood beside them.
    readable
        Whether there is a time, shape (rows,).
    in_utc
        Whether a time had an offset, shape (rows,).
    is_day
        Whether it is a day without a time of day, shape (rows,).
    """

    micros: Micros
    readable: Mask
    in_utc: Mask
    is_day: Mask


def _pattern(time_format: str) -> str:
    """Return the regular expression of a format for Arrow, with a group for each directive."""
    return pattern(time_format).replace(WORD, r"\pL+")


@functools.cache
def python_pattern(time_format: str) -> re.Pattern[str]:
    """Return the pattern of a format for Python, which matches its texts from their beginning."""
    return re.compile(pattern(time_format).removesuffix("$"))


def matches(text: pa.Array, time_format: str) -> Mask:
    """Return which texts look like times of a format, whether or not there is such a day."""
    found = pc.match_substring_regex(text, re.sub(r"\?P<\w>", "", _pattern(time_format)))
    return np.asarray(found.fill_null(False), dtype=bool)  # noqa: FBT003 - Arrow's signature


def read_times(text: pa.Array, time_format: str) -> Times:
    """Read texts as times.

    Parameters
    ----------
    text
        Texts without spaces around them; null where there is none.
    """
    if time_format in EPOCHS:
        numbers = pc.cast(_only(text, r"^[+-]?[0-9]+(?:\.[0-9]+)?$"), pa.float64())
        return from_epoch(numbers.fill_null(np.nan).to_numpy(zero_copy_only=False), time_format)
    if time_format == ISO and (times := _plain_iso(text)) is not None:
        return times
    fields = pc.extract_regex(text, _pattern(time_format))
    return _composed({each.name: fields.field(each.name) for each in fields.type}, fields)


def from_epoch(numbers: npt.NDArray[np.float64], time_format: str) -> Times:
    """Return times that are counted from 1970 in UTC; NaN is none."""
    micros = numbers * EPOCHS[time_format] + EPOCH_DAYS.get(time_format, 0) * _DAY_MICROSECONDS
    bounds = np.array([f"{FIRST_YEAR}-01-01", f"{LAST_YEAR + 1}-01-01"], dtype="M8[us]")
    first, last = bounds.astype(np.int64).tolist()
    readable = (micros >= first) & (micros < last)
    whole = np.where(readable, micros, 0).round().astype(np.int64)
    # Spreadsheets know no time zone: their times are left on the clocks of the place, as days are.
    local = np.full(len(whole), time_format == EXCEL)
    return Times(whole, readable, ~local, local)


def of_clocks(times: Times) -> Times:
    """Return times of day alone: on the first day of 1970, and on any clock."""
    every = np.ones(len(times.micros), dtype=bool)
    return Times(times.micros % _DAY_MICROSECONDS, times.readable, ~every, every)


def _only(text: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(text, pattern), text, None)


def _plain_iso(text: pa.Array) -> Times | None:
    """Return times that Arrow reads as such, all with offsets or all without; None otherwise."""
    for time_zone in (None, "UTC"):
        try:
            found = pc.cast(text, pa.timestamp("us", time_zone))
        except pa.ArrowInvalid:
            continue
        micros = found.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        is_day = pc.equal(pc.binary_length(text), len("2024-01-15")).fill_null(False)  # noqa: FBT003 - Arrow's signature
        given = text.is_valid().to_numpy(zero_copy_only=False)
        return Times(
            micros,
            within_years(micros) & given,
            np.full(len(text), time_zone is not None),
            is_day.to_numpy(zero_copy_only=False),
        )
    return None


def within_years(micros: Micros) -> Mask:
    """Return which times are of years that are read."""
    years = micros.view("M8[us]").astype("M8[Y]").astype(np.int64) + 1970
    return np.asarray((years >= FIRST_YEAR) & (years <= LAST_YEAR))


def _composed(fields: Mapping[str, pa.Array], extracted: pa.StructArray) -> Times:
    """Return times from the digits of their fields."""
    readable = np.asarray(extracted.is_valid().to_numpy(zero_copy_only=False)).copy()
    number = {name: _whole(fields[name]) for name in "YymdHIMSGVujq" if name in fields}
    days, is_day_of_calendar = _days(number, fields, len(readable))
    readable &= is_day_of_calendar
    hour, is_hour = _hours(number, fields)
    minute, second = (number.get(name, np.zeros_like(days)) for name in "MS")
    readable &= is_hour & (minute < _SIXTY) & (second < _SIXTY)
    micros = days * _DAY_MICROSECONDS
    micros += ((hour * 60 + minute) * 60 + second) * 1_000_000
    if "f" in fields:
        micros += _whole(pc.utf8_slice_codeunits(pc.utf8_rpad(fields["f"], 6, "0"), 0, 6))
    in_utc = np.zeros(len(days), dtype=bool)
    if "z" in fields:
        in_utc = _filled(fields["z"])
        offset, is_offset = _offset_minutes(fields["z"])
        micros -= offset * 60_000_000
        readable &= is_offset
    is_day = np.ones(len(days), dtype=bool)
    if number.keys() & {"Y", "y", "G"} and number.keys() & {"H", "I"}:
        is_day = ~_filled(fields["H" if "H" in fields else "I"])
    return Times(np.where(readable, micros, 0), readable, in_utc & readable, is_day & readable)


def _days(
    number: Mapping[str, Micros], fields: Mapping[str, pa.Array], rows: int
) -> tuple[Micros, Mask]:
    """Return days since 1970, and which of them are any; all are the first one of a clock."""
    if "G" in number:
        return _days_of_weeks(number["G"], number["V"], number.get("u"))
    if not number.keys() & {"Y", "y"}:
        return np.zeros(rows, dtype=np.int64), np.ones(rows, dtype=bool)
    year = number["Y"] if "Y" in number else _of_century(number["y"])
    day = number.get("d", np.ones_like(year))
    is_day = (year >= FIRST_YEAR) & (year <= LAST_YEAR)
    if "j" in number:
        first = (year - 1970).astype("M8[Y]").astype("M8[D]")
        days = first + (number["j"] - 1)
        is_day &= days.astype("M8[Y]").astype(np.int64) == year - 1970
        return np.asarray(days.astype(np.int64)), is_day
    month = _month(number, fields)
    months = (year - 1970) * 12 + month - 1
    days = months.astype("M8[M]").astype("M8[D]") + (day - 1)
    is_day &= (month >= 1) & (month <= _MONTHS_OF_A_YEAR)
    is_day &= days.astype("M8[M]").astype(np.int64) == months
    return np.asarray(days.astype(np.int64)), is_day


def _month(number: Mapping[str, Micros], fields: Mapping[str, pa.Array]) -> Micros:
    if "q" in number:
        return 3 * number["q"] - 2
    return number["m"] if "m" in number else _month_number(fields["b"])


def _days_of_weeks(year: Micros, week: Micros, weekday: Micros | None) -> tuple[Micros, Mask]:
    """Return the days of weeks of ISO 8601, Mondays by default, and which of them are any."""
    # The fourth of January is in the first week; 1970 began on a Thursday.
    fourth = (year - 1970).astype("M8[Y]").astype("M8[D]").astype(np.int64) + 3
    monday = fourth - (fourth + 3) % 7 + 7 * (week - 1)
    in_year = (monday + 3).astype("M8[D]").astype("M8[Y]").astype(np.int64) == year - 1970
    is_week = (week >= 1) & in_year & (year >= FIRST_YEAR) & (year <= LAST_YEAR)
    return np.asarray(monday if weekday is None else monday + weekday - 1), is_week


def _hours(
    number: Mapping[str, Micros], fields: Mapping[str, pa.Array]
) -> tuple[Micros, Mask | np.bool_]:
    """Return hours of the day, and whether they are any."""
    if "I" not in number:
        hour = number.get("H", np.zeros_like(next(iter(number.values()))))
        return hour, hour < _HOURS
    half, given = number["I"], _lower(fields["p"]) if "p" in fields else None
    after = np.zeros(len(half), dtype=bool)
    if given is not None:
        after = pc.equal(given, "p").fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - Arrow's signature
    is_hour = (half >= 1) & (half <= _HOURS_OF_HALF_A_DAY)
    return half % _HOURS_OF_HALF_A_DAY + _HOURS_OF_HALF_A_DAY * after, is_hour


def _whole(digits: pa.Array) -> Micros:
    """Return digits as numbers; 0 where there are none."""
    given = pc.if_else(pc.equal(digits, ""), "0", digits).fill_null("0")
    return np.asarray(pc.cast(given, pa.int64()).to_numpy(zero_copy_only=False))


def _filled(texts: pa.Array) -> Mask:
    return np.asarray(
        pc.not_equal(texts, "").fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - Arrow's signature
    )


def _lower(texts: pa.Array) -> pa.Array:
    return pc.utf8_lower(texts)


def _of_century(two_digits: Micros) -> Micros:
    return np.asarray(two_digits + np.where(two_digits >= LAST_CENTURY, 1900, 2000))


def _month_number(names: pa.Array) -> Micros:
    """Return numbers of months; 0 for a name of none."""
    encoded = pc.dictionary_encode(pc.utf8_lower(names))
    numbers = [month_of(name) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found: Micros = np.array([*numbers, 0], dtype=np.int64)[codes]
    return found


def _offset_minutes(texts: pa.Array) -> tuple[Micros, Mask]:
    """Return minutes east of UTC, and whether there are such; no offset is none."""
    encoded = pc.dictionary_encode(texts)
    minutes = [_minutes_of(text) for text in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found: Micros = np.array([*minutes, 0], dtype=np.int64)[codes]
    return found, np.abs(found) < _HOURS * _SIXTY


def _minutes_of(text: str) -> int:
    if not text or text[0] not in "+-":
        return 0
    hours, minutes = int(text[1:3]), int(text[-2:]) if len(text) > len("+05") else 0
    return (hours * 60 + minutes) * (-1 if text[0] == "-" else 1)


def on_clocks(times: Times, stored_in: str, time_zone: str) -> npt.NDArray[np.datetime64]:
    """Return times on the clocks of a place, shape (rows,), NaT where there is none.

    Parameters
    ----------
    stored_in
        Time zone of times without an offset. Of two moments that its clocks show as the same time
        the first is meant, and a time that they skip is the first moment after.
    time_zone
        Time zone of the place. A day without a time of day is the same day there.
    """
    local = times.micros.view("M8[us]").copy()
    local[~times.readable] = np.datetime64("NaT")
    for chosen, stored in ((times.in_utc, "UTC"), (~times.in_utc & ~times.is_day, stored_in)):
        chosen = chosen & times.readable  # noqa: PLW2901 - the same rows, without those that hold none
        if stored == time_zone or not chosen.any():
            continue
        naive = pd.DatetimeIndex(local[chosen])
        moments = naive.tz_localize(
            stored, ambiguous=np.ones(len(naive), dtype=bool), nonexistent="shift_forward"
        )
        local[chosen] = moments.tz_convert(time_zone).tz_localize(None).to_numpy("M8[us]")
    return local
