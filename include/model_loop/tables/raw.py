"""The raw table of files: their columns as they are written, and the way back to file and row.

Columns of text formats (CSV, JSON lines) are text as it stands in the file; those of typed formats
(Parquet, Arrow) keep their types. Nothing is interpreted here: that is for `values`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model_loop.datasets.declaration import DialectDeclaration
from model_loop.datasets.reading import shown
from model_loop.tables import delimited, json_lines, typed
from model_loop.tables.opening import (
    Compression,
    FileKind,
    Utf8Stream,
    find_encoding,
    kind_of,
    open_unpacked,
)
from model_loop.tables.refused import ReadingNote, TableFileError
from model_loop.tables.row_blocks import RowBlock

_DEFAULT_DIALECT = DialectDeclaration()
_BEGIN = 2**12


@dataclass(frozen=True)
class FileFormat:
    """The way in which the bytes of a file were read.

    Parameters
    ----------
    kind
        Format of the file.
    compression
        How it is packed.
    encoding
        Encoding of a text, as Python names it.
    delimiter
        Delimiter between the cells of CSV; empty otherwise.
    header
        Whether its first row holds the names of the columns.
    """

    kind: FileKind
    compression: Compression
    encoding: str = "utf-8"
    delimiter: str = ""
    header: bool = True


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be read; all others are.

    Parameters
    ----------
    file
        Address of its file.
    row
        Number of the row in its file, from 1, without header and blank rows.
    reason
        Rule that it breaks, for people.
    """

    file: str
    row: int
    reason: str


@dataclass(frozen=True)
class RawTable:
    """Rows of files, one column each as it is written.

    Parameters
    ----------
    names
        Names of the columns, in the order of the first file.
    columns
        Columns by their names, shape (rows,) each: text where the format is one of text, null only
        where the row had no such cell; the file's own types otherwise.
    rows
        Number of rows in `columns`.
    rejected
        Rows that could not be read.
    formats
        Format of each file.
    files
        Address of each file.
    file_of_row
        Place of each row's file in `files`, shape (rows,).
    row_number
        Number of each row in its file, from 1, shape (rows,).
    blank_rows
        Number of rows without any text, which are in no column.
    notes
        Remarks on what had to be assumed.
    """

    names: tuple[str, ...]
    columns: Mapping[str, pa.ChunkedArray]
    rows: int
    rejected: tuple[RejectedRow, ...]
    formats: tuple[FileFormat, ...]
    files: tuple[str, ...]
    file_of_row: npt.NDArray[np.int32]
    row_number: npt.NDArray[np.int64]
    blank_rows: int = 0
    notes: tuple[ReadingNote, ...] = ()


def read_raw(
    files: Sequence[str],
    *,
    encoding: str | None = None,
    dialect: DialectDeclaration = _DEFAULT_DIALECT,
    within: typed.TimeBounds | None = None,
) -> RawTable:
    """Read files of the same columns as one table.

    Parameters
    ----------
    files
        Paths, or addresses of a store.
    encoding
        Encoding of texts; found in the bytes by default.
    dialect
        Marks by which lines of text become columns; found in the rows where it says nothing.
    within
        Bounds of the times that are wanted: row groups of Parquet without one are left out.

    Raises
    ------
    TableFileError
        If a file is not there, holds no table or no rows, or its columns are not those of the
        others. The error says with a code which rule is broken.
    """
    blocks = read_raw_blocks(files, encoding=encoding, dialect=dialect, within=within)
    return joined(list(blocks))


def joined(blocks: Sequence[RawTable]) -> RawTable:
    """Return successive rows of the same files as one table."""
    last = blocks[-1]
    return replace(
        last,
        columns={name: _joined(name, blocks) for name in last.names},
        rows=sum(block.rows for block in blocks),
        rejected=tuple(row for block in blocks for row in block.rejected),
        file_of_row=np.concatenate([block.file_of_row for block in blocks]),
        row_number=np.concatenate([block.row_number for block in blocks]),
        blank_rows=sum(block.blank_rows for block in blocks),
        notes=tuple(note for block in blocks for note in block.notes),
    )


