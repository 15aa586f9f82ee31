"""Values that a trip may have when a prediction is requested: one rule for every entrance.

The prediction server, the DAG `prediction`, and files that are scored read the same forms and
refuse the same values. Light enough for a server: nothing here needs pandas.
"""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

from trip_duration.services import OUTCOME_COLUMNS, SERVICES

#: TLC's times are New York's, without a zone.
TIME_ZONE = "America/New_York"
#: Years in which a trip may begin.
FIRST_YEAR, LAST_YEAR = 2000, 2099
#: The forms of time that are read, for messages.
TIME_FORMS = (
    "2024-01-15 08:30:00 (RFC3339, also with T or without seconds; with Z, UTC or an offset such "
    "as -05:00 it is converted, without one it is New York's) or 01/15/2024 08:30:00 AM"
)

_OFFSET = r"(?P<offset>\s?(?:Z|UTC|[+-]\d{2}(?::?\d{2})?))"
#: A time by New York's clocks, in the form that most files have.
PLAIN = r"\d{4}-\d{2}-\d{2}[ Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
_ISO = re.compile(rf"(?P<time>{PLAIN}){_OFFSET}?", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{4}")
#: The form of spreadsheets and of NYC Open Data. Without AM or PM nothing tells day from month.
_AMERICAN = re.compile(
    r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}(?P<seconds>:\d{2})? ?[AP]M", re.IGNORECASE
)
_CITY = ZoneInfo(TIME_ZONE)

#: Other columns that TLC publishes of a trip. They may stand beside those that a model asks for,
#: and are not read.
NOT_ASKED = OUTCOME_COLUMNS.union(
    ("access_a_ride_flag", "airport_fee", "Airport_fee", "bcf", "cbd_congestion_fee"),
    ("congestion_surcharge", "dispatching_base_num", "ehail_fee", "hvfhs_license_num"),
    ("improvement_surcharge", "mta_tax", "on_scene_datetime", "originating_base_num"),
    ("RatecodeID", "request_datetime", "sales_tax", "shared_match_flag", "shared_request_flag"),
    ("store_and_fwd_flag", "wav_match_flag", "wav_request_flag"),
    *(service.columns.values() for service in SERVICES.values()),
)


def read_time(text: str) -> dt.datetime:
    """Return a time of New York's clocks from one of the forms that are read.

    Raises
    ------
    ValueError
        If it is in none of them, or out of bounds; the message continues "<name> = <text> …".
    """
    given = text.strip()
    try:
        local = _read(given)
    except (ValueError, OverflowError):
        local = None
    if local is not None:
        if not FIRST_YEAR <= local.year <= LAST_YEAR:
            raise ValueError(outside(local.year))
        return local
    if _DAY.fullmatch(given):
        raise ValueError(f"is a day without a time of day; read are {TIME_FORMS}")
    raise ValueError(f"is not a time; read are {TIME_FORMS}")


def time_of(value: object) -> dt.datetime:
    """Return a time of New York's clocks, to the second, from a text or from a time.

    Raises
    ------
    ValueError
        If it is none, or out of bounds; the message continues "<name> = <value> …".
    """
    if isinstance(value, str):
        return read_time(value).replace(microsecond=0)
    if not isinstance(value, dt.datetime):
        raise ValueError(f"is not a time; read are {TIME_FORMS}")  # noqa: TRY004 - one error for all
    # The clocks of a far year cannot be converted, and it is out of bounds anyway.
    if not FIRST_YEAR <= value.year <= LAST_YEAR + 1:
        raise ValueError(outside(value.year))
    local = value.astimezone(_CITY).replace(tzinfo=None) if value.tzinfo else value
    if not FIRST_YEAR <= local.year <= LAST_YEAR:
        raise ValueError(outside(local.year))
    return local.replace(microsecond=0)


def outside(year: int | None = None) -> str:
    """Return the rule that a time out of bounds breaks."""
    found = "is out of bounds" if year is None else f"begins in the year {year}"
    return f"{found}; trips begin from {FIRST_YEAR} to {LAST_YEAR}"


def _read(given: str) -> dt.datetime | None:
    """Return New York's time; None for a form that is not read."""
    if (found := _ISO.fullmatch(given)) is not None:
        offset = (found["offset"] or "").strip().upper().replace("UTC", "Z")
        moment = dt.datetime.fromisoformat(found["time"] + offset)
        # The clocks of a far year cannot be converted, and it is out of bounds anyway.
        near = FIRST_YEAR <= moment.year <= LAST_YEAR + 1
        return (moment.astimezone(_CITY) if moment.tzinfo and near else moment).replace(tzinfo=None)
    if (american := _AMERICAN.fullmatch(given)) is not None:
        seconds = ":%S" if american["seconds"] else ""
        plain = given.upper().replace(" AM", "AM").replace(" PM", "PM")
        return dt.datetime.strptime(plain, f"%m/%d/%Y %I:%M{seconds}%p")  # noqa: DTZ007 - New York's
    return None
