"""Types of the values in a declaration: names, time zones, countries and lengths of time."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from model_loop.datasets import times
from model_loop.errors import InvalidInputError

Kind = Literal["number", "category", "yes_no", "time", "text", "id", "ignored"]
#: Types of columns that models learn from.
LEARNED_KINDS: tuple[Kind, ...] = ("number", "category", "yes_no", "time")
Part = Literal["month", "week", "day", "whole"]
Action = Literal["set_aside", "refuse", "warn"]
Permission = Literal["read", "edit", "delete", "run"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_NUMBER_OF_UNIT = re.compile(r"(\d+(?:\.\d+)?) (minute|hour|day|week)s?")
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 7 * 86_400}


def require_name(value: str) -> str:
    """Return the name of a dataset as it is.

    Raises
    ------
    ValueError
        If it is none; the message continues the value.
    """
    if not _NAME.fullmatch(value):
        msg = "is no name: use small letters, digits and _, beginning with a letter, at most 40"
        raise ValueError(msg)
    return value


def require_time_zone(value: str) -> str:
    """Return the name of a time zone as it is.

    Raises
    ------
    ValueError
        If it is none; the message continues the value.
    """
    names = zoneinfo.available_timezones()
    if value not in names:
        near = difflib.get_close_matches(value, names, 1) or ["America/New_York or UTC"]
        raise ValueError(f"is not a time zone of the IANA database, such as {near[0]}")
    return value


def _country(value: str) -> str:
    if not _COUNTRY.fullmatch(value):
        msg = "is no code of a country (ISO 3166-1), two capital letters such as US"
        raise ValueError(msg)
    return value


def _duration(value: str) -> str:
    if not _NUMBER_OF_UNIT.fullmatch(value):
        msg = "is no length of time, such as '1 day' or '90 minutes'"
        raise ValueError(msg)
    return value


def check_delimiter(value: str) -> str:
    """Return a delimiter as it is; a `ValueError` if it is none."""
    if len(value) != 1 or not value.isascii() or value in '\0"\r\n':
        msg = "is no delimiter: give one character of ASCII, such as ; or \\t"
        raise ValueError(msg)
    return value


def check_time_format(value: str) -> str:
    """Return a format of times as it is; a `ValueError` if it cannot be read."""
    if value not in times.EPOCHS:
        try:
            times.pattern(value)
        except InvalidInputError as error:
            raise ValueError(f"{error.rule}: {error.remedy.rstrip('.')}") from error
    return value


Name = Annotated[str, AfterValidator(require_name)]
TimeZone = Annotated[str, AfterValidator(require_time_zone)]
Country = Annotated[str, AfterValidator(_country)]
Duration = Annotated[str, AfterValidator(_duration)]
Permissions = Annotated[tuple[Permission, ...], Field(min_length=1, strict=False)]


def seconds_of(duration: Duration) -> float:
    """Return how many seconds a length of time has: ``1 day`` is 86,400."""
    number, unit = duration.rstrip("s").split(" ")
    return float(number) * _SECONDS[unit]
