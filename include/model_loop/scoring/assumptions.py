"""Values that a request leaves out and that are computed from the others, and how that is told."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

from model_loop.datasets.reading import Problem, RefusedRowsError, Row
from model_loop.errors import InvalidInputError
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.services import DISTANCE, DROPOFF_ZONE, PICKUP_ZONE

#: The rule that a row without a distance breaks where none can be computed.
OFF_THE_MAP = "is missing, and a zone has no place on the map"

_FROM, _TO = TRIP_COLUMNS.places[PICKUP_ZONE], TRIP_COLUMNS.places[DROPOFF_ZONE]
_MILES = TRIP_COLUMNS.places[DISTANCE]
_FIELD = TRIP_COLUMNS[_MILES].field


def compute_missing(rows: Sequence[Row]) -> list[Row]:
    """Return rows with the typical distance between the zones where none was given.

    Raises
    ------
    RefusedRowsError
        If a zone has no place on the map.
    """
    from model_loop.scoring.typical import (  # noqa: PLC0415 - servers need the map for this alone
        typical_distance,
    )

    complete, problems = [], []
    for number, (values, assumed) in enumerate(rows):
        if not math.isnan(values[_MILES]):
            complete.append(Row(values, assumed))
            continue
        try:
            miles = typical_distance(int(values[_FROM]), int(values[_TO]))
        except InvalidInputError as error:
            place = number if len(rows) > 1 else None
            problems.append(Problem(_FIELD, OFF_THE_MAP, error.remedy, place))
            continue
        filled = [*values]
        filled[_MILES] = miles
        complete.append(Row(filled, (*assumed, _FIELD)))
    if problems:
        raise RefusedRowsError(problems)
    return complete


def tell_assumed(row: Row) -> dict[str, Any]:
    """Return what was assumed, by fields of requests: times as text, numbers as they are."""
    told: dict[str, Any] = {}
    for column, value in zip(TRIP_COLUMNS, row.cells, strict=True):
        if column.field in row.assumed:
            told[column.field] = time_text(value) if column.kind == "time" else value
    return told


def time_text(seconds: float) -> str:
    """Return a time on the clocks of the table as text, from seconds since 1970 on them."""
    at = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).replace(tzinfo=None)
    return at.isoformat(timespec="seconds")
