"""CSV files: cut at the ends of rows, and passed on byte for byte with three fields more.

A row's own text is never written anew: what was in the file is in the output.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.objects.files import atomic_write
from model_loop.scoring.batch.job import Chunk, Job, added_names, rejected_names
from model_loop.scoring.batch.lines import Header, blocks, header_of
from model_loop.scoring.batch.rows import BATCH_ROWS, RawRows, ScoredRows
from model_loop.scoring.batch.typed import SAMPLE_ROWS, kinds_of, typed
from model_loop.scoring.columns import find_columns
from model_loop.scoring.places import place
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.tables.lines import BLOCK, what_is_wrong

_REJECTED = "-rejected"
#: Words for a missing value in files of tables in Python. A declared table has its own.
_NULLS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "NaT"})


def _nulls(dataset: Dataset) -> frozenset[str]:
    return _NULLS if dataset.declaration is None else frozenset({""})


def columns_of(path: UPath) -> list[str]:
    """Names of a file's columns.

    Raises
    ------
    InvalidInputError
        If it has none.
    """
    return list(header_of(path).names)


def cut(job: Job, chunk_rows: int) -> list[Chunk]:
    """Return chunks of so many rows each; the file is searched once for where they begin."""
    path = place(job.source)
    header = header_of(path)
    begin = header.bytes
    chunks, first_row, first_byte, rows, lines, at = list[Chunk](), 0, begin, 0, 0, begin
    for block in blocks(path, header.dialect, begin):
        ends, data, done = block.ends, block.data, 0
        while len(ends) and rows + len(ends) >= chunk_rows:
            needed = chunk_rows - rows
            stop = int(ends[needed - 1])
            lines += _lines(data[done:stop])
            chunks.append(Chunk(job, first_row, chunk_rows, first_byte, at + stop, lines))
            first_row, first_byte, done = first_row + chunk_rows, at + stop, stop
            rows, lines, ends = 0, 0, ends[needed:]
        rows += len(ends)
        lines += _lines(data[done:])
        at += len(data)
    if rows or not chunks:
        chunks.append(Chunk(job, first_row, rows, first_byte, at, lines))
    return chunks


def _lines(data: bytes) -> int:
    """Return the number of lines that hold something, whatever the rows are.

    Python's own reading of line ends, beside that of `lines`.
    """
    return sum(map(bool, data.splitlines()))


def _rows(text: bytes, delimiter: str) -> int:
    """Return the number of rows of a written text, as Python's own CSV reader sees them."""
    if b'"' not in text:
        return _lines(text)
    shown = io.StringIO(text.decode(errors="replace"), newline="")
    return sum(map(bool, csv.reader(shown, delimiter=delimiter)))


def read(chunk: Chunk, wanted: Sequence[str] | None) -> Iterator[RawRows]:
    """Yield the rows of a chunk, a batch at a time.

    Parameters
    ----------
    wanted
        The model's columns, as text; None for all of the file's, as numbers, times and text.
    """
    path = place(chunk.job.source)
    header = header_of(path)
    names, nulls = list(header.names), _nulls(chunk.job.version.dataset)
    if wanted is not None:
        names = list(find_columns(chunk.job.version.dataset, header.names, wanted).values())
    kinds = (
        None
        if wanted is not None
        else kinds_of(chunk.job.version.dataset, _sample(path, header, nulls))
    )
    for block in blocks(path, header.dialect, chunk.first_byte, chunk.last_byte):
        lines = block.lines()
        for first in range(0, len(lines), BATCH_ROWS):
            rows = _parsed(lines[first : first + BATCH_ROWS], header, names, nulls)
            yield rows if kinds is None else typed(chunk.job.version.dataset, rows, kinds)


def _sample(path: UPath, header: Header, nulls: frozenset[str]) -> pd.DataFrame:
    """Return the first rows of a file, as text."""
    for block in blocks(path, header.dialect, header.bytes):
        if lines := block.lines():
            return _parsed(lines[:SAMPLE_ROWS], header, list(header.names), nulls).frame
    return pd.DataFrame(columns=list(header.names), dtype=object)


