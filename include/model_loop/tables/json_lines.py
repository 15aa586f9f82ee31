"""JSON lines: an object on each line, whose values become text as it is written.

Numbers with a fraction stay numbers where a column has nothing else: their decimal sign is that of
JSON, whatever a dataset declares for its texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from model_loop.errors import InvalidInputError
from model_loop.objects.strict_json import refuse_repeated
from model_loop.tables.lines import Block
from model_loop.tables.opening import Utf8Stream
from model_loop.tables.row_blocks import RowBlock

_BLOCK = 2**22


class _Whole(str):
    """A whole number as it is written."""

    __slots__ = ()


class _Fraction(str):
    """A number with a fraction or an exponent, as it is written."""

    __slots__ = ()


def names_of(stream: Utf8Stream) -> tuple[str, ...]:
    """Return the keys of all objects, in the order in which they come first."""
    return tuple(columns_of(stream))


def columns_of(stream: Utf8Stream) -> dict[str, pa.DataType]:
    """Return the keys of all objects, in the order in which they come first, with their types.

    Returns
    -------
    dict
        float64 where every value is a number and some have a fraction, string otherwise.
    """
    kinds: dict[str, set[type]] = {}
    for block in line_blocks(stream.read):
        for line in block.lines():
            content = _parsed(line)
            for name, value in content.items() if isinstance(content, dict) else ():
                kinds.setdefault(name, set()).add(type(value))
    numbers = {_Whole, _Fraction, type(None)}
    return {
        name: pa.float64() if _Fraction in seen and seen <= numbers else pa.string()
        for name, seen in kinds.items()
    }


def read_blocks(stream: Utf8Stream, columns: Mapping[str, pa.DataType]) -> Iterator[RowBlock]:
    """Yield rows, block by block; a line that is no object is rejected.

    Parameters
    ----------
    columns
        Keys of the objects with their types; a row is null where it lacks one.
    """
    rows = 0
    for block in line_blocks(stream.read):
        lines = block.lines()
        contents = [_parsed(line) for line in lines]
        accepted = [number for number, each in enumerate(contents) if isinstance(each, dict)]
        objects = [contents[number] for number in accepted]
        rejected = {
            rows + number + 1: each
            for number, each in enumerate(contents)
            if not isinstance(each, dict)
        }
        read = {
            name: _array([each.get(name) for each in objects], kind)
            for name, kind in columns.items()
        }
        yield RowBlock(read, np.array(accepted, dtype=np.int64) + rows + 1, rejected)
        rows += len(lines)


def line_blocks(read: Callable[[int], bytes]) -> Iterator[Block]:
    """Yield the lines that hold something, some megabytes at a time; a line ends with LF alone.

    Parameters
    ----------
    read
        Returns the next bytes, at most so many; none at the end.
    """
    rest = b""
    while data := read(_BLOCK):
        whole, ending, rest = (rest + data).rpartition(b"\n")
        if ending:
            yield _block(whole + ending)
    if rest.strip():
        yield _block(rest)


def _block(data: bytes) -> Block:
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = [0, *ends[:-1].tolist()]
    filled = [bool(data[start:end].strip()) for start, end in zip(starts, ends, strict=True)]
    return Block(data, ends[np.array(filled, dtype=bool)])


def _parsed(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the object of a line; for anything else, why it is none."""
    try:
        # Numbers stay as they are written: no float has all of their digits.
        found = json.loads(
            line,
            parse_int=_Whole,
            parse_float=_Fraction,
            parse_constant=_Fraction,
            object_pairs_hook=refuse_repeated,
        )
    except InvalidInputError as error:
        return f"{error.given} {error.rule}"
    except ValueError as error:
        return f"the line is not a JSON object ({error})"
    if not isinstance(found, dict):
        return f"the line is not a JSON object (it is {type(found).__name__})"
    if any(isinstance(value, list | dict) for value in found.values()):
        plain = json.loads(line)
        found |= {key: plain[key] for key in plain if isinstance(plain[key], list | dict)}
    return found


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.float64():
        return pa.array([None if value is None else float(value) for value in values], kind)
    return pa.array([_text(value) for value in values], kind)


def _text(value: Any) -> str | None:  # noqa: ANN401 - any JSON
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
