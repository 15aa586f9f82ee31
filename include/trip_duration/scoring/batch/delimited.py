"""CSV files: cut at the ends of rows, and passed on byte for byte with three fields more.

A row's own text is never written anew: what was in the file is in the output.
"""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from upath import UPath

from trip_duration.objects.files import whole_file
from trip_duration.scoring.batch.job import ADDED, REASON, ROW, Chunk, Job
from trip_duration.scoring.batch.lines import BLOCK, Header, blocks, header_of
from trip_duration.scoring.batch.rows import BATCH_ROWS, RawRows, ScoredRows
from trip_duration.scoring.columns import find_columns
from trip_duration.scoring.places import place

_REJECTED = "-rejected"
#: What people and programs write for a value that is not there.
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "NaT"]


def columns_of(path: UPath) -> list[str]:
    """Names of a file's columns.

    Raises
    ------
    InvalidInputError
        If it has none.
    """
    return list(header_of(path).names)


def cut(job: Job, chunk_rows: int) -> list[Chunk]:
    """Chunks of so many rows each; the file is searched once for where they begin."""
    path = place(job.source)
    begin = header_of(path).bytes
    chunks, first_row, first_byte, rows, at = list[Chunk](), 0, begin, 0, begin
    for block in blocks(path, begin, None):
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
    for block in blocks(path, chunk.first_byte, chunk.last_byte):
        lines = block.lines()
        for first in range(0, len(lines), BATCH_ROWS):
            yield _parsed(lines[first : first + BATCH_ROWS], header, names)


def _parsed(lines: list[bytes], header: Header, names: list[str]) -> RawRows:
    text = b"\n".join(lines) + b"\n"
    # Where neither stands, whoever reads the text sees the same rows.
    plain = b'"' not in text and b"\r" not in text
    return (_parsed_at_once if plain else _parsed_one_by_one)(lines, text, header, names)


def _parsed_at_once(lines: list[bytes], text: bytes, header: Header, names: list[str]) -> RawRows:
    broken: dict[int, str] = {}

    def note(row: Any) -> str:  # noqa: ANN401 - Arrow's
        # Rows are counted from 1.
        broken[row.number - 1] = _ragged(row.actual_columns, header)
        return "skip"

    data = _as_utf8(text)
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(
            column_names=header.names, use_threads=False, block_size=len(data) + 1
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=header.delimiter,
            quote_char=False,
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


def _parsed_one_by_one(
    lines: list[bytes], _text: bytes, header: Header, names: list[str]
) -> RawRows:
    """The same where quotes may be misplaced: what one row makes of them is none of the next."""
    places = [header.names.index(name) for name in names]
    rows, broken = list[list[str | None]](), dict[int, str]()
    for number, line in enumerate(lines):
        shown = line.decode(errors="replace")
        try:
            fields = next(csv.reader([shown], delimiter=header.delimiter, strict=True), [])
        except csv.Error as error:
            fields, broken[number] = [], f"the row is no CSV ({error})"
        if fields and len(fields) != len(header.names):
            fields, broken[number] = [], _ragged(len(fields), header)
        found = (fields[place] if fields else None for place in places)
        rows.append([None if value in _NULLS else value for value in found])
    return RawRows(pd.DataFrame(rows, columns=names, dtype=object), lines, broken)


def _ragged(fields: int, header: Header) -> str:
    return f"the row has {fields} fields, and the header {len(header.names)}"


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
                    shutil.copyfileobj(part, file, BLOCK)
