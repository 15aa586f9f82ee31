"""What may be asked: trips in JSON, with our names or TLC's, checked as they are read.

Zones are TLC's, 1 to 265; 264 means unknown and 265 outside of the city. A zone that the model has
not learned from counts as the average of all. Times without an offset are those of New York's
clocks; with one, they are converted. Distances are metered miles, 0 or more.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from model_loop.errors import ModelLoopError
from model_loop.serving.tolerance import tolerant
from model_loop.trips.services import LAST_ZONE, MOMENTS, Moment
from model_loop.trips.values import (
    FIRST_YEAR,
    LARGEST_NUMBER,
    LAST_YEAR,
    LONGEST_DISTANCE,
    TIME_ZONE,
    outside,
)

KEY_LENGTH = 200
#: Up to so many bytes, a body is read whole before its trips are counted.
_SMALL_BYTES = 65_536
#: Objects and lists that a request may hold besides its trips; a key may consist of brackets.
_FURTHER = 1_000

_NEW_YORK = ZoneInfo(TIME_ZONE)
_SECONDS_PER_DAY = 86_400
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the city's clocks
_ID = re.compile(r"\A[0-9a-f]{32}\Z")

_Request = TypeVar("_Request")

Zone: TypeAlias = Annotated[int, Meta(ge=1, le=LAST_ZONE)] | UnsetType
Miles: TypeAlias = Annotated[float, Meta(ge=0, le=LONGEST_DISTANCE)] | UnsetType | None
Number: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)] | UnsetType | None
Time: TypeAlias = dt.datetime | UnsetType | None


class RequestRefusedError(ModelLoopError):
    """A request cannot be answered, and why.

    Parameters
    ----------
    status
        HTTP status.
    """

    def __init__(self, status: int, given: str, rule: str, remedy: str) -> None:
        super().__init__(given, rule, remedy)
        self.status = status


class Trip(Struct, forbid_unknown_fields=True):
    """A trip, each value under one of its names."""

    pickup_zone: Zone = UNSET
    PULocationID: Zone = UNSET
    dropoff_zone: Zone = UNSET
    DOLocationID: Zone = UNSET
    trip_distance: Miles = UNSET
    trip_miles: Miles = UNSET
    pickup_at: Time = UNSET
    pickup_datetime: Time = UNSET
    lpep_pickup_datetime: Time = UNSET
    tpep_pickup_datetime: Time = UNSET
    passenger_count: Number = UNSET
    vendor_id: Number = UNSET
    VendorID: Number = UNSET
    trip_type: Number = UNSET


class PredictRequest(Trip, forbid_unknown_fields=True):
    """One trip, or several as `inputs`; the same `key` is always answered by the same version.

    `moment` names the champion that is asked: of rides that are booked, or of trips that have
    ended. Left out, the earliest one answers that has all the values it needs.
    """

    inputs: list[Trip] | UnsetType = UNSET
    key: Annotated[str, Meta(max_length=KEY_LENGTH)] | None = None
    moment: Moment | None = None


class Asked(NamedTuple):
    """What a request asks: rows of trips, its key, and the moment that it names."""

    rows: list[list[float]]
    key: str | None
    moment: Moment | None


class Feedback(Struct, forbid_unknown_fields=True):
    """How long a trip took."""

    prediction_id: Annotated[str, Meta(pattern=_ID.pattern)]
    actual_minutes: Annotated[float, Meta(gt=0, le=1_440)]


_trips = msgspec.json.Decoder(PredictRequest)
_feedback = msgspec.json.Decoder(Feedback | list[Feedback])


def read_trips(body: bytes, most: int) -> Asked:
    """Read a request to predict.

    Raises
    ------
    RequestRefusedError
        If it is no JSON (400), a value breaks a rule (422), or there are too many trips (413).
    """
    refuse_too_many(body, most)
    request = _decoded(_trips, body, _tolerant_request)
    if request.key is not None:
        check_key(request.key)
    if request.inputs is UNSET:
        return Asked([row_of(request)], request.key, request.moment)
    alone = any(getattr(request, name) is not UNSET for name in Trip.__struct_fields__)
    if alone:
        raise RequestRefusedError(
            422, "The request", "holds a trip beside `inputs`", "Put all trips into `inputs`."
        )
    return Asked(rows_of(request.inputs, most), request.key, request.moment)


def read_feedback(body: bytes, most: int) -> dict[str, float]:
    """Actual minutes by prediction id.

    Raises
    ------
    RequestRefusedError
        As `read_trips`.
    """
    refuse_too_many(body, most)
    found = _decoded(_feedback, body)
    some = found if isinstance(found, list) else [found]
    require_count(len(some), most)
    return {one.prediction_id: one.actual_minutes for one in some}


def convert_trips(records: object, most: int, *, texts: bool = False) -> list[list[float]]:
    """Rows of records that were read from another form of JSON or from CSV.

    Parameters
    ----------
    texts
        Whether numbers come as text, as in CSV.

    Raises
    ------
    RequestRefusedError
        As `read_trips`.
    """
    if isinstance(records, list):
        require_count(len(records), most)
    try:
        trips = msgspec.convert(records, list[Trip], strict=not texts)
    except msgspec.ValidationError:
        trips = _tolerant_trips(records, texts=texts)
    return rows_of(trips, most)


def is_id(text: str) -> bool:
    """Whether a text may be the id of a prediction."""
    return _ID.match(text) is not None


def check_key(key: str) -> str | None:
    """The key of a request; None where it is empty.

    Raises
    ------
    RequestRefusedError
        If it is too long, or no database keeps it (422).
    """
    if len(key) > KEY_LENGTH or "\0" in key:
        raise RequestRefusedError(
            422, "The key", "is too long, or holds a NUL", f"Give up to {KEY_LENGTH} characters."
        )
    return key or None


def read_moment(text: str) -> Moment | None:
    """The moment that a header names; None where it is empty.

    Raises
    ------
    RequestRefusedError
        If there is no such moment (422).
    """
    for moment in MOMENTS:
        if text == moment:
            return moment
    if not text:
        return None
    raise RequestRefusedError(
        422, f"Moment {text[:20]!r}", "is unknown", f"Give one of: {', '.join(MOMENTS)}."
    )


def refuse_too_many(body: bytes, most: int) -> None:
    """Refuse JSON that cannot but hold too many trips, before it takes its room in memory.

    Each trip is an object or a list of its own.

    Raises
    ------
    RequestRefusedError
        If there are too many (413).
    """
    if len(body) > _SMALL_BYTES:
        found = body.count(b"{") + body.count(b"[")
        if found > most + _FURTHER:
            raise _too_many(most)


def rows_of(trips: Sequence[Trip], most: int) -> list[list[float]]:
    """Rows of trips."""
    require_count(len(trips), most)
    return [row_of(trip, number) for number, trip in enumerate(trips)]


def row_of(trip: Trip, number: int | None = None) -> list[float]:
    """The row of one trip, in the order of `rows.COLUMNS`.

    Raises
    ------
    RequestRefusedError
        If a zone is missing, a value is given twice, or a time is out of bounds.
    """
    pickup = _one(trip.pickup_zone, trip.PULocationID)
    dropoff = _one(trip.dropoff_zone, trip.DOLocationID)
    if pickup is UNSET or dropoff is UNSET:
        which = "pickup_zone" if pickup is UNSET else "dropoff_zone"
        raise RequestRefusedError(
            422, _name(number), f"lacks {which}", f"Give a zone from 1 to {LAST_ZONE}."
        )
    at = _one(
        _one(trip.pickup_at, trip.pickup_datetime),
        _one(trip.lpep_pickup_datetime, trip.tpep_pickup_datetime),
    )
    return [
        pickup,
        dropoff,
        _seconds(at, number) if isinstance(at, dt.datetime) else math.nan,
        _number(_one(trip.trip_distance, trip.trip_miles)),
        _number(trip.passenger_count),
        _number(_one(trip.vendor_id, trip.VendorID)),
        _number(trip.trip_type),
    ]


def _decoded(
    decoder: msgspec.json.Decoder[_Request],
    body: bytes,
    otherwise: Callable[[bytes, msgspec.ValidationError], _Request] | None = None,
) -> _Request:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        if otherwise is not None:
            return otherwise(body, error)
        raise _broken(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefusedError(
            400, "The body", f"is not JSON ({error})", "NaN and Infinity are not JSON either."
        ) from error


def _tolerant_request(body: bytes, broken: msgspec.ValidationError) -> PredictRequest:
    """Return a request that does not keep to the schema, as far as its values can be read."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _broken(broken) from broken
    try:
        given = tolerant(found, PredictRequest.__struct_fields__)
        if isinstance(given, dict) and isinstance(given.get("inputs"), list):
            given["inputs"] = [tolerant(one, Trip.__struct_fields__) for one in given["inputs"]]
        return msgspec.convert(given, PredictRequest)
    except (ValueError, msgspec.ValidationError) as error:
        raise _broken(error) from error