def _parsed(lines: list[bytes], header: Header, names: list[str], nulls: frozenset[str]) -> RawRows:
    # Without either, every reader sees the same cells; they are read at once.
    together = b"\n".join(lines)
    if b'"' not in together and b"\r" not in together:
        return _parsed_at_once(lines, header, names, together, nulls)
    plain = [b'"' not in line and b"\r" not in line for line in lines]
    strange = [row for row, is_plain in enumerate(plain) if not is_plain]
    singly = _parsed_with_quotes([lines[row] for row in strange], header, names, nulls)
    broken = {strange[row]: reason for row, reason in singly.broken.items()}
    if not any(plain):
        return RawRows(singly.frame, singly.lines, broken)
    others = [row for row, is_plain in enumerate(plain) if is_plain]
    rest = [lines[row] for row in others]
    at_once = _parsed_at_once(rest, header, names, b"\n".join(rest), nulls)
    broken |= {others[row]: reason for row, reason in at_once.broken.items()}
    found = list(lines)
    for rows, part in ((strange, singly), (others, at_once)):
        for row, line in zip(rows, part.lines, strict=True):
            found[row] = line
    frames = [singly.frame.set_axis(strange), at_once.frame.set_axis(others)]
    return RawRows(pd.concat(frames).sort_index(), found, broken)


def _parsed_at_once(
    lines: list[bytes],
    header: Header,
    names: list[str],
    together: bytes,
    nulls: frozenset[str],
) -> RawRows:
    broken: dict[int, str] = {}
    if f"{header.delimiter}\n".encode() in together + b"\n":
        lines = _without_surplus(lines, header)
        together = b"\n".join(lines)

    def note(row: Any) -> str:  # noqa: ANN401 - Arrow's
        # Rows are counted from 1.
        broken[row.number - 1] = _ragged(row.actual_columns, header)
        return "skip"

    data = _as_utf8(together + b"\n")
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
            null_values=sorted(nulls),
            strings_can_be_null=True,
        ),
    )
    frame = table.to_pandas()
    if broken:
        rows = np.setdiff1d(np.arange(len(lines)), list(broken))
        frame = frame.set_axis(rows).reindex(range(len(lines)))
    return RawRows(frame, lines, broken)


def _without_surplus(lines: list[bytes], header: Header) -> list[bytes]:
    """Return lines without empty cells behind the header's last one, as some programs write them.

    Cells that are added to such a row would otherwise stand under no name.
    """
    between, most = header.delimiter.encode(), len(header.names) - 1
    return [_trimmed(line, between, most) if line.endswith(between) else line for line in lines]


def _trimmed(line: bytes, between: bytes, most: int) -> bytes:
    surplus = line.count(between) - most
    return line[:-surplus] if surplus > 0 and line.endswith(between * surplus) else line


def _parsed_with_quotes(
    lines: list[bytes], header: Header, names: list[str], nulls: frozenset[str]
) -> RawRows:
    """Return the same where cells may be quoted."""
    texts = [line.decode(errors="replace") for line in lines]
    places = [header.names.index(name) for name in names]
    try:
        rows = list(csv.reader(texts, delimiter=header.delimiter, strict=True))
    except csv.Error:
        rows = []
    # A quote that is never closed makes one row of several lines.
    if len(rows) != len(lines) or any(len(row) != len(header.names) for row in rows):
        return _parsed_one_by_one(lines, header, names, nulls)
    columns = {
        name: [None if row[place] in nulls else row[place] for row in rows]
        for name, place in zip(names, places, strict=True)
    }
    return RawRows(pd.DataFrame(columns, dtype=object), lines)


def _parsed_one_by_one(
    lines: list[bytes], header: Header, names: list[str], nulls: frozenset[str]
) -> RawRows:
    """Return the same where quotes may be misplaced: a row spoils none but itself."""
    places = [header.names.index(name) for name in names]
    rows, kept, broken = list[list[str | None]](), list[bytes](), dict[int, str]()
    for number, line in enumerate(lines):
        fields, text = list[str](), line
        try:
            fields = header.dialect.cells(line.decode(errors="replace"))
        except csv.Error as error:
            broken[number] = f"the row is not CSV: {what_is_wrong(error)}"
        surplus = fields[len(header.names) :]
        if surplus and not any(surplus) and line.endswith(len(surplus) * header.delimiter.encode()):
            fields, text = fields[: -len(surplus)], line[: -len(surplus)]
        if fields and len(fields) != len(header.names):
            fields, broken[number] = [], _ragged(len(fields), header)
        found = (fields[place] if fields else None for place in places)
        rows.append([None if value in nulls else value for value in found])
        kept.append(text)
    return RawRows(pd.DataFrame(rows, columns=names, dtype=object), kept, broken)


