"""CSV files: cut at the ends of rows, and passed on byte for byte with three fields more.

A row's own text is never written anew: what was in the file is in the output. Rows are found by
the line ends that are not between quotes (RFC 4180), of which blocks of the file are searched at
once.
"""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
from upath import UPath

from trip_duration.errors import InvalidInputError
from trip_duration.objects.files import whole_file
from trip_duration.scoring.batch.job import ADDED, REASON, ROW, Chunk, Job
from trip_duration.scoring.batch.rows import BATCH_ROWS, RawRows, ScoredRows
from trip_duration.scoring.columns import find_columns
from trip_duration.scoring.places import place

_REJECTED = "-rejected"
#: Bytes that are searched for rows at once.
_BLOCK = 2**22
#: A longer row is a quote that was never closed.
_LONGEST_ROW = 2**24
_DELIMITERS = (",", ";", "\t", "|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEW_LINE, _QUOTE = 10, 34
#: What people and programs write for a value that is not there.
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "NaT"]


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


def columns_of(path: UPath) -> list[str]:
    """Names of a file's columns.

    Raises
    ------
    InvalidInputError
        If it has none.
    """
    return list(header_of(path).names)


def header_of(path: UPath) -> Header:
    """The first row of a file.

    Raises
    ------
    InvalidInputError
        If it is empty, no text, or names a column twice.
    """
    with path.open("rb") as file:
        line = file.readline(_LONGEST_ROW)
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


def cut(job: Job, chunk_rows: int) -> list[Chunk]:
    """Chunks of so many rows each; the file is searched once for where they begin."""
    path = place(job.source)
    begin = header_of(path).bytes
    chunks, first_row, first_byte, rows, at = list[Chunk](), 0, begin, 0, begin
    for block in _blocks(path, begin, None):
        ends = block.ends
        while len(ends) and rows + len(ends) >= chunk_rows:
            needed = chunk_rows - rows
            last_byte = at + int(ends[needed - 1])
            chunks.append(Chunk(job, first_row, chunk_rows, first_byte, last_byte))
            first_row, first_byte, rows = first_row + chunk_rows, last_byte, 0
            ends = ends[needed:]
        rows += len(ends)
        at += len(block.data)
    if rows or not chunks:
        chunks.append(Chunk(job, first_row, rows, first_byte, at))
    return chunks


def _blocks(path: UPath, first: int, last: int | None) -> Iterator[Block]:
    """Whole rows between two places of a file, block by block."""
    with path.open("rb") as file:
        file.seek(first)
        left, rest = last - first if last is not None else None, b""
        while read := file.read(_BLOCK if left is None else min(_BLOCK, left)):
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


def read(chunk: Chunk, wanted: Sequence[str] | None) -> Iterator[RawRows]:
    """The rows of a chunk, a batch at a time; every value is text, or missing.

    Parameters
    ----------
    wanted
        The model's columns; None for all of the file's.
    """
    path = place(chunk.job.source)
    header = header_of(path)
    names = list(header.names)
    if wanted is not None:
        names = list(find_columns(header.names, wanted).values())
    for block in _blocks(path, chunk.first_byte, chunk.last_byte):
        lines = block.lines()
        for first in range(0, len(lines), BATCH_ROWS):
            yield _parsed(lines[first : first + BATCH_ROWS], header, names)


def _parsed(lines: list[bytes], header: Header, names: list[str]) -> RawRows:
    broken: dict[int, str] = {}

    def note(row: Any) -> str:  # noqa: ANN401 - Arrow's
        # Rows are counted from 1.
        fields, wanted = row.actual_columns, row.expected_columns
        broken[row.number - 1] = f"the row has {fields} fields, and the header {wanted}"
        return "skip"

    data = _as_utf8(b"\n".join(lines) + b"\n")
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(
            column_names=header.names, use_threads=False, block_size=len(data) + 1
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=header.delimiter,
            newlines_in_values=b'"' in data,
            ignore_empty_lines=False,
            invalid_row_handler=note,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header.names, pa.string()),
            include_columns=names,
            null_values=_NULLS,
            strings_can_be_null=True,
        ),
    )
    frame = table.to_pandas()
    if broken:
        rows = np.setdiff1d(np.arange(len(lines)), list(broken))
        frame = frame.set_axis(rows).reindex(range(len(lines)))
    return RawRows(frame, lines, broken)


def _as_utf8(data: bytes) -> bytes:
    """The same; what is no UTF-8 becomes a sign that is no number and no time."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


@contextlib.contextmanager
def part_writer(chunk: Chunk) -> Iterator[Callable[[RawRows, ScoredRows], None]]:
    """Something to hand rows and their scores to; both files appear whole or not at all."""
    header = header_of(place(chunk.job.source))
    with (
        whole_file(chunk.part()) as good,
        whole_file(chunk.part(_REJECTED)) as bad,
        good.open("wb") as output,
        bad.open("wb") as rejected,
    ):
        first_row = chunk.first_row

        def write(rows: RawRows, scored: ScoredRows) -> None:
            nonlocal first_row
            output.write(_predicted(rows.lines, scored, header, chunk.job.version.number))
            rejected.write(_rejected(rows.lines, scored, header, first_row))
            first_row += len(rows.lines)

        yield write


def _predicted(lines: Sequence[bytes], scored: ScoredRows, header: Header, version: int) -> bytes:
    between = header.delimiter.encode()
    middle = between + str(version).encode() + between
    minutes = pa.array(scored.minutes).cast(pa.string()).to_pylist()
    return b"".join(
        b"".join((line, between, number.encode(), middle, identifier, header.line_end))
        for line, number, identifier, reason in zip(
            lines, minutes, scored.identifiers.tolist(), scored.reasons, strict=True
        )
        if reason is None
    )


def _rejected(lines: Sequence[bytes], scored: ScoredRows, header: Header, first_row: int) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=header.delimiter, lineterminator="")
    found = []
    for row in np.flatnonzero(scored.rejected).tolist():
        text.seek(0)
        text.truncate()
        writer.writerow([first_row + row, scored.reasons[row]])
        begin = (text.getvalue() + header.delimiter).encode()
        found.append(begin + lines[row] + header.line_end)
    return b"".join(found)


def join(job: Job, chunks: Sequence[Chunk], output: UPath, rejected: UPath) -> None:
    """Put header and parts after one another.

    Parameters
    ----------
    output, rejected
        Where to write to; whoever asks makes them appear.
    """
    header = header_of(place(job.source))
    between = header.delimiter.encode()
    added = between.join(name.encode() for name in ADDED)
    before = between.join(name.encode() for name in (ROW, REASON))
    for target, kind, first in (
        (output, "", header.text + between + added),
        (rejected, _REJECTED, before + between + header.text),
    ):
        with target.open("wb") as file:
            file.write(first + header.line_end)
            for chunk in chunks:
                with chunk.part(kind).open("rb") as part:
                    shutil.copyfileobj(part, file, _BLOCK)
