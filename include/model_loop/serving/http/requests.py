"""Bodies of requests: JSON, counted before it takes its room, and read as every row is."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from model_loop.datasets.dataset import Moment
from model_loop.datasets.reading import Row
from model_loop.errors import ModelLoopError
from trip_duration.columns import TRIP_COLUMNS, TRIP_READER, local_now
from trip_duration.services import MOMENTS

KEY_LENGTH = 200
#: Fields that a request to predict may hold besides a row.
FURTHER_FIELDS = ("inputs", "key", "moment")
#: Up to so many bytes, a body is read whole before its trips are counted.
_SMALL_BYTES = 65_536
#: Objects and lists that a request may hold besides its trips; a key may consist of brackets.
_FURTHER = 1_000

_ID = re.compile(r"\A[0-9a-f]{32}\Z")

_Request = TypeVar("_Request")


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


class Asked(NamedTuple):
    """A request to predict: its rows, its key, and the moment that it names."""

    rows: list[Row]
    key: str | None
    moment: Moment | None


class Feedback(Struct, forbid_unknown_fields=True):
    """Actual durations of trips."""

    prediction_id: Annotated[str, Meta(pattern=_ID.pattern)]
    actual_minutes: Annotated[float, Meta(gt=0, le=1_440)]


_feedback = msgspec.json.Decoder(Feedback | list[Feedback])
_any = msgspec.json.Decoder()


def read_trips(body: bytes, most: int) -> Asked:
    """Read a request to predict: one trip, or several as `inputs`.

    The same `key` is always answered by the same version. `moment` names the champion that is
    asked; left out, the earliest one answers that has all the values it needs.

    Raises
    ------
    RequestRefusedError
        If it is not JSON (400), is not an object, its key or moment breaks a rule (422), or there
        are too many trips (413).
    RefusedRowsError
        If a trip breaks a rule; every one that is broken is told.
    """
    refuse_too_many(body, most)
    request = _decoded(_any, body)
    if not isinstance(request, dict):
        raise RequestRefusedError(
            422,
            "The request",
            "is not an object",
            f"Give one with {', '.join(TRIP_COLUMNS.fields)}, or with a list of such as `inputs`.",
        )
    key, moment = request.pop("key", None), request.pop("moment", None)
    key, moment = check_key(key), read_moment(moment)
    if "inputs" not in request:
        return Asked([TRIP_READER.read_row(request, local_now)], key, moment)
    inputs = request.pop("inputs")
    if request:
        raise RequestRefusedError(
            422, "The request", "holds a trip beside `inputs`", "Put all trips into `inputs`."
        )
    return Asked(convert_trips(inputs, most), key, moment)


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


def convert_trips(records: object, most: int) -> list[Row]:
    """Read the rows of a list of records.

    Raises
    ------
    RequestRefusedError
        If it is not a list, or holds no trip (422) or too many (413).
    RefusedRowsError
        If a trip breaks a rule.
    """
    if not isinstance(records, list):
        raise RequestRefusedError(422, "The trips", "are not a list", "Give a list of objects.")
    require_count(len(records), most)
    return TRIP_READER.read_rows(records, local_now)


def is_id(text: str) -> bool:
    """Return whether a text has the form of a prediction's id."""
    return _ID.match(text) is not None


def check_key(key: object) -> str | None:
    """Return the key of a request; None where it is empty.

    Raises
    ------
    RequestRefusedError
        If it is not text, is too long, or no database keeps it (422).
    """
    if key is None:
        return None
    if not isinstance(key, str) or len(key) > KEY_LENGTH or "\0" in key:
        raise RequestRefusedError(
            422,
            "The key",
            "is not text, is too long, or holds a NUL",
            f"Give up to {KEY_LENGTH} characters.",
        )
    return key or None


def read_moment(given: object) -> Moment | None:
    """Return the moment that a request names; None where it names none.

    Raises
    ------
    RequestRefusedError
        If there is no such moment (422).
    """
    for moment in MOMENTS:
        if given == moment:
            return moment
    if given is None or given == "":
        return None
    raise RequestRefusedError(
        422, f"Moment {str(given)[:20]!r}", "is unknown", f"Give one of: {', '.join(MOMENTS)}."
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


def _decoded(decoder: msgspec.json.Decoder[_Request], body: bytes) -> _Request:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestRefusedError(
            422, "The request", f"breaks a rule: {error}", "The names and bounds are in /docs."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefusedError(
            400, "The body", f"is not JSON ({error})", "NaN and Infinity are not JSON either."
        ) from error


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
