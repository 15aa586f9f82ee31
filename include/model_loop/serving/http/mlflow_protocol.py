"""MLflow's scoring protocol: the five forms in which `/invocations` takes rows.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#inference-server-specification
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.reading import Row
from model_loop.intervals.grid import LEVEL
from model_loop.scoring.limits import read_level
from model_loop.serving.http.requests import (
    RequestRefusedError,
    convert_rows,
    decoded,
    refuse_too_many,
    require_count,
)

JSON, CSV = "application/json", "text/csv"

#: Keys that clients may send beside the rows.
_BESIDE = frozenset({"params", "signature_name"})
_UNPROCESSABLE = 422


class Invocation(NamedTuple):
    """A request in MLflow's protocol.

    Parameters
    ----------
    read
        Returns the rows as a dataset reads them; see `convert_rows`.
    level
        Level of the intervals that the parameter `level` asks for; None where it is left out.
    """

    read: Callable[[Dataset], list[Row]]
    level: float | None = None


def read_invocation(dataset: Dataset, body: bytes, content_type: str, most: int) -> list[Row]:
    """Return the rows of a request in any of the forms; see `open_invocation`.

    Raises
    ------
    RequestRefusedError, InvalidInputError
        See `open_invocation`.
    RefusedRowsError
        If a row breaks a rule.
    """
    return open_invocation(body, content_type, most).read(dataset)


def open_invocation(body: bytes, content_type: str, most: int) -> Invocation:
    """Read a request in any of the forms, without its rows.

    Raises
    ------
    RequestRefusedError
        If its type is unknown (415), it cannot be read (400), it is of no form, or has another
        parameter than `level` (422), or there are too many rows (413).
    InvalidInputError
        If the level is no number from 50 to 99.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == CSV:
        records = _from_csv(body, most)
        return Invocation(lambda dataset: convert_rows(dataset, records, most))
    if kind and kind != JSON:
        raise RequestRefusedError(
            415, f"Content type {kind!r}", "is not known here", f"Send {JSON} or {CSV}."
        )
    refuse_too_many(body, most)
    request = decoded(body)
    given = [name for name in _FORMS if isinstance(request, dict) and name in request]
    if len(given) != 1 or set(request) - {given[0]} - _BESIDE:
        raise _refused("The request", f"holds not exactly one of {', '.join(_FORMS)}")
    params = request.get("params") or {}
    if not isinstance(params, dict) or params.keys() - {LEVEL}:
        raise _refused("`params`", f"holds something else than `{LEVEL}`")
    rows = _FORMS[given[0]](request[given[0]], most)
    level = None if params.get(LEVEL) is None else read_level(params[LEVEL])
    return Invocation(lambda dataset: convert_rows(dataset, rows, most), level)


def _from_split(value: Any, most: int) -> object:  # noqa: ANN401 - JSON
    split = value if isinstance(value, dict) else {}
    columns, data = split.get("columns", ()), split.get("data", ())
    if not _is_list(columns, str) or not _is_list(data, list):
        raise _refused("dataframe_split", "has no lists of columns and of data")
    if len(set(columns)) != len(columns):
        raise _refused("dataframe_split", "names a column twice")
    require_count(len(data), most)
    if any(len(row) != len(columns) for row in data):
        raise _refused("dataframe_split", f"has a row without {len(columns)} values")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _from_records(value: Any, _most: int) -> object:  # noqa: ANN401 - JSON
    if not _is_list(value, dict):
        raise _refused("The rows", "are not a list of objects")
    return value


def _from_inputs(value: Any, most: int) -> object:  # noqa: ANN401 - JSON
    """Columns by name, or records."""
    if not isinstance(value, dict):
        return _from_records(value, most)
    if not all(isinstance(column, list) for column in value.values()):
        return [value]
    if len({len(column) for column in value.values()}) > 1:
        raise _refused("inputs", "has columns of different lengths")
    require_count(max(map(len, value.values()), default=0), most)
    names = list(value)
    return [dict(zip(names, row, strict=True)) for row in zip(*value.values(), strict=True)]


def _from_csv(body: bytes, most: int) -> object:
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        # One more than may be, and no further: read lines take a hundred times their room.
        lines = list(itertools.islice(filter(None, reader), most + 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestRefusedError(
            400, "The body", f"is not CSV ({error})", "Send UTF-8 with a line of names first."
        ) from error
    if not lines:
        return []
    names, *rows = lines
    require_count(len(rows), most)
    if len(set(names)) != len(names) or any(len(row) != len(names) for row in rows):
        raise _refused("The CSV", f"has a row without {len(names)} values, or a name twice")
    return [
        # An empty cell is a value that is not known.
        {name: cell for name, cell in zip(names, row, strict=True) if cell != ""}
        for row in rows
    ]


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _refused(given: str, rule: str) -> RequestRefusedError:
    return RequestRefusedError(_UNPROCESSABLE, given, rule, "See /docs for an example.")


_FORMS: Mapping[str, Callable[[Any, int], object]] = MappingProxyType(
    {
        "dataframe_split": _from_split,
        "dataframe_records": _from_records,
        "instances": _from_records,
        "inputs": _from_inputs,
    }
)