def _tolerant_trips(records: object, *, texts: bool) -> list[Trip]:
    """Return trips whose values do not keep to the schema, as far as these can be read."""
    try:
        given = records
        if isinstance(records, list):
            given = [tolerant(one, Trip.__struct_fields__) for one in records]
        return msgspec.convert(given, list[Trip], strict=not texts)
    except (ValueError, msgspec.ValidationError) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> RequestRefusedError:
    return RequestRefusedError(
        422, "The request", f"breaks a rule: {error}", "The names and bounds are in /docs."
    )


def require_count(count: int, most: int) -> None:
    """Refuse no trip (422), and too many of them (413)."""
    if not count:
        raise RequestRefusedError(422, "The request", "holds no trip", "Give at least one.")
    if count > most:
        raise _too_many(most)


def _too_many(most: int) -> RequestRefusedError:
    return RequestRefusedError(
        413,
        "The request",
        f"holds more than {most:,} trips",
        "Send parts, or score the file with the DAG batch_scoring.",
    )


def _one(first: Any, second: Any) -> Any:  # noqa: ANN401 - one of the two, as it is
    """The value under the one of two names that was given."""
    if second is UNSET:
        return first
    if first is UNSET:
        return second
    raise RequestRefusedError(
        422, "A value", "is given under two names", "Use ours or TLC's, not both."
    )


def _number(value: float | UnsetType | None) -> float:
    return math.nan if value is UNSET or value is None else float(value)


def _seconds(at: dt.datetime, number: int | None) -> float:
    try:
        local = at.astimezone(_NEW_YORK).replace(tzinfo=None) if at.tzinfo else at
    except OverflowError:
        local = dt.datetime.min  # noqa: DTZ901 - out of bounds, as the next lines find
    if not FIRST_YEAR <= local.year <= LAST_YEAR:
        raise RequestRefusedError(
            422,
            _name(number),
            outside(local.year),
            f"Give a time from {FIRST_YEAR} to {LAST_YEAR}.",
        )
    since = local - _EPOCH
    return float(since.days * _SECONDS_PER_DAY + since.seconds)


def _name(number: int | None) -> str:
    return "The trip" if number is None else f"Trip {number}"
