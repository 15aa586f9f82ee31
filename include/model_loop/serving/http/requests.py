"""Bodies of requests: JSON, counted before it takes its room, and read as every row is."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct, defstruct

from model_loop.datasets.classes import Label
from model_loop.datasets.dataset import Dataset, Moment, Target
from model_loop.datasets.reading import Row
from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.intervals.grid import DEFAULT_LEVEL, LEVEL
from model_loop.objects.strict_json import decode
from model_loop.scoring.answers import ACTUAL, actual_name
from model_loop.scoring.limits import read_level

KEY_LENGTH = 200
#: Parameter of an address that asks for reasons, and the rows that are given them.
EXPLAIN = "explain"
EXPLAINED_ROWS = 100
#: Up to so many bytes, a body is read whole before its rows are counted.
_SMALL_BYTES = 65_536
#: Objects and lists that a request may hold besides its rows; a key may consist of brackets.
_FURTHER = 1_000

_ID = re.compile(r"\A[0-9a-f]{32}\Z")


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


class PredictRequest(NamedTuple):
    """A request to predict: its rows, its key, and the moment and the level that it names."""

    rows: list[Row]
    key: str | None
    moment: Moment | None
    level: float = DEFAULT_LEVEL


class RawPredictRequest(NamedTuple):
    """A request to predict, whose rows each version reads by its own dataset.

    Parameters
    ----------
    read
        Returns the rows as a dataset reads them.
    key, moment, level
        See `PredictRequest`.
    """

    read: Callable[[Dataset], list[Row]]
    key: str | None
    moment: Moment | None
    level: float


class Feedback(Struct, forbid_unknown_fields=True):
    """The true value of a prediction."""

    prediction_id: Annotated[str, Meta(pattern=_ID.pattern)]


@functools.cache
def feedback_type(target: Target, name: str = "Feedback") -> type[Feedback]:
    """Return the type of a true value of a target, within its bounds.

    Parameters
    ----------
    name
        Name of the schema.
    """
    above = target.above if math.isfinite(target.above) else None
    highest = target.highest if math.isfinite(target.highest) else None
    value: Any = Annotated[float, Meta(gt=above, le=highest)]
    if target.is_classified:
        # A label that no class has is refused by its name, see `labels_of`.
        listed = {"enum": [*target.classes.labels]} if target.classes else {}
        value = Annotated[str | int | float | bool, Meta(extra_json_schema=listed)]
    kind: Any = defstruct(
        name,
        [(actual_name(target), value)],
        bases=(Feedback,),
        namespace={"__doc__": Feedback.__doc__},
        forbid_unknown_fields=True,
    )
    made: type[Feedback] = kind
    return made


def read_request(dataset: Dataset, body: bytes, most: int) -> PredictRequest:
    """Read a request to predict with its rows; see `open_request`.

    Raises
    ------
    RequestRefusedError
        See `open_request`.
    RefusedRowsError
        If a row breaks a rule; the error holds every broken rule.
    """
    opened = open_request(dataset, body, most)
    return PredictRequest(opened.read(dataset), opened.key, opened.moment, opened.level)


def open_request(dataset: Dataset, body: bytes, most: int) -> RawPredictRequest:
    """Read a request to predict, without its rows: one row, or several as `inputs`.

    The same `key` is always answered by the same version. `moment` names the champion that answers;
    left out, the earliest one answers that has all the values it needs. `level` is that of the
    intervals; beside a single row of a table with a column of this name, it is the column.

    Raises
    ------
    RequestRefusedError
        If it is not JSON (400), is not an object, its key or moment breaks a rule (422), or there
        are too many rows (413).
    InvalidInputError
        If the level is no number from 50 to 99.
    """
    refuse_too_many(body, most)
    request = decoded(body)
    if not isinstance(request, dict):
        raise RequestRefusedError(
            422,
            "The request",
            "is not an object",
            f"Give one with {', '.join(dataset.columns.fields)}, or with a list of such as "
            "`inputs`.",
        )
    key, moment = request.pop("key", None), request.pop("moment", None)
    key, moment = check_key(key), read_moment(dataset, moment)
    has_level = "inputs" in request or LEVEL not in dataset.columns.by_any_name
    level = read_level(request.pop(LEVEL, None) if has_level else None)
    if "inputs" not in request:
        return RawPredictRequest(
            lambda by: [by.reader.read_row(request, by.now)], key, moment, level
        )
    inputs = request.pop("inputs")
    if request:
        raise RequestRefusedError(
            422,
            "The request",
            f"holds a {dataset.rows[1]} beside `inputs`",
            f"Put all {dataset.rows[0]} into `inputs`.",
        )
    return RawPredictRequest(lambda by: convert_rows(by, inputs, most), key, moment, level)


def read_feedback(dataset: Dataset, body: bytes, most: int) -> dict[str, float | Label]:
    """Return true values by prediction id: numbers, or labels of classes.

    Raises
    ------
    RequestRefusedError
        As `read_request`.
    """
    refuse_too_many(body, most)
    kind, name = feedback_type(dataset.target), actual_name(dataset.target)
    given = decoded(body)
    if name != ACTUAL:
        # Both names are taken.
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, dict) and ACTUAL in one and name not in one:
                one[name] = one.pop(ACTUAL)
    try:
        read = msgspec.convert(given, kind | list[kind])  # type: ignore[valid-type]  # made for the target
    except msgspec.ValidationError as error:
        raise _broken(error) from error
    some = read if isinstance(read, list) else [read]
    require_count(len(some), most)
    told = {one.prediction_id: getattr(one, name) for one in some}
    return labels_of(dataset, told) if dataset.target.is_classified else told


def labels_of(dataset: Dataset, given: Mapping[str, Any]) -> dict[str, float | Label]:
    """Return the labels of true classes by prediction id.

    Raises
    ------
    RequestRefusedError
        If a label is unknown, or no model has been trained yet that knows them (422).
    """
    target = dataset.target
    if target.classes is None:
        raise RequestRefusedError(
            422,
            f"The classes of {target.name}",
            "are not known yet",
            "Train a model first: they are those of its training set.",
        )
    classes = target.classes
    try:
        return {one: classes.labels[classes.code(value)] for one, value in given.items()}
    except InvalidInputError as error:
        raise RequestRefusedError(422, error.given, error.rule, error.remedy) from error


def convert_rows(dataset: Dataset, records: object, most: int) -> list[Row]:
    """Read the rows of a list of records.

    Raises
    ------
    RequestRefusedError
        If it is not a list, or holds no row (422) or too many (413).
    RefusedRowsError
        If a row breaks a rule.
    """
    if not isinstance(records, list):
        given = f"The {dataset.rows[0]}"
        raise RequestRefusedError(422, given, "are not a list", "Give a list of objects.")
    require_count(len(records), most)
    return dataset.reader.read_rows(records, dataset.now)


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


def read_moment(dataset: Dataset, given: object) -> Moment | None:
    """Return the moment that a request names; None where it names none.

    Raises
    ------
    RequestRefusedError
        If there is no such moment (422).
    """
    for moment in dataset.moments:
        if given == moment:
            return moment
    if given is None or given == "":
        return None
    raise RequestRefusedError(
        422,
        f"Moment {str(given)[:20]!r}",
        "is unknown",
        f"Give one of: {', '.join(dataset.moments)}.",
    )


def read_explain(query: bytes) -> bool:
    """Return whether the query of an address asks for reasons.

    Raises
    ------
    RequestRefusedError
        If its value is neither true nor false, or the address holds anything else, which would be
        passed over without a word (422).
    """
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    if strange := [name for name in values if name != EXPLAIN]:
        raise RequestRefusedError(
            422,
            f"{strange[0][:20]!r} in the address",
            "is not read there",
            f"Give it in the body of the request; the address takes {EXPLAIN} alone.",
        )
    given = values.get(EXPLAIN, ["false"])[-1]
    if given not in {"true", "false"}:
        raise RequestRefusedError(
            422, f"{EXPLAIN}={given[:20]}", "is neither true nor false", f"Give {EXPLAIN}=true."
        )
    return given == "true"


def refuse_too_many(body: bytes, most: int) -> None:
    """Refuse JSON that cannot but hold too many rows, before it takes its room in memory.

    Each row is an object or a list of its own.

    Raises
    ------
    RequestRefusedError
        If there are too many (413).
    """
    if len(body) > _SMALL_BYTES:
        found = body.count(b"{") + body.count(b"[")
        if found > most + _FURTHER:
            raise _too_many(most)


def decoded(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a body.

    Raises
    ------
    RequestRefusedError
        If it is not JSON, names a field twice, or holds a number that is not finite (400).
    """
    try:
        return decode(body)
    except InvalidInputError as error:
        raise RequestRefusedError(400, error.given, error.rule, error.remedy) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefusedError(
            400, "The body", f"is not JSON ({error})", "NaN and Infinity are not JSON either."
        ) from error


def _broken(error: msgspec.ValidationError) -> RequestRefusedError:
    return RequestRefusedError(
        422, "The request", f"breaks a rule: {error}", "The names and bounds are in /docs."
    )


def require_count(count: int, most: int) -> None:
    """Refuse no row (422), and too many of them (413)."""
    if not count:
        raise RequestRefusedError(422, "The request", "holds no row", "Give at least one.")
    if count > most:
        raise _too_many(most)


def _too_many(most: int) -> RequestRefusedError:
    return RequestRefusedError(
        413,
        "The request",
        f"holds more than {most:,} rows",
        "Send parts, or score the file with the DAG batch_scoring.",
    )
