"""Delimited text (CSV): its header, and its rows block by block as columns of text.

Rows are found once by `lines`, and a second time by Arrow's parser or by Python's; where the two
do not agree, the block is read row by row. A row whose cells are not those of the header is
rejected by itself, so that no row shifts a column or spoils another row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from model_loop.datasets.conditions import Mask
from model_loop.datasets.declaration import DialectDeclaration
from model_loop.tables.lines import (
    DELIMITERS,
    LINE_ENDS,
    LONGEST_HEADER,
    Block,
    Dialect,
    cells_of,
    first_row,
    row_blocks,
    unclosed_rows,
    what_is_wrong,
)
from model_loop.tables.opening import Utf8Stream
from model_loop.tables.preamble import is_row_of_units, rows_above_header, sample_rows
from model_loop.tables.refused import TableFileError
from model_loop.tables.row_blocks import RowBlock

#: Delimiters that are recognised, so that a file with one is not read as one column.
_RARE = ("^", "~", "\x01", "\x1f", ":", " ")
_SAMPLE_LINES = 200
#: Share of the sampled rows that have to be as wide as the header.
_ALIKE, _FEWEST_ALIKE = 0.9, 3
_CONFLICT = re.compile(rb"^(?:<{7}|>{7}|\|{7}) |^(?:<{7}|>{7})\r?$", re.MULTILINE)
_NUMBER_LIKE = re.compile(r"[+-]?\d+(?:[.,]\d+)?")


@dataclass(frozen=True)
class TextHeader:
    """The first row of a delimited text.

    Parameters
    ----------
    names
        Names of the columns, without unnamed ones at the end; each once.
    delimiter
        Delimiter between two cells.
    rest
        Bytes behind it, of those that were read.
    skipped
        Lines above it that are no row: a title, comments, names of groups of columns.
    units
        Row of units below it; empty if there is none.
    cells
        The header as it is written, by which it is recognised further below; empty if the file has
        none.
    """

    names: tuple[str, ...]
    delimiter: str
    rest: bytes
    skipped: tuple[str, ...] = ()
    units: str = ""
    cells: tuple[str, ...] = ()

    @property
    def renamed(self) -> tuple[str, ...]:
        """Names that columns got because another one has theirs."""
        written = dict(zip(self.names, self.cells, strict=False))
        return tuple(name for name, cell in written.items() if cell and cell != name)


def read_header(stream: Utf8Stream, dialect: DialectDeclaration, origin: str) -> TextHeader:
    """Return the names of the columns, and the delimiter.

    Raises
    ------
    TableFileError
        If the file is empty, or would be read as one column although its rows hold delimiters.
    """
    start = b""
    while len(start) < 2 * LONGEST_HEADER and (data := stream.read(2 * LONGEST_HEADER)):
        start += data
    start = start.lstrip(LINE_ENDS)
    if not start.strip():
        raise TableFileError("no_rows", origin, "is empty", "Give a file with a header and rows.")
    skipped = _title(start, dialect.delimiter) if dialect.header else b""
    start = start[len(skipped) :]
    delimiter = dialect.delimiter or _delimiter(start)
    if dialect.header:
        sparse = _sparse_rows(start, delimiter)
        start, skipped = start[len(sparse) :], skipped + sparse
    row, _ = first_row(origin, start, delimiter)
    cells = [cell.strip() for cell in cells_of(row, delimiter)]
    _require_columns(cells, start, delimiter, origin)
    if not dialect.header:
        return TextHeader(tuple(f"column_{n + 1}" for n in range(len(cells))), delimiter, start)
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    rest = start[len(row) :]
    units = _units(rest, delimiter)
    above = tuple(line for line in skipped.decode(errors="replace").splitlines() if line.strip())
    return TextHeader(
        _unique(cells),
        delimiter,
        rest[len(units) :],
        above,
        units.decode(errors="replace").strip(),
        tuple(cells),
    )


def _sparse_rows(start: bytes, delimiter: str) -> bytes:
    """Return the rows above the header that hold the delimiter, as spreadsheets write titles."""
    lines = start.splitlines(keepends=True)[:_SAMPLE_LINES]
    filled = [place for place, line in enumerate(lines) if line.strip()]
    rows = sample_rows([lines[place].decode(errors="replace") for place in filled], delimiter)
    above = rows_above_header(rows)
    return b"".join(lines[: filled[above]]) if above else b""


def _units(rest: bytes, delimiter: str) -> bytes:
    """Return the row of units below the header, with the line ends before it."""
    lines = rest.splitlines(keepends=True)[:_SAMPLE_LINES]
    filled = [place for place, line in enumerate(lines) if line.strip()]
    rows = sample_rows([lines[place].decode(errors="replace") for place in filled], delimiter)
    if len(rows) > 1 and is_row_of_units(rows[0], rows[1:]):
        return b"".join(lines[: filled[0] + 1])
    return b""


def _unique(cells: Sequence[str]) -> tuple[str, ...]:
    """Return a name of its own for each column: its number for one without a name."""
    names: list[str] = []
    taken = set(cells)
    for number, cell in enumerate(cells, 1):
        name, count = cell or f"column_{number}", 2
        while name in names or (name != cell and name in taken):
            name, count = f"{cell or 'column'}_{count}", count + 1
        names.append(name)
    return tuple(names)


def require_names(names: Sequence[str], origin: str) -> None:
    """Refuse names of columns of which one is there twice.

    Raises
    ------
    TableFileError
        With the name.
    """
    seen = set[str]()
    for name in names:
        if name in seen:
            raise TableFileError(
                "column_twice",
                origin,
                f"has two columns that are called {name!r}",
                "Give each column a name of its own, and leave out what is there twice.",
            )
        seen.add(name)


def is_of_numbers(names: Sequence[str]) -> bool:
    """Return whether names of columns look like a first row of numbers."""
    return len(names) > 1 and all(_NUMBER_LIKE.fullmatch(name) for name in names)


def _sample(start: bytes) -> list[str]:
    lines = start.decode(errors="replace").splitlines()
    # The last line may go on.
    complete = lines[:-1] if len(lines) > 2 and len(start) >= LONGEST_HEADER else lines  # noqa: PLR2004 - a header and a row
    return [line for line in complete if line.strip()][:_SAMPLE_LINES]


def _title(start: bytes, declared: str | None) -> bytes:
    """Return the lines above the header: a title of several words, or comments behind a ``#``.

    They hold none of the usual delimiters, so that no header of names between semicolons is taken
    for a title above decimal commas, and nearly all lines below them hold the same number of one.
    """
    lines = start.splitlines(keepends=True)[:_SAMPLE_LINES]
    for delimiter in (declared,) if declared else DELIMITERS:
        counts = [line.count(delimiter.encode()) for line in lines]
        first = next((place for place, count in enumerate(counts) if count), 0)
        titles = [line.strip() for line in lines[:first]]
        below = [count for count, line in zip(counts, lines, strict=True) if line.strip()]
        below = below[sum(map(bool, titles)) :]
        alike = below.count(counts[first]) >= max(_ALIKE * len(below), _FEWEST_ALIKE)
        plain = not any(mark.encode() in line for mark in DELIMITERS for line in titles)
        worded = all(not line or line[:1] == b"#" or b" " in line for line in titles)
        if first and alike and plain and worded:
            return b"".join(lines[:first])
    return b""


def _delimiter(start: bytes) -> str:
    """Return the delimiter that makes the most rows as wide as the header, then the widest one."""
    lines = _sample(start)
    best, best_score = DELIMITERS[0], (0.0, 1)
    for candidate in DELIMITERS:
        header, *rows = csv.reader(lines, delimiter=candidate)
        if (width := len(header)) == 1:
            continue
        alike = sum(len(row) >= width and not any(row[width:]) for row in rows)
        score = (alike / len(rows) >= _ALIKE if rows else 0.0, width)
        if score > best_score:
            best, best_score = candidate, score
    return best


def _require_columns(cells: list[str], start: bytes, delimiter: str, origin: str) -> None:
    if len(cells) > 1:
        return
    header, *rows = [re.sub(r'"[^"]*"', "", line) for line in _sample(start)]
    for other in (*DELIMITERS, *_RARE):
        counts = [row.count(other) for row in rows]
        if not counts or other == delimiter:
            continue
        common = max(set(counts), key=counts.count)
        alike = counts.count(common) >= _ALIKE * len(counts)
        if common and alike and (other in DELIMITERS or header.count(other) == common):
            raise TableFileError(
                "one_column_read",
                origin,
                f"would be read as one column, although its rows hold {common + 1} fields between "
                f"{other!r}",
                f"Declare the delimiter: [dialect] delimiter = {other!r}.",
            )


def read_blocks(stream: Utf8Stream, header: TextHeader, origin: str) -> Iterator[RowBlock]:
    """Yield the rows behind the header, block by block.

    Raises
    ------
    TableFileError
        If the file holds the marks of a conflict of version control.
    """
    waiting = header.rest

    def read(count: int) -> bytes:
        nonlocal waiting
        data, waiting = waiting or stream.read(count), b""
        return data

    dialect, rows = Dialect(header.delimiter, len(header.names)), 0
    for block in row_blocks(read, dialect, origin):
        _refuse_conflicts(block, rows, origin)
        parsed = _parse(block, header, rows)
        rows += len(block.ends) - parsed.blank
        yield parsed


def _refuse_conflicts(block: Block, rows: int, origin: str) -> None:
    if b"<<<<<<<" not in block.data and b">>>>>>>" not in block.data:
        return
    if (match := _CONFLICT.search(block.data)) is not None:
        row = rows + int(np.searchsorted(block.ends, match.start(), side="right")) + 1
        raise TableFileError(
            "conflict_markers",
            origin,
            f"holds the marks of a conflict of version control (row {row:,})",
            "Resolve the conflict, and commit the file again.",
        )


@dataclass(frozen=True)
class ParsedRows:
    """The rows of a block as their cells.

    Parameters
    ----------
    columns
        Text of the columns that were asked for, shape (accepted rows,) each.
    rows
        Place of each accepted row in the block, shape (accepted rows,).
    reasons
        Reasons of the rejected rows by their places; empty for a line of spaces alone.
    surplus
        Empty cells of accepted rows beyond the header's last one, by places of rows.
    """

    columns: list[pa.Array]
    rows: npt.NDArray[np.int64]
    reasons: dict[int, str]
    surplus: dict[int, int]


def parse_rows(block: Block, header: TextHeader, wanted: Sequence[int] | None = None) -> ParsedRows:
    """Read the cells of a block's rows.

    Parameters
    ----------
    wanted
        Places of the columns that are returned; all by default.
    """
    starts = np.concatenate([[0], block.ends[:-1]]).astype(np.int64)
    chosen = range(len(header.names)) if wanted is None else wanted
    return _at_once(block, header, starts, chosen) or _singly(
        block, header, np.arange(len(block.ends)), starts, chosen
    )


def _parse(block: Block, header: TextHeader, before: int) -> RowBlock:
    """Return the rows of a block.

    Parameters
    ----------
    before
        Number of rows before it.
    """
    parsed = parse_rows(block, header)
    columns, rows, reasons = parsed.columns, parsed.rows, parsed.reasons
    if (repeated := _repeat_header(columns, header)).any():
        reasons |= dict.fromkeys(rows[repeated].tolist(), "the row repeats the header")
        columns, rows = [column.filter(pa.array(~repeated)) for column in columns], rows[~repeated]
    if not (filled := _filled(columns, len(rows))).all():
        columns, rows = [column.filter(pa.array(filled)) for column in columns], rows[filled]
    # Rows without text have no numbers: those behind them move up.
    counted = np.zeros(len(block.ends), dtype=bool)
    counted[rows] = True
    counted[[row for row, reason in reasons.items() if reason]] = True
    numbers = before + np.cumsum(counted)
    return RowBlock(
        dict(zip(header.names, columns, strict=True)),
        numbers[rows],
        {int(numbers[row]): reason for row, reason in sorted(reasons.items()) if reason},
        int((~counted).sum()),
    )


def _repeat_header(columns: Sequence[pa.Array], header: TextHeader) -> Mask:
    """Return which rows are the header again, as files that were put together have it."""
    repeated = np.zeros(len(columns[0]), dtype=bool)
    if not any(header.cells):
        return repeated
    # Nearly no row has the first name: the other columns are looked at for those that do.
    first = next(place for place, cell in enumerate(header.cells) if cell)
    same = pc.equal(columns[first], header.cells[first])
    rows = np.flatnonzero(same.to_numpy(zero_copy_only=False))
    for row in rows.tolist():
        written = [column[row].as_py().strip() for column in columns]
        repeated[row] = written == [*header.cells]
    return repeated


def _filled(columns: Sequence[pa.Array], rows: int) -> Mask:
    """Return which rows hold any text."""
    filled = np.zeros(rows, dtype=bool)
    for column in columns:
        lengths = pc.binary_length(column).to_numpy(zero_copy_only=False)
        filled |= lengths > 0
        if filled.all():
            break
    return filled


def _fields(block: Block, delimiter: str) -> tuple[Mask, npt.NDArray[np.int64]]:
    """Return rows with misplaced quotes, and the number of fields of each other row."""
    data = np.frombuffer(block.data, dtype=np.uint8)
    between = np.flatnonzero(data == ord(delimiter))
    strange = np.zeros(len(block.ends), dtype=bool)
    if b'"' in block.data:
        strange[unclosed_rows(block.data, block.ends, delimiter)] = True
        quotes = np.flatnonzero(data == ord('"'))
        if strange.any():
            # Each of the other rows has as many quotes that open as close.
            quotes = quotes[~strange[np.searchsorted(block.ends, quotes, side="right")]]
        between = between[np.searchsorted(quotes, between) % 2 == 0]
    ends = np.searchsorted(between, block.ends)
    return strange, np.diff(ends, prepend=0) + 1


def _at_once(
    block: Block, header: TextHeader, starts: npt.NDArray[np.int64], wanted: Sequence[int]
) -> ParsedRows | None:
    """Return the rows by Arrow's parser; None if it counts others."""
    strange, fields = _fields(block, header.delimiter)
    width, reasons, surplus = len(header.names), dict[int, str](), dict[int, int]()
    parts: list[tuple[list[pa.Array], npt.NDArray[np.int64]]] = []
    for count in np.unique(fields[~strange]).tolist():
        rows = np.flatnonzero((fields == count) & ~strange)
        if count < width:
            for row in rows.tolist():
                text = block.data[starts[row] : block.ends[row]]
                reasons[row] = ragged(count, width) if text.strip() else ""
            continue
        whole = len(rows) == len(block.ends)
        text = block.data if whole else _cut_out(block, rows, starts)
        columns = _arrow(text, header.delimiter, count, len(rows), (*wanted, *range(width, count)))
        if columns is None:
            return None
        if count > width:
            beyond = _filled(columns[len(wanted) :], len(rows))
            for row in rows[beyond].tolist():
                reasons[row] = ragged(count, width)
            columns, rows = columns[: len(wanted)], rows[~beyond]
            if beyond.any():
                columns = [column.filter(pa.array(~beyond)) for column in columns]
            surplus |= dict.fromkeys(rows.tolist(), count - width)
        parts.append((columns, rows))
    if strange.any():
        singly = _singly(block, header, np.flatnonzero(strange), starts, wanted)
        reasons |= singly.reasons
        surplus |= singly.surplus
        parts.append((singly.columns, singly.rows))
    return ParsedRows(*_in_order(parts, len(wanted)), reasons, surplus)


