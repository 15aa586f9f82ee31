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

_json = msgspec.json.Decoder()


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
        value = _json.decode(data)
    except msgspec.DecodeError:
        # NaN and the like are no JSON, and the parser does not say whose value they are.
        _decode_slowly(data)
        raise
    # A name that stands twice leaves quotes over. Those within texts are escaped.
    quotes, clear = data.count(b'"'), True
    if b"\\" in data:
        quotes -= data.count(b'\\"')
        # The quote behind an escaped backslash is not escaped.
        clear = b"\\\\" not in data
    if quotes != 2 * _texts(value) or not clear:
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


def _texts(value: Any) -> int:  # noqa: ANN401 - any JSON
    """Count the texts of a value, names among them."""
    kind = type(value)
    if kind is dict:
        texts, inner = len(value), value.values()
    elif kind is list:
        texts, inner = 0, value
    else:
        return int(kind is str)
    for each in inner:
        kind = type(each)
        # Nearly all values are numbers.
        if kind is str:
            texts += 1
        elif kind is dict or kind is list:
            texts += _texts(each)
    return texts


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
