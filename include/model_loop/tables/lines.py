"""The rows of a CSV file as they stand in it.

A row is a line, unless a quoted cell goes on over several (RFC 4180). A line ends with LF, CR LF or
CR, and a file may mix them: programs that only append to one do. A line that holds nothing is no
row. A cell is quoted if its first character is a quote; anywhere else a quote is text, as in
``6'2" tall``. A quote that is never closed, or not within `_LONGEST_ROW` bytes, spoils the line
that it stands in and no other one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.errors import InvalidInputError

#: Bytes that are searched for rows at once.
BLOCK = 2**22
#: Longest row that goes on over several lines.
_LONGEST_ROW = 2**17
#: A longer line means that the file is not CSV.
_LONGEST_LINE = 2**24
LONGEST_HEADER = 2**16
DELIMITERS = (",", ";", "\t", "|")
_QUOTE, _LF, _CR = b'"\n\r'
LINE_ENDS = b"\r\n"
_END = re.compile(rb"\r\n|\n|\r")
#: Message of Python's CSV reader for a quoted cell without an end.
_OPEN = "unexpected end of data"
# Python's reader has one limit for all, which long texts pass.
csv.field_size_limit(2 * _LONGEST_LINE)


@dataclass(frozen=True)
class Dialect:
    """Delimiter and number of the cells of a file.

    Parameters
    ----------
    delimiter
        Delimiter between two cells.
    columns
        Number of the header's cells.
    """

    delimiter: str
    columns: int

    def cells(self, row: str) -> list[str]:
        """Return the cells of a row.

        Raises
        ------
        csv.Error
            If a quoted cell has no end, or goes on behind it.
        """
        return next(csv.reader([row], delimiter=self.delimiter, strict=True), [])


@dataclass(frozen=True)
class Block:
    """Some successive rows as they stand in the file.

    Parameters
    ----------
    data
        Their bytes.
    ends
        End of each row in them, shape (rows,); empty lines may stand between.
    """

    data: bytes
    ends: npt.NDArray[np.int64]

    def lines(self) -> list[bytes]:
        """Return each row, without its line end."""
        ends = self.ends.tolist()
        return [
            self.data[start:end].strip(LINE_ENDS)
            for start, end in zip([0, *ends], ends, strict=False)
        ]


def first_row(origin: str, start: bytes, declared: str | None = None) -> tuple[bytes, str]:
    """Return the header without its end, and what stands between its names.

    A quoted name may hold line ends; names that hold whole rows are a quote that is never closed.

    Parameters
    ----------
    origin
        Name of the file, for errors.
    start
        First bytes of the file, in UTF-8 and without a byte-order mark.
    declared
        Delimiter; the most frequent of those that are usual by default.

    Raises
    ------
    InvalidInputError
        If a quoted name has no end, or the text is not UTF-8.
    """
    places = [match.start() for match in _END.finditer(start[:LONGEST_HEADER])]
    for end in (*places, len(start)):
        row = start[:end]
        delimiter = declared or _delimiter(origin, row)
        try:
            cells = cells_of(row, delimiter)
        except csv.Error as error:
            if _OPEN in str(error):
                continue
            break
        further = (line for name in cells for line in name.splitlines()[1:])
        if any(line.count(delimiter) > 1 for line in further):
            break
        return row, delimiter
    raise InvalidInputError(
        origin,
        "has no header: a quoted name has no end",
        "Close the quote that a name begins with, or leave the quotes out.",
    )


def _delimiter(origin: str, row: bytes) -> str:
    try:
        shown = row.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            origin, f"is not a CSV file ({error})", "Save it as CSV in UTF-8."
        ) from error
    return max(DELIMITERS, key=re.sub(r'"[^"]*"', "", shown).count)


def cells_of(row: bytes, delimiter: str) -> list[str]:
    """Return the cells of a row of bytes, in UTF-8.

    Raises
    ------
    csv.Error
        See `Dialect.cells`.
    """
    return next(csv.reader([row.decode()], delimiter=delimiter, strict=True), [])


def what_is_wrong(error: csv.Error) -> str:
    """Return why a row is no CSV, for people."""
    text = str(error)
    if _OPEN in text:
        return "a quoted cell has no end"
    if "expected after" in text:
        return "a quoted cell goes on behind its closing quote"
    return text


def row_blocks(read: Callable[[int], bytes], dialect: Dialect, origin: str) -> Iterator[Block]:
    """Yield the whole rows of a text, block by block.

    Parameters
    ----------
    read
        Returns the next bytes, at most so many; none at the end.
    origin
        Name of the file, for errors.

    Raises
    ------
    InvalidInputError
        If a line is so long that the file is no CSV.
    """
    rest, following = b"", read(BLOCK)
    while following:
        data, following = rest + following, read(BLOCK)
        ends = _row_ends(data, dialect, whole=not following)
        done = int(ends[-1]) if len(ends) else 0
        if done:
            yield Block(data[:done], _without_blanks(data, ends))
        rest = data[done:]
        if len(rest) > _LONGEST_LINE:
            raise InvalidInputError(
                origin,
                f"has a line of more than {_LONGEST_LINE:,} bytes: {rest[:60]!r}…",
                "It may be no CSV file: save it again as CSV in UTF-8.",
            )


def _row_ends(data: bytes, dialect: Dialect, *, whole: bool) -> npt.NDArray[np.int64]:
    """Return where the rows end that surely end in the data.

    Parameters
    ----------
    whole
        Whether nothing comes after the data.
    """
    found = np.frombuffer(data, dtype=np.uint8)
    ends = _line_ends(found, data)
    if whole and data and (not len(ends) or ends[-1] < len(data)):
        # The last row needs no line end.
        ends = np.append(ends, len(data))
    if _QUOTE not in data:
        return ends
    return _joined(data, ends, _open_lines(found, ends, dialect), dialect, whole=whole)


def _line_ends(found: npt.NDArray[np.uint8], data: bytes) -> npt.NDArray[np.int64]:
    """Return where lines end: behind each LF, and each CR that surely stands before none."""
    ends = found == _LF
    if _CR in data:
        ends[:-1] |= (found[:-1] == _CR) & ~ends[1:]
    return np.flatnonzero(ends) + 1


def _without_blanks(data: bytes, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the ends of rows, without those of lines that hold nothing."""
    starts = np.concatenate([[0], ends[:-1]])
    short = np.flatnonzero(ends - starts <= len(LINE_ENDS))
    blank = [row for row in short.tolist() if not data[starts[row] : ends[row]].strip(LINE_ENDS)]
    return np.delete(ends, blank)


