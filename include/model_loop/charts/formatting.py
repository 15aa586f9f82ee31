"""Format of times and numbers."""

from __future__ import annotations

import datetime as dt
import time

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
#: Stands for what is not known.
UNKNOWN = "\N{EN DASH}"

_LARGE, _SMALL = 100, 0.001


def date_of(at: float) -> str:
    """A time as ISO 8601 in UTC, to the minute: also what axes of dates take."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")


def day_of(at: float) -> str:
    """Return the day in UTC of a time."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d")


def age_of(at: float, now: float | None = None) -> str:
    """Format the time since a moment, in its largest unit."""
    seconds = max((time.time() if now is None else now) - at, 0.0)
    if seconds < _MINUTE:
        return "just now"
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    raise AssertionError(seconds)


def amount(value: float | None, unit: str) -> str:
    """A value of the target to the hundredth, with its unit; a dash where it is not known."""
    return UNKNOWN if value is None else f"{value:.2f} {unit}".rstrip()


def plain(value: float | None) -> str:
    """A number without digits that say nothing."""
    if value is None:
        return UNKNOWN
    if abs(value) >= _LARGE or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= _SMALL else f"{value:.1e}"


def percent(value: float) -> str:
    """Return a share as text in percent."""
    return f"{100 * value:.1f} %" if value >= _SMALL or not value else f"{100 * value:.3f} %"


def short(family: str) -> str:
    """Return the name of a family without its module."""
    name = family.rpartition(".")[2]
    return name.removesuffix("Regressor").removesuffix("Classifier") or family