def _cut_out(block: Block, rows: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> bytes:
    """Return the bytes of some rows, each with its line end."""
    chosen = np.zeros(len(block.ends), dtype=bool)
    chosen[rows] = True
    inside = np.repeat(chosen, block.ends - starts)
    data = np.frombuffer(block.data, dtype=np.uint8)[: len(inside)]
    return bytes(data[inside])


def _arrow(
    text: bytes, delimiter: str, width: int, rows: int, wanted: Sequence[int]
) -> list[pa.Array] | None:
    """Return columns of rows that are all of one width; None if Arrow sees other rows."""
    quoted = b'"' in text
    names, chosen = [str(number) for number in range(width)], [str(number) for number in wanted]
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(text),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=len(text) + 1),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                include_columns=chosen,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows:
        return None
    # A list of no columns means all of them to Arrow.
    return [table.column(name).combine_chunks() for name in chosen]


def _singly(
    block: Block,
    header: TextHeader,
    rows: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    wanted: Sequence[int],
) -> ParsedRows:
    """Return the same for some rows, each read by itself by Python's parser."""
    dialect, width = Dialect(header.delimiter, len(header.names)), len(header.names)
    accepted, cells, reasons = list[int](), list[list[str]](), dict[int, str]()
    surplus: dict[int, int] = {}
    for row in rows.tolist():
        text = block.data[starts[row] : block.ends[row]].strip(LINE_ENDS).decode(errors="replace")
        try:
            fields = dialect.cells(text)
        except csv.Error as error:
            reasons[row] = f"the row is not CSV: {what_is_wrong(error)}"
            continue
        if len(fields) < width or any(fields[width:]):
            reasons[row] = ragged(len(fields), width) if text.strip() else ""
            continue
        accepted.append(row)
        cells.append([fields[place] for place in wanted])
        if len(fields) > width:
            surplus[row] = len(fields) - width
    columns = [
        pa.array([cell[place] for cell in cells], pa.string()) for place in range(len(wanted))
    ]
    return ParsedRows(columns, np.array(accepted, dtype=np.int64), reasons, surplus)


def _in_order(
    parts: list[tuple[list[pa.Array], npt.NDArray[np.int64]]], width: int
) -> tuple[list[pa.Array], npt.NDArray[np.int64]]:
    """Put groups of rows together again, in the order of the file."""
    if not parts:
        return [pa.array([], pa.string())] * width, np.empty(0, dtype=np.int64)
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([rows for _, rows in parts])
    order = np.argsort(rows, kind="stable")
    columns = [
        pa.concat_arrays([columns[place] for columns, _ in parts]).take(pa.array(order))
        for place in range(width)
    ]
    return columns, rows[order]


def ragged(fields: int, width: int) -> str:
    """Return why a row of another width than the header is rejected."""
    return f"the row has {fields} field{'s' * (fields != 1)}, and the header {width}"
