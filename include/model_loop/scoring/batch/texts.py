"""Texts: cut at the ends of rows, and passed on byte for byte with a few fields more.

The text of a row is copied, not formatted again: what was in the file is in the output.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from model_loop.datasets.dataset import Dataset, Target
from model_loop.errors import InvalidInputError
from model_loop.objects.files import atomic_write
from model_loop.objects.strict_json import decode
from model_loop.scoring.answers import (
    ASSUMED,
    IDENTIFIER,
    NOTICES,
    PREDICTION,
    UNIT_NAME,
    VERSION,
)
from model_loop.scoring.batch.job import Chunk, Job, added_names, rejected_names
from model_loop.scoring.batch.rows import BATCH_ROWS, RawRows, ScoredRows
from model_loop.scoring.batch.source import (
    Rows,
    dialect_of,
    name_of,
    open_bytes,
)
from model_loop.scoring.columns import find_columns
from model_loop.scoring.limits import class_names, limit_names
from model_loop.scoring.opening import open_input
from model_loop.scoring.outcomes import of_class
from model_loop.scoring.predictor import RegisteredVersion
from model_loop.scoring.reasons import REASONS
from model_loop.tables import delimited, json_lines
from model_loop.tables.lines import BLOCK, Block, Dialect, row_blocks
from model_loop.tables.opening import TextEncoding, Utf8Stream

_REJECTED = "-rejected"
#: Words for a missing value in files of tables in Python. A declared table has its own.
_NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "NaT")


class _Text(Protocol):
    """Operations on a kind of text."""

    #: Place of the first row in the file.
    begin: int

    def blocks(self, read: Callable[[int], bytes]) -> Iterator[Block]:
        """Yield the whole rows of some bytes."""

    def lines_in(self, data: bytes) -> int:
        """Return the number of lines that hold something, whatever the rows are."""

    def rows_in(self, data: bytes) -> int:
        """Return the number of rows of a written text, by another reader."""

    def parse(self, block: Block, dataset: Dataset, wanted: Sequence[str] | None) -> RawRows:
        """Return the rows of a block."""

    def heads(self, version: RegisteredVersion) -> tuple[bytes, bytes]:
        """Return the beginnings of the outputs: of predicted rows, and of rejected ones."""

    def predicted(self, rows: RawRows, scored: ScoredRows, version: RegisteredVersion) -> bytes:
        """Return the predicted rows of some."""

    def rejected(self, rows: RawRows, scored: ScoredRows, first_row: int) -> bytes:
        """Return the others."""


def _text_of(job: Job) -> _Text:
    if job.rows.kind == "json_lines":
        return _JsonLines(job.rows.mark, explain=job.explain)
    return _Delimited(job.rows, job.version.dataset, explain=job.explain)


def cut_chunks(job: Job, chunk_rows: int) -> list[Chunk]:
    """Return chunks of so many rows each; the file is searched once for where they begin."""
    text = _text_of(job)
    chunks, first_row, rows, lines = list[Chunk](), 0, 0, 0
    first_byte = at = text.begin
    with open_bytes(job.rows, text.begin) as read:
        for block in text.blocks(read):
            ends, data, done = block.ends, block.data, 0
            while len(ends) and rows + len(ends) >= chunk_rows:
                needed = chunk_rows - rows
                stop = int(ends[needed - 1])
                lines += text.lines_in(data[done:stop])
                chunks.append(Chunk(job, first_row, chunk_rows, first_byte, at + stop, lines))
                first_row, first_byte, done = first_row + chunk_rows, at + stop, stop
                rows, lines, ends = 0, 0, ends[needed:]
            rows += len(ends)
            lines += text.lines_in(data[done:])
            at += len(data)
    if rows or not chunks:
        chunks.append(Chunk(job, first_row, rows, first_byte, at, lines))
    return chunks


def read_chunk(chunk: Chunk, wanted: Sequence[str] | None) -> Iterator[RawRows]:
    """Yield the rows of a chunk, a batch at a time.

    Parameters
    ----------
    wanted
        The model's columns; None for all of the file's.
    """
    text, dataset = _text_of(chunk.job), chunk.job.version.dataset
    with open_bytes(chunk.job.rows, chunk.first_byte, chunk.last_byte) as read_bytes:
        for block in text.blocks(read_bytes):
            rows = text.parse(block, dataset, wanted)
            for first in range(0, len(rows), BATCH_ROWS):
                yield rows.slice(first, BATCH_ROWS)


def whole(job: Job) -> Chunk:
    """Return a file as one chunk, without a count of its rows."""
    return Chunk(job, 0, 0, _text_of(job).begin, sys.maxsize)


@contextlib.contextmanager
def part_writer(chunk: Chunk) -> Iterator[Callable[[RawRows, ScoredRows], None]]:
    """Something to hand rows and their scores to; both files appear whole or not at all."""
    text = _text_of(chunk.job)
    with (
        atomic_write(chunk.part()) as good,
        atomic_write(chunk.part(_REJECTED)) as bad,
        good.open("wb") as output,
        bad.open("wb") as rejected,
    ):
        first_row, version = chunk.first_row, chunk.job.version

        def write(rows: RawRows, scored: ScoredRows) -> None:
            nonlocal first_row
            unquoted = [line for line in rows.lines if b'"' not in line]
            found = text.lines_in(b"\n".join(unquoted))
            chunk.job.require_all("rows without quotes", planned=found, written=len(unquoted))
            count = int(scored.rejected.sum())
            for file, expected, written in (
                (output, len(rows) - count, text.predicted(rows, scored, version)),
                (rejected, count, text.rejected(rows, scored, first_row)),
            ):
                file.write(written)
                found = text.rows_in(written)
                chunk.job.require_all("rows", planned=expected, written=found)
            first_row += len(rows)

        yield write


def join_parts(job: Job, chunks: Sequence[Chunk], output: UPath, rejected: UPath) -> None:
    """Put beginning and parts after one another.

    Parameters
    ----------
    output, rejected
        Files to write to; the caller makes them appear.
    """
    text, lines = _text_of(job), 0
    kinds = zip((output, rejected), ("", _REJECTED), text.heads(job.version), strict=True)
    for target, kind, head in kinds:
        with target.open("wb") as file:
            file.write(head)
            for chunk in chunks:
                with chunk.part(kind).open("rb") as part:
                    lines += _copied(part, file, text)
    # The planned lines were counted in the file as it is, without a look at cells and quotes.
    job.require_all("lines", planned=sum(chunk.lines for chunk in chunks), written=lines)


def _copied(part: BinaryIO, file: BinaryIO, text: _Text) -> int:
    """Copy a part, and return how many lines of it hold something."""
    lines, rest = 0, b""
    while data := part.read(BLOCK):
        file.write(data)
        # A line may end in the next block, or its line end may.
        *whole, rest = (rest + data).splitlines(keepends=True)
        lines += text.lines_in(b"".join(whole))
    return lines + text.lines_in(rest)


class _Delimited:
    """CSV: rows with their delimiters and quotes, in the encoding of the file."""

    def __init__(self, rows: Rows, dataset: Dataset, *, explain: bool) -> None:
        self._encoding, self._explain = rows.encoding, explain
        with open_input(UPath(rows.address)) as file:
            stream = Utf8Stream(file, TextEncoding(rows.encoding, rows.mark))
            origin = name_of(UPath(rows.address))
            self._header = delimited.read_header(stream, dialect_of(dataset), origin)
            after = self._header.rest.decode(errors="replace")
            self.begin = file.tell() - len(after.encode(rows.encoding, "replace"))
        self._origin = origin
        self._between = self._header.delimiter.encode()
        # Behind the header, or behind the first row where a row of units was left out.
        found = re.search(r"[\r\n]+", after)
        blank = found[0] if found else ""
        # CR CR LF is CR LF that was written as text on Windows.
        self._line_end = next((end for end in ("\r\n", "\n", "\r") if end in blank), "\n").encode()
        # Programs that write a table in Python mark missing values by words.
        self._nulls = pa.array(_NULLS if dataset.declaration is None else [], pa.string())

    def blocks(self, read: Callable[[int], bytes]) -> Iterator[Block]:
        names = self._header.names
        return row_blocks(read, Dialect(self._header.delimiter, len(names)), self._origin)

    def lines_in(self, data: bytes) -> int:
        """Count by Python's own reading of line ends, beside that of `tables.lines`."""
        return sum(map(bool, data.splitlines()))

    def rows_in(self, data: bytes) -> int:
        """Count as Python's own CSV reader sees the rows."""
        if b'"' not in data:
            return self.lines_in(data)
        shown = io.StringIO(data.decode(self._encoding, "replace"), newline="")
        return sum(map(bool, csv.reader(shown, delimiter=self._header.delimiter)))

    def parse(self, block: Block, dataset: Dataset, wanted: Sequence[str] | None) -> RawRows:
        names = list(self._header.names)
        if wanted is not None:
            names = list(find_columns(dataset, names, wanted).values())
        places = [self._header.names.index(name) for name in names]
        parsed = delimited.parse_rows(_in_utf8(block, self._encoding), self._header, places)
        lines = block.lines()
        for row, surplus in parsed.surplus.items():
            # Cells that are added to such a row would otherwise stand under no name.
            lines[row] = lines[row].rsplit(self._between, surplus)[0]
        columns = {
            name: self._aligned(column, parsed.rows, len(lines))
            for name, column in zip(names, parsed.columns, strict=True)
        }
        spaces = delimited.ragged(1, len(self._header.names))
        return RawRows(
            columns, lines, {row: reason or spaces for row, reason in parsed.reasons.items()}
        )

    def _aligned(self, column: pa.Array, rows: npt.NDArray[np.int64], count: int) -> pa.Array:
        """Return a cell for each row, null where it was rejected."""
        if len(self._nulls):
            column = pc.if_else(pc.is_in(column, value_set=self._nulls), None, column)
        if len(rows) == count:
            return column
        order = np.full(count, -1)
        order[rows] = np.arange(len(rows))
        return column.take(pa.array(order, mask=order < 0))

    def heads(self, version: RegisteredVersion) -> tuple[bytes, bytes]:
        names = self._header.names
        added = added_names(version.dataset.target, names, explain=self._explain)
        before = rejected_names(names)
        return (
            self._as_row([*names, *added]) + self._line_end,
            self._as_row([*before, *names]) + self._line_end,
        )

    def predicted(self, rows: RawRows, scored: ScoredRows, version: RegisteredVersion) -> bytes:
        between, target = self._between, version.dataset.target
        unit = between + self._as_row([target.unit]) + between
        number = between + str(version.number).encode() + between
        lower, upper = _numbers(scored.lower), _numbers(scored.upper)
        predicted = self._predictions(scored, target)
        level = b"" if scored.level is None else repr(scored.level).encode()
        # Problems of several fields are listed in one cell, with any delimiter.
        assumed, notices, explained = (
            [b"" if one is None else self._as_row([one]) for one in texts]
            for texts in (scored.assumed, scored.told, scored.explained)
        )
        return b"".join(
            b"".join(
                (line, between, text, unit, identifier, number)
                + (low, between, high, between, level, between, *classes, taken, between, told)
                + ((between, why) if self._explain else ())
                + ((between, text) if target.former else ())
                + (self._line_end,)
            )
            for line, (text, *classes), low, high, identifier, taken, told, why, reason in zip(
                rows.lines,
                predicted,
                lower,
                upper,
                scored.identifiers.tolist(),
                assumed,
                notices,
                explained,
                scored.reasons,
                strict=True,
            )
            if reason is None
        )

    def _predictions(self, scored: ScoredRows, target: Target) -> list[tuple[bytes, ...]]:
        """Return the cell of each prediction, and of a class what follows the limits."""
        if not target.is_classified:
            return [(number,) for number in _numbers(scored.predicted)]
        return [
            (b"",)
            if outcome is None
            else (
                self._as_row([str(outcome.label)]),
                self._as_row([of_class(outcome.probabilities)]),
                self._between,
                self._as_row([of_class(outcome.further)]),
                self._between,
            )
            for outcome in scored.outcomes
        ]

    def rejected(self, rows: RawRows, scored: ScoredRows, first_row: int) -> bytes:
        found, between, names = [], self._between, self._header.names
        for row in np.flatnonzero(scored.rejected).tolist():
            begin = self._as_row([str(first_row + row), scored.reasons[row]])
            line = rows.lines[row]
            if row in rows.broken and (b'"' in line or line.count(between) >= len(names)):
                # Nothing could read what follows its quotes or cells: it stands in one cell.
                cells = [line.decode(self._encoding, "replace"), *[""] * (len(names) - 1)]
                line = self._as_row(cells)
            found.append(begin + between + line + self._line_end)
        return b"".join(found)

    def _as_row(self, cells: Sequence[str]) -> bytes:
        text = io.StringIO()
        # The writer needs the line end to decide which cells have to be quoted.
        csv.writer(text, delimiter=self._header.delimiter, lineterminator="\r\n").writerow(cells)
        return text.getvalue()[:-2].encode(self._encoding, "replace")


