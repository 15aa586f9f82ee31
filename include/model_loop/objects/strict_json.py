"""JSON of callers, in which nothing may be lost without a word.

Parsers take the last of two values of one name; and a number that no float holds is an error
without the name of its field. Both are refused by name here.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from model_loop.errors import InvalidInputError

_SHOWN = 40


def decode(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a text in JSON.

    Raises
    ------
    InvalidInputError
        If an object names a field twice, or a number is not finite.
    ValueError, RecursionError
        If it is not JSON otherwise.
    """
    try:
        value = msgspec.json.decode(data)
    except msgspec.DecodeError:
        # NaN and the like are no JSON, and the parser does not say whose value they are.
        _decode_slowly(data)
        raise
    # A name that stands twice leaves a colon over. An escaped character may be one.
    if b"\\u" in data or data.count(b":") != _colons(value):
        _decode_slowly(data)
    return value


def refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of names and values, as `json.loads` hands them to its hook.

    Raises
    ------
    InvalidInputError
        If a name stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(twice[:_SHOWN], "is given twice", "Give it once.")
    return found


def _colons(value: Any) -> int:  # noqa: ANN401 - any JSON
    """Count the colons of a value in JSON, if nothing is escaped in it."""
    kind = type(value)
    if kind is str:
        return int(value.count(":"))
    if kind is list:
        return sum(map(_colons, value))
    if kind is not dict:
        return 0
    colons = len(value)
    for name, inner in value.items():
        colons += name.count(":")
        kind = type(inner)
        # Nearly all values are numbers.
        if kind is str or kind is dict or kind is list:
            colons += _colons(inner)
    return colons


class _NotFinite(str):
    """A number that no float holds, as it is written."""

    __slots__ = ()


def _decode_slowly(data: bytes) -> None:
    """Find the name of what is wrong; anything else that is no JSON is found by the caller.

    Raises
    ------
    InvalidInputError
        See `decode`.
    """

    def number(text: str) -> float | _NotFinite:
        return found if math.isfinite(found := float(text)) else _NotFinite(text)

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in pairs:
            for inner in value if isinstance(value, list) else (value,):
                if isinstance(inner, _NotFinite):
                    raise InvalidInputError(
                        f"{name[:_SHOWN]} = {inner[:_SHOWN]}",
                        "is not a finite number",
                        "Give a number, or null where it is not known.",
                    )
        return refuse_repeated(pairs)

    try:
        json.loads(data, parse_float=number, parse_constant=_NotFinite, object_pairs_hook=checked)
    except (RecursionError, UnicodeDecodeError, json.JSONDecodeError):
        return