def chunks_of(blocks: Iterable[RawTable], rows: int) -> Iterator[RawTable]:
    """Yield the rows of several tables in tables of so many rows, the last of fewer."""
    waiting: list[RawTable] = []
    for block in blocks:
        waiting.append(block)
        while sum(each.rows for each in waiting) >= rows:
            together = joined(waiting)
            yield _slice(together, 0, rows)
            # Rejected rows and remarks are in the chunk that was yielded.
            waiting = [replace(_slice(together, rows), rejected=(), blank_rows=0, notes=())]
    if waiting and (waiting[-1].rows or len(waiting) > 1):
        yield joined(waiting)


def _slice(table: RawTable, first: int, rows: int | None = None) -> RawTable:
    last = table.rows if rows is None else min(first + rows, table.rows)
    return replace(
        table,
        columns={name: column.slice(first, last - first) for name, column in table.columns.items()},
        rows=last - first,
        file_of_row=table.file_of_row[first:last],
        row_number=table.row_number[first:last],
    )


def _joined(name: str, blocks: Sequence[RawTable]) -> pa.ChunkedArray:
    """Return a column of all blocks, in the widest of their types."""
    columns = [block.columns[name] for block in blocks]
    fields = [pa.schema([(name, column.type)]) for column in columns]
    try:
        if {column.type for column in columns} == {pa.string(), pa.float64()}:
            # JSON lines: whole numbers are text until a file has a fraction.
            common = pa.float64()
        else:
            common = pa.unify_schemas(fields, promote_options="permissive").field(name).type
        chunks = [chunk for column in columns for chunk in column.cast(common).chunks]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableFileError(
            "different_columns",
            f"The column {name!r}",
            f"has a type in one file that does not go with that in another ({error})",
            "Write the files with the same types.",
        ) from error
    return pa.chunked_array(chunks, common)


def read_raw_blocks(
    files: Sequence[str],
    *,
    encoding: str | None = None,
    dialect: DialectDeclaration = _DEFAULT_DIALECT,
    within: typed.TimeBounds | None = None,
) -> Iterator[RawTable]:
    """Yield the rows of files in their order, some megabytes at a time; see `read_raw`.

    Each block has the formats of the files that were begun; the last block those of all.

    Raises
    ------
    TableFileError
        See `read_raw`. Rows that were read before are yielded by then.
    """
    if not files:
        raise TableFileError(
            "missing_file", "The list of files", "is empty", "Name at least one file."
        )
    names: tuple[str, ...] | None = None
    formats: tuple[FileFormat, ...] = ()
    for place, address in enumerate(files):
        notes: list[ReadingNote] = []
        rows = rejected = blank = 0
        for file_format, block in _file_blocks(str(address), encoding, dialect, notes, within):
            if names is None:
                names = tuple(block.columns)
            _require_same(names, tuple(block.columns), str(address), str(files[0]))
            formats = (*formats[:place], file_format)
            rows, rejected = rows + len(block.numbers), rejected + len(block.rejected)
            blank += block.blank
            yield RawTable(
                names,
                {name: pa.chunked_array([block.columns[name]]) for name in names},
                len(block.numbers),
                tuple(
                    RejectedRow(str(address), row, reason) for row, reason in block.rejected.items()
                ),
                formats,
                tuple(map(str, files)),
                np.full(len(block.numbers), place, dtype=np.int32),
                block.numbers,
                block.blank,
                tuple(notes),
            )
            notes.clear()
        if within is None:
            _require_rows(rows, rejected, str(address))


