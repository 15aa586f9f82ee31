"""The columns of a trip that a model may be asked with; everything else about them is derived."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from zoneinfo import ZoneInfo

from model_loop.datasets.columns import Column, Columns, Scale
from model_loop.datasets.dataset import Moment
from model_loop.datasets.reading import RowReader
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    LAST_ZONE,
    MOMENTS,
    OUTCOME_COLUMNS,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    SERVICES,
    TRIP_TYPE,
    VENDOR,
)
from trip_duration.values import FIRST_YEAR, LAST_YEAR, NOT_ASKED, TIME_ZONE, time_of
from trip_duration.zone_names import find_zone, suggest_zone

#: Unit of the target.
UNIT = "min"
#: Miles. A longer distance is no mistake of a meter, but one of the caller.
LONGEST_DISTANCE = 1_000_000.0
#: Highest number of passengers, and of the codes of vendors and trip types.
LARGEST_NUMBER = 1_000.0


def _published(name: str) -> Mapping[str, str]:
    """Return the names of a column in the files of the services."""
    return MappingProxyType(
        {key: one.columns[name] for key, one in SERVICES.items() if name in one.columns}
    )


#: Columns in the order in which rows of numbers hold them.
TRIP_COLUMNS = Columns(
    (
        Column(
            name=PICKUP_ZONE,
            field="pickup_zone",
            kind="category",
            title="From",
            description="Taxi zone in which the trip begins, by its number or its name; 264 is "
            "unknown, 265 outside of the city.",
            known="booked",
            lowest=1,
            highest=LAST_ZONE,
            noun="zone",
            published=_published(PICKUP_ZONE),
            required=True,
            example=239,
            scale=Scale(1.0, LAST_ZONE),
        ),
        Column(
            name=DROPOFF_ZONE,
            field="dropoff_zone",
            kind="category",
            title="To",
            description="Taxi zone in which it ends.",
            known="booked",
            lowest=1,
            highest=LAST_ZONE,
            noun="zone",
            published=_published(DROPOFF_ZONE),
            required=True,
            example=236,
            scale=Scale(1.0, LAST_ZONE),
        ),
        Column(
            name=PICKUP_TIME,
            field="pickup_at",
            kind="time",
            title="When",
            description="When the trip begins, by New York's clocks unless it has an offset. Left "
            "out, now.",
            known="booked",
            lowest=FIRST_YEAR,
            highest=LAST_YEAR,
            noun="time",
            published=_published(PICKUP_TIME),
            required=True,
            default="now",
            example="2024-03-01T08:00:00",
        ),
        Column(
            name=DISTANCE,
            field="trip_distance",
            kind="number",
            title="Distance (miles)",
            description="Metered miles. Left out, a champion answers that does without, or else "
            "the typical distance between the two zones is taken.",
            # The meter measures it: before the trip has ended, nobody knows it.
            known="ended",
            lowest=0,
            highest=LONGEST_DISTANCE,
            noun="distance",
            published=_published(DISTANCE),
            unit="miles",
            required=True,
            default="computed",
            example=1.98,
            scale=Scale(0.01, 100.0),
        ),
        Column(
            name=PASSENGERS,
            field="passenger_count",
            kind="number",
            title="Passengers",
            description="How many; may be left out.",
            known="booked",
            lowest=0,
            highest=LARGEST_NUMBER,
            published=_published(PASSENGERS),
            example=1,
            scale=Scale(1.0, 255),
        ),
        Column(
            name=VENDOR,
            field="vendor_id",
            kind="number",
            title="Vendor",
            description="Code of the provider of the record; may be left out.",
            known="booked",
            lowest=0,
            highest=LARGEST_NUMBER,
            published=_published(VENDOR),
            scale=Scale(1.0, 255),
        ),
        Column(
            name=TRIP_TYPE,
            field="trip_type",
            kind="number",
            title="Trip type",
            description="1 hailed in the street, 2 ordered; may be left out.",
            known="booked",
            lowest=0,
            highest=LARGEST_NUMBER,
            published=_published(TRIP_TYPE),
            scale=Scale(1.0, 255),
        ),
    )
)

#: Columns of small whole numbers that may be unknown to a model.
ATTRIBUTES = tuple(column.name for column in TRIP_COLUMNS if not column.required)

#: The moment from which each column that a model may know is known.
KNOWN_FROM: Mapping[str, Moment] = MappingProxyType(
    {column.name: moment for column in TRIP_COLUMNS for moment in MOMENTS if moment == column.known}
)

TRIP_READER = RowReader(
    TRIP_COLUMNS,
    ignored=NOT_ASKED,
    read_time=time_of,
    codes=MappingProxyType({PICKUP_ZONE: find_zone, DROPOFF_ZONE: find_zone}),
    suggest=MappingProxyType({PICKUP_ZONE: suggest_zone, DROPOFF_ZONE: suggest_zone}),
)


def local_now() -> dt.datetime:
    """Return the present moment on New York's clocks, to the second."""
    return dt.datetime.now(tz=ZoneInfo(TIME_ZONE)).replace(tzinfo=None, microsecond=0)


def moment_of(columns: Iterable[str]) -> Moment:
    """Return the earliest moment at which all of these columns are known.

    Columns that are not declared in `KNOWN_FROM` count as known at the last moment: nothing says
    that they are known earlier.
    """
    last = len(MOMENTS) - 1
    order = [MOMENTS.index(KNOWN_FROM[name]) if name in KNOWN_FROM else last for name in columns]
    return MOMENTS[max(order, default=0)]


def known_too_late(columns: Iterable[str], moment: Moment) -> list[str]:
    """Return the columns that are not known yet at a moment, or hold the outcome, sorted.

    Undeclared columns are among them before the last moment.
    """
    by = MOMENTS.index(moment)
    return sorted(
        name
        for name in columns
        if name in OUTCOME_COLUMNS or MOMENTS.index(KNOWN_FROM.get(name, MOMENTS[-1])) > by
    )
