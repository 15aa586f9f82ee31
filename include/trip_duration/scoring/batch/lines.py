"""The rows of a CSV file as they stand in it.

Rows are found by the line ends that are not between quotes (RFC 4180), of which blocks of the file
are searched at once.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from upath import UPath

from trip_duration.errors import InvalidInputError

#: Bytes that are searched for rows at once.
BLOCK = 2**22
#: A longer row is a quote that was never closed.
_LONGEST_ROW = 2**24
_LONGEST_HEADER = 2**16
_DELIMITERS = (",", ";", "\t", "|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEW_LINE, _QUOTE = 10, 34


@dataclass(frozen=True)
class Header:
    """The first row of a file.

    Parameters
    ----------
    names
        Of the columns.
    delimiter
        What stands between two fields.
    line_end
        What stands at the end of a row.
    text
        The row itself, without its end.
    bytes
        How many it takes in the file.
    """

    names: tuple[str, ...]
    delimiter: str
    line_end: bytes
    text: bytes
    bytes: int


@dataclass(frozen=True)
class Block:
    """Some successive rows as they stand in the file.

    Parameters
    ----------
    data
        Their bytes.
    ends
        Where each ends in them, shape (rows,).
    """

    data: bytes
    ends: npt.NDArray[np.int64]

    def lines(self) -> list[bytes]:
        """Each row, without its line end."""
        starts = [0, *self.ends[:-1].tolist()]
        return [
            self.data[start:end].rstrip(b"\r\n")
            for start, end in zip(starts, self.ends.tolist(), strict=True)
        ]


def header_of(path: UPath) -> Header:
    """The first row of a file.

    Raises
    ------
    InvalidInputError
        If it is empty, no text, or names a column twice.
    """
    with path.open("rb") as file:
        line = b"".join(file.read(_LONGEST_HEADER).partition(b"\n")[:2])
    text = line.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\r\n")
    try:
        shown = text.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"Input {path}", f"is no CSV file ({error})", "Save it as CSV in UTF-8."
        ) from error
    delimiter = max(_DELIMITERS, key=shown.count)
    names = next(csv.reader([shown], delimiter=delimiter), [])
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(
            f"Input {path}",
            "has no header that names each of its columns once",
            "Give the names of the columns in the first line.",
        )
    line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    return Header(tuple(names), delimiter, line_end, text, len(line))


def blocks(path: UPath, first: int, last: int | None) -> Iterator[Block]:
    """Whole rows between two places of a file, block by block."""
    with path.open("rb") as file:
        file.seek(first)
        left, rest = last - first if last is not None else None, b""
        while read := file.read(BLOCK if left is None else min(BLOCK, left)):
            left = None if left is None else left - len(read)
            data = rest + read
            ends = _row_ends(data)
            done = int(ends[-1]) if len(ends) else 0
            if done:
                yield Block(data[:done], ends)
            rest = data[done:]
            if len(rest) > _LONGEST_ROW:
                raise InvalidInputError(
                    f"Input {path}",
                    f"has a row of more than {_LONGEST_ROW:,} bytes: {rest[:60]!r}…",
                    "Close the quote that it begins with, or double a quote within a field.",
                )
    if rest:
        # The last row needs no line end.
        yield Block(rest, np.array([len(rest)]))


def _row_ends(data: bytes) -> npt.NDArray[np.int64]:
    """Where rows end: line ends with an even number of quotes before them."""
    found = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(found == _NEW_LINE)
    if _QUOTE in data:
        quotes = np.flatnonzero(found == _QUOTE)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return ends + 1
