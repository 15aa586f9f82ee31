"""The header and the rows of a CSV file that is scored, as they stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.scoring.opening import open_input
from model_loop.tables.lines import (
    LINE_ENDS,
    LONGEST_HEADER,
    Block,
    Dialect,
    cells_of,
    first_row,
    row_blocks,
)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Header:
    """The first row of a file.

    Parameters
    ----------
    names
        Names of the columns.
    dialect
        Dialect for reading the rows.
    line_end
        Line end of the header, and of each row that is written.
    text
        The row itself, without its end.
    bytes
        Number of bytes in the file, with the blank lines behind it.
    """

    names: tuple[str, ...]
    dialect: Dialect
    line_end: bytes
    text: bytes
    bytes: int

    @property
    def delimiter(self) -> str:
        """Delimiter between two cells."""
        return self.dialect.delimiter


def header_of(path: UPath) -> Header:
    """Return the first row of a file.

    Raises
    ------
    InvalidInputError
        If it is empty, no text, names a column twice, or has a quote that is never closed.
    """
    with open_input(path) as file:
        # The header, and the blank lines behind it.
        start = file.read(2 * LONGEST_HEADER)
    mark = len(_BYTE_ORDER_MARK) if start.startswith(_BYTE_ORDER_MARK) else 0
    text, delimiter = first_row(f"Input {path}", start[mark:])
    names = [name.strip() for name in cells_of(text, delimiter)]
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(
            f"Input {path}",
            "has no header that names each of its columns once",
            "Give the names of the columns in the first line.",
        )
    after = start[mark + len(text) :]
    blank = after[: len(after) - len(after.lstrip(LINE_ENDS))]
    # CR CR LF is CR LF that was written as text on Windows.
    line_end = next((end for end in (b"\r\n", b"\n", b"\r") if end in blank), b"\n")
    dialect = Dialect(delimiter, len(names))
    return Header(tuple(names), dialect, line_end, text, mark + len(text) + len(blank))


def blocks(path: UPath, dialect: Dialect, first: int, last: int | None = None) -> Iterator[Block]:
    """Yield the whole rows between two places of a file, block by block.

    Parameters
    ----------
    last
        End of the last row; with the file by default.
    """
    with open_input(path) as file:
        left = (file.seek(0, 2) if last is None else last) - first
        file.seek(first)

        def read(count: int) -> bytes:
            nonlocal left
            data = file.read(min(count, left))
            left -= len(data)
            return data

        yield from row_blocks(read, dialect, f"Input {path}")
