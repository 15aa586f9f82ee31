"""Values that other programs write in another form than JSON's schema has: read, and not refused.

A request that keeps to the schema never comes here: it is decoded straight into its type. What does
not is read by the rules that files and the DAG `prediction` follow, so that a trip has one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.trips.values import NOT_ASKED, read_time

_ZONES = frozenset({"pickup_zone", "dropoff_zone", "PULocationID", "DOLocationID"})
_TIMES = frozenset({"pickup_at", "pickup_datetime", "lpep_pickup_datetime", "tpep_pickup_datetime"})


def tolerant(trip: object, fields: tuple[str, ...]) -> object:
    """Return a trip with whole zones, read times, and without what no model asks for.

    Parameters
    ----------
    fields
        The names that a trip may have; what else TLC publishes is dropped, anything else stays.

    Raises
    ------
    ValueError
        If a time is in no form that is read; the message says which forms are.
    """
    if not isinstance(trip, Mapping):
        return trip
    return {
        name: _tolerant(name, value)
        for name, value in trip.items()
        if name in fields or name not in NOT_ASKED
    }


def _tolerant(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if name in _ZONES and isinstance(value, float) and value.is_integer():
        return int(value)
    if name in _TIMES and isinstance(value, str):
        try:
            return read_time(value)
        except ValueError as error:
            raise ValueError(f"{name} = {value!r} {error}") from error
    return value