def _file_blocks(
    address: str,
    encoding: str | None,
    dialect: DialectDeclaration,
    notes: list[ReadingNote],
    within: typed.TimeBounds | None,
) -> Iterator[tuple[FileFormat, RowBlock]]:
    """Yield the rows of a file; remarks are appended to the notes."""
    origin = f"The file {address}"
    with open_unpacked(address) as (file, compression):
        kind = kind_of(file.read(_BEGIN), address)
    if typed.is_typed(kind):
        with open_unpacked(address) as (file, _):
            for block in typed.read_blocks(file, kind, origin, within):
                yield FileFormat(kind, compression), block
        return
    with open_unpacked(address) as (file, _):
        found = find_encoding(file, encoding, address)
    if found.assumed:
        notes.append(
            ReadingNote(
                "encoding_assumed",
                address,
                f"{origin} is read as {found.name}: {found.assumed}.",
                f"Look at its letters beyond ASCII, and declare encoding = {found.name!r} or "
                "another one.",
            )
        )
    if kind == "json_lines":
        with open_unpacked(address) as (file, _):
            columns = json_lines.columns_of(Utf8Stream(file, found))
        with open_unpacked(address) as (file, _):
            for block in json_lines.read_blocks(Utf8Stream(file, found), columns):
                yield FileFormat(kind, compression, found.name), block
        return
    with open_unpacked(address) as (file, _):
        stream = Utf8Stream(file, found)
        header = delimited.read_header(stream, dialect, origin)
        notes += _header_notes(header, address, origin, named=dialect.header)
        text_format = FileFormat(kind, compression, found.name, header.delimiter, dialect.header)
        for block in delimited.read_blocks(stream, header, origin):
            yield text_format, block


def _header_notes(
    header: delimited.TextHeader, address: str, origin: str, *, named: bool
) -> Iterator[ReadingNote]:
    """Yield remarks on the first rows of a delimited text.

    Parameters
    ----------
    named
        Whether the first row is declared to hold names.
    """
    if named and delimited.is_of_numbers(header.names):
        yield ReadingNote(
            "header_of_numbers",
            address,
            f"{origin} may have no header: its first row is {', '.join(header.names)}.",
            "If it has none, declare [dialect] header = false.",
        )
    if header.skipped:
        yield ReadingNote(
            "lines_above_header",
            address,
            f"{origin} has lines above its header that are left out: "
            f"{shown(' | '.join(header.skipped))}.",
            "Look whether the header is right; if it is not, remove the lines.",
        )
    if header.units:
        yield ReadingNote(
            "units_row",
            address,
            f"{origin} has units below its header, which are no row of data: "
            f"{shown(header.units)}.",
            "If it is a row of data, put it elsewhere in the file.",
        )
    if header.renamed:
        yield ReadingNote(
            "column_twice",
            address,
            f"{origin} has several columns of the same name: further ones are called "
            f"{', '.join(header.renamed)}.",
            "Give each column a name of its own, and leave out what is there twice.",
        )


def _require_same(
    names: tuple[str, ...], others: tuple[str, ...], address: str, first: str
) -> None:
    """Refuse a file whose columns are not those of the first one."""
    missing, further = set(names) - set(others), set(others) - set(names)
    if missing or further:
        column = min(missing or further, key=(names if missing else others).index)
        raise TableFileError(
            "different_columns",
            f"The file {address}",
            f"lacks the column {column!r}, which {first} has"
            if missing
            else f"has the column {column!r}, which {first} has not",
            "Give files of the same columns, or one file at a time.",
        )


def _require_rows(rows: int, rejected: int, address: str) -> None:
    if not rows and not rejected:
        raise TableFileError(
            "no_rows",
            f"The file {address}",
            "has a header and no row",
            "Give a file with rows, or leave it out.",
        )
    if rejected > rows:
        raise TableFileError(
            "rows_of_other_width",
            f"The file {address}",
            f"has {rejected:,} rows that do not fit its header, of {rows + rejected:,}",
            "Look at its first lines: the header has to name each column, and [dialect] delimiter "
            "may say what stands between them.",
        )