def _ragged(fields: int, header: Header) -> str:
    return f"the row has {fields} fields, and the header {len(header.names)}"


def _as_utf8(data: bytes) -> bytes:
    """Return the bytes with all that is not UTF-8 replaced by a sign in no number or time."""
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
        atomic_write(chunk.part()) as good,
        atomic_write(chunk.part(_REJECTED)) as bad,
        good.open("wb") as output,
        bad.open("wb") as rejected,
    ):
        first_row, version = chunk.first_row, chunk.job.version

        def write(rows: RawRows, scored: ScoredRows) -> None:
            nonlocal first_row
            plain = [line for line in rows.lines if b'"' not in line]
            found = _lines(b"\n".join(plain))
            chunk.job.require_all("rows without quotes", planned=found, written=len(plain))
            count = int(scored.rejected.sum())
            for file, expected, text in (
                (output, len(rows.lines) - count, _predicted(rows.lines, scored, header, version)),
                (rejected, count, _rejected(rows, scored, header, first_row)),
            ):
                file.write(text)
                found = _rows(text, header.delimiter)
                chunk.job.require_all("rows", planned=expected, written=found)
            first_row += len(rows.lines)

        yield write


def _predicted(
    lines: Sequence[bytes], scored: ScoredRows, header: Header, version: RegisteredVersion
) -> bytes:
    between = header.delimiter.encode()
    target = version.dataset.target
    unit = between + _as_row([target.unit], header) + between
    number_of = between + str(version.number).encode() + between
    predicted = [text.encode() for text in pa.array(scored.predicted).cast(pa.string()).to_pylist()]
    # Problems of several fields are listed in one cell, with any delimiter.
    assumed = [b"" if one is None else _as_row([one], header) for one in scored.assumed]
    return b"".join(
        b"".join(
            (line, between, text, unit, identifier, number_of, told)
            + ((between, text) if target.former else ())
            + (header.line_end,)
        )
        for line, text, identifier, told, reason in zip(
            lines, predicted, scored.identifiers.tolist(), assumed, scored.reasons, strict=True
        )
        if reason is None
    )


def _rejected(rows: RawRows, scored: ScoredRows, header: Header, first_row: int) -> bytes:
    found, between = [], header.delimiter.encode()
    for row in np.flatnonzero(scored.rejected).tolist():
        begin = _as_row([str(first_row + row), scored.reasons[row]], header)
        line = rows.lines[row]
        if row in rows.broken and (b'"' in line or line.count(between) >= len(header.names)):
            # Nothing could read what follows its quotes or cells: it stands in one cell, as it is.
            cells = [line.decode(errors="replace"), *[""] * (len(header.names) - 1)]
            line = _as_row(cells, header)
        found.append(begin + between + line + header.line_end)
    return b"".join(found)


def _as_row(cells: Sequence[str], header: Header) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=header.delimiter, lineterminator="").writerow(cells)
    return text.getvalue().encode()


def join(job: Job, chunks: Sequence[Chunk], output: UPath, rejected: UPath) -> None:
    """Put header and parts after one another.

    Parameters
    ----------
    output, rejected
        Files to write to; the caller makes them appear.
    """
    header = header_of(place(job.source))
    between = header.delimiter.encode()
    added = between.join(name.encode() for name in added_names(job.version.dataset.target))
    before = between.join(name.encode() for name in rejected_names(header.names))
    lines = 0
    for target, kind, first in (
        (output, "", header.text + between + added),
        (rejected, _REJECTED, before + between + header.text),
    ):
        with target.open("wb") as file:
            file.write(first + header.line_end)
            for chunk in chunks:
                with chunk.part(kind).open("rb") as part:
                    lines += _copied(part, file)
    # The planned lines were counted in the file as it is, without a look at cells and quotes.
    job.require_all("lines", planned=sum(chunk.lines for chunk in chunks), written=lines)


def _copied(part: BinaryIO, file: BinaryIO) -> int:
    """Copy a part, and return how many lines of it hold something."""
    lines, rest = 0, b""
    while data := part.read(BLOCK):
        file.write(data)
        # A line may end in the next block, or its line end may.
        *whole, rest = (rest + data).splitlines(keepends=True)
        lines += _lines(b"".join(whole))
    return lines + _lines(rest)