def unclosed_rows(
    data: bytes, ends: npt.NDArray[np.int64], delimiter: str
) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows with a quote that neither opens nor closes a cell.

    Parameters
    ----------
    ends
        End of each row, shape (rows,).
    """
    return _open_lines(np.frombuffer(data, dtype=np.uint8), ends, Dialect(delimiter, 0))


def _open_lines(
    found: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], dialect: Dialect
) -> npt.NDArray[np.int64]:
    """Return the numbers of the lines in which a quoted cell may be left open.

    In the others every second quote closes what the one before it has opened: the former stands at
    the beginning of a cell, the latter at an end of one, and pairs of quotes within a cell do both.
    """
    quotes = np.flatnonzero(found == _QUOTE)
    if not len(ends) or _all_closed(found, quotes[quotes < ends[-1]], ends, dialect):
        return np.empty(0, dtype=np.int64)
    lines = np.searchsorted(ends, quotes, side="right")
    firsts = np.searchsorted(lines, np.arange(len(ends) + 1))
    inside = np.arange(len(quotes)) - firsts[lines]
    begins = (quotes == 0) | _is_between(found[quotes - 1], dialect)
    closes = (quotes == len(found) - 1) | _is_between(
        found[np.minimum(quotes + 1, len(found) - 1)], dialect
    )
    strange = np.where(inside % 2 == 0, ~begins, ~closes)
    odd = np.flatnonzero(np.diff(firsts) % 2)
    return np.union1d(odd, lines[strange])


def _all_closed(
    found: npt.NDArray[np.uint8],
    quotes: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    dialect: Dialect,
) -> bool:
    """Return whether no line leaves a cell open, as in most files, without a look at each line."""
    opening, closing = quotes[::2], quotes[1::2]
    before = opening[1:] if len(opening) and not opening[0] else opening
    return bool(
        not np.any(np.searchsorted(quotes, ends) % 2)
        and _is_between(found[before - 1], dialect).all()
        and _is_between(found[closing[closing < len(found) - 1] + 1], dialect).all()
    )


def _is_between(bytes_: npt.NDArray[np.uint8], dialect: Dialect) -> npt.NDArray[np.bool_]:
    """Return which bytes may stand beside a quote that opens or closes a cell."""
    known = np.zeros(256, dtype=np.bool_)
    known[list(dialect.delimiter.encode() + LINE_ENDS + b'"')] = True
    return known[bytes_]


def _joined(
    data: bytes,
    ends: npt.NDArray[np.int64],
    suspects: npt.NDArray[np.int64],
    dialect: Dialect,
    *,
    whole: bool,
) -> npt.NDArray[np.int64]:
    """Return the ends of rows: of lines, without those within a quoted cell."""
    within, resume = list[int](), 0
    for suspect in suspects.tolist():
        if suspect < resume or suspect >= len(ends):
            continue
        last = _last_line(data, ends, suspect, dialect, whole=whole)
        if last is None:
            # The next bytes decide, and are not read yet.
            ends = ends[:suspect]
            break
        within += range(suspect, last)
        resume = last + 1
    return np.delete(ends, [line for line in within if line < len(ends)])


def _last_line(
    data: bytes, ends: npt.NDArray[np.int64], line: int, dialect: Dialect, *, whole: bool
) -> int | None:
    """Return the last line of the row that begins with a line; None if more has to be read."""
    start = int(ends[line - 1]) if line else 0
    first = _text(data, start, int(ends[line]))
    if not _is_open(first, dialect):
        return line
    for last in range(line + 1, len(ends)):
        end = int(ends[last])
        if end - start > _LONGEST_ROW:
            return line
        if data.find(b'"', int(ends[last - 1]), end) < 0:
            continue
        # Behind the quote that is open.
        if not _is_open('"' + _text(data, int(ends[last - 1]), end), dialect):
            return last if _is_one_row(data, ends, line, last, dialect) else line
    return line if whole or len(data) - start > _LONGEST_ROW else None


def _is_open(row: str, dialect: Dialect) -> bool:
    try:
        dialect.cells(row)
    except csv.Error as error:
        return _OPEN in str(error)
    return False


def _is_one_row(
    data: bytes, ends: npt.NDArray[np.int64], first: int, last: int, dialect: Dialect
) -> bool:
    """Return whether several lines are one row, and not rows of which one has a stray quote.

    They are one if they make as many cells as the header has, and no line within a quoted cell
    reads as a row like this one by itself. The last line does where the first cell of the row is
    the quoted one; it counts only if the first line does by itself, too.
    """
    starts = [int(ends[line - 1]) if line else 0 for line in range(first, last + 1)]
    try:
        cells = dialect.cells(_text(data, starts[0], int(ends[last])))
    except csv.Error:
        return False
    if len(cells) != dialect.columns:
        return False
    stops = ends[first : last + 1].tolist()
    lines = [_text(data, start, stop) for start, stop in zip(starts, stops, strict=True)]
    alike = [_is_like(_alone(line, dialect), cells) for line in lines]
    # A line that ends one quoted cell and begins another one is whole only with both.
    within = (
        like
        for like, line in zip(alike[1:-1], lines[1:-1], strict=True)
        if len(_alone(f'"{line}', dialect, split=False)) == 1
    )
    return not any(within) and not (alike[0] and alike[-1])


def _alone(line: str, dialect: Dialect, *, split: bool = True) -> list[str]:
    """Return the cells of a line, where a quote that is never closed is text."""
    cells = next(csv.reader([line], delimiter=dialect.delimiter), [])
    if not split:
        return cells
    return [*cells[:-1], *cells[-1].split(dialect.delimiter)] if cells else []


def _is_like(cells: list[str], row: list[str]) -> bool:
    """Return whether cells are numbers and times wherever those of a row on one line are."""
    return len(cells) == len(row) and all(
        one[:1].isdigit() == other[:1].isdigit()
        for one, other in zip(cells, row, strict=True)
        if not set(other) & set("\r\n")
    )


def _text(data: bytes, start: int, end: int) -> str:
    return data[start:end].rstrip(LINE_ENDS).decode(errors="replace")