def _numbers(values: npt.NDArray[np.float64]) -> list[bytes]:
    """Return numbers as text that reads back as the same; nothing for NaN."""
    texts = pa.array(values, from_pandas=True).cast(pa.string()).to_pylist()
    return [b"" if text is None else text.encode() for text in texts]


def _in_utf8(block: Block, encoding: str) -> Block:
    """Return a block of single bytes as UTF-8."""
    if encoding == "utf-8":
        return block
    widths = np.array([len(bytes([b]).decode(encoding, "replace").encode()) for b in range(256)])
    ends = np.cumsum(widths[np.frombuffer(block.data, dtype=np.uint8)])
    return Block(block.data.decode(encoding, "replace").encode(), ends[block.ends - 1])


class _JsonLines:
    """JSON lines: objects, each of which is read as a request is."""

    def __init__(self, begin: int, *, explain: bool) -> None:
        self.begin, self._explain = begin, explain

    def blocks(self, read: Callable[[int], bytes]) -> Iterator[Block]:
        return json_lines.line_blocks(read)

    def lines_in(self, data: bytes) -> int:
        """Count the lines that hold something; a line ends with LF alone."""
        return sum(bool(line.strip()) for line in data.split(b"\n"))

    def rows_in(self, data: bytes) -> int:
        return self.lines_in(data)

    def parse(self, block: Block, dataset: Dataset, wanted: Sequence[str] | None) -> RawRows:  # noqa: ARG002 - each object says what it has
        # Within an object, CR is space between its parts.
        lines = [line.strip().replace(b"\r", b" ") for line in block.lines()]
        records, broken = list[Mapping[str, Any]](), dict[int, str]()
        for row, line in enumerate(lines):
            content = _object(line)
            if isinstance(content, str):
                broken[row], content = content, {}
            records.append(content)
        return RawRows(records, lines, broken)

    def heads(self, _version: RegisteredVersion) -> tuple[bytes, bytes]:
        return b"", b""

    def predicted(self, rows: RawRows, scored: ScoredRows, version: RegisteredVersion) -> bytes:
        target, found = version.dataset.target, []
        for row in np.flatnonzero(~scored.rejected).tolist():
            value = float(scored.predicted[row])
            content = rows.columns[row] if isinstance(rows.columns, Sequence) else {}
            # NaN becomes null.
            limits = (scored.lower[row].item(), scored.upper[row].item(), scored.level)
            outcome = scored.outcomes[row]
            classes = () if outcome is None else (outcome.probabilities, outcome.further)
            several = target.kind == "multiclass"
            added: dict[str, Any] = {
                PREDICTION: value if outcome is None else outcome.label,
                UNIT_NAME: target.unit,
                IDENTIFIER: scored.identifiers[row].decode(),
                VERSION: version.number,
                **dict(zip(limit_names(content), limits, strict=True)),
                **dict(zip(class_names(content, several=several), classes, strict=False)),
                ASSUMED: scored.assumed[row],
                NOTICES: scored.notices[row],
            }
            if self._explain:
                added[REASONS] = msgspec.Raw(scored.explained[row].encode())
            if target.former:
                added[f"predicted_{target.former}"] = value
            begin = rows.lines[row][:-1].rstrip()
            between = b"" if begin.endswith(b"{") else b","
            found.append(begin + between + msgspec.json.encode(added)[1:] + b"\n")
        return b"".join(found)

    def rejected(self, rows: RawRows, scored: ScoredRows, first_row: int) -> bytes:
        found = []
        for row in np.flatnonzero(scored.rejected).tolist():
            line = rows.lines[row]
            content = rows.columns[row] if isinstance(rows.columns, Sequence) else {}
            number, reason = rejected_names(content)
            begin = msgspec.json.encode({number: first_row + row, reason: scored.reasons[row]})[:-1]
            if row in rows.broken:
                line = json.dumps({"line": line.decode(errors="replace")}).encode()
            rest = line[1:].lstrip()
            found.append(begin + (b"" if rest == b"}" else b",") + rest + b"\n")
        return b"".join(found)


def _object(line: bytes) -> Mapping[str, Any] | str:
    """Return the object of a line; for anything else, the reason."""
    try:
        content = decode(line)
    except InvalidInputError as error:
        return f"{error.given} {error.rule}"
    except (msgspec.DecodeError, RecursionError) as error:
        return f"the line is not a JSON object ({error})"
    if isinstance(content, dict):
        return content
    return f"the line is not a JSON object (it is {type(content).__name__})"
