"""The check of rows and answers against the columns of a package."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from model_loop.runner.package import CodeColumn, CodePackage

#: Errors of JSON that cannot be read; foreign code may answer with any bytes.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: Bytes of an answer: of all of it, of one output of one row, and at most.
_ANSWER_BYTES, _VALUE_BYTES, _MOST_ANSWER_BYTES = 2**16, 2**12, 2**26


def most_answer_bytes(number: int, package: CodePackage) -> int:
    """Return how many bytes the answers to a number of rows may have: decoded, they have more."""
    return min(_ANSWER_BYTES + number * len(package.outputs) * _VALUE_BYTES, _MOST_ANSWER_BYTES)


def fault_of(rows: object, columns: Sequence[CodeColumn], number: int | None = None) -> str:
    """Return which rule rows break; empty if they break none.

    Parameters
    ----------
    number
        How many rows there have to be.
    """
    if not isinstance(rows, list):
        return "are no list"
    if number is not None and len(rows) != number:
        return f"are {len(rows)} for {number} rows"
    names = {column.name for column in columns}
    for position, row in enumerate(rows):
        if fault := _fault_of_row(row, columns, names):
            return f"hold, at {position}, {fault}"
    return ""


def _fault_of_row(row: object, columns: Sequence[CodeColumn], names: set[str]) -> str:
    if not isinstance(row, Mapping):
        return "no dictionary"
    if strange := sorted(map(str, {*row} - names)):
        return f"{strange[0]!r}, which is not a column"
    for column in columns:
        value = row.get(column.name)
        if value is None:
            if not column.may_be_missing:
                return f"no value of {column.name!r}"
        elif reason := _CHECKS[column.type](value):
            return f"a value of {column.name!r} that {reason}"
    return ""


def _fault_of_number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "is no number"
    # Written so that NaN is out of bounds. A whole number may be too large for functions of math.
    return "" if abs(value) <= sys.float_info.max else "is not finite"


def _fault_of_time(value: object) -> str:
    try:
        dt.datetime.fromisoformat(str(value))
    except ValueError:
        return "is not a time in ISO 8601"
    return _fault_of_text(value)


def _fault_of_text(value: object) -> str:
    return "" if isinstance(value, str) else "is no text"


_CHECKS: Mapping[str, Callable[[object], str]] = MappingProxyType(
    {
        "number": _fault_of_number,
        "text": _fault_of_text,
        "yes/no": lambda value: "" if isinstance(value, bool) else "is neither true nor false",
        "time": _fault_of_time,
    }
)
