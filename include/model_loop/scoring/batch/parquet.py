"""Parquet files: cut at row groups, read a few columns at a time, joined batch by batch.

The scored part of a chunk holds predictions, ids and reasons only: the input's own columns are
decoded once, when the output is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from model_loop.datasets.dataset import Target
from model_loop.errors import InvalidInputError
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.scoring.answers import ASSUMED, IDENTIFIER, PREDICTION
from model_loop.scoring.batch.job import (
    REASON,
    Chunk,
    Job,
    added_names,
    rejected_names,
)
from model_loop.scoring.batch.rows import BATCH_ROWS, RawRows, ScoredRows
from model_loop.scoring.columns import find_columns
from model_loop.scoring.opening import open_input
from model_loop.scoring.places import place
from model_loop.scoring.predictor import RegisteredVersion

_PART = pa.schema(
    [
        (PREDICTION, pa.float64()),
        (IDENTIFIER, pa.string()),
        (REASON, pa.string()),
        (ASSUMED, pa.string()),
    ]
)
#: Types of the columns that a scored file has besides its own.
_ADDED = (pa.float64(), pa.string(), pa.string(), pa.int32(), pa.string(), pa.float64())
#: Beginnings of the names of columns whose values are nearly all different.
_DIFFERENT = (IDENTIFIER, PREDICTION, "predicted_")
#: Rows of a row group of the output.
_GROUP_ROWS = 2**17
#: Bytes that are read of a column at once.
_BUFFER = 2**20


def columns_of(path: UPath) -> list[str]:
    """Names of a file's columns.

    Raises
    ------
    InvalidInputError
        If it is no Parquet file.
    """
    with _opened(path) as file:
        names: list[str] = file.schema_arrow.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(
            f"Input {path}", f"has the column {twice} twice", "Give each column a name of its own."
        )
    return names


def cut(job: Job, chunk_rows: int) -> list[Chunk]:
    """Chunks of whole row groups where these are small, and of equal parts of large ones."""
    with _opened(place(job.source)) as file:
        metadata = file.metadata
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    sizes, waiting = list[int](), 0
    for rows in groups:
        if rows > chunk_rows:
            parts = -(-rows // chunk_rows)
            sizes += [*([waiting] if waiting else []), *_equal(rows, parts)]
            waiting = 0
            continue
        if waiting + rows > chunk_rows:
            sizes.append(waiting)
            waiting = 0
        waiting += rows
    sizes += [waiting] if waiting or not sizes else []
    firsts = np.cumsum([0, *sizes]).tolist()
    return [Chunk(job, first, rows) for first, rows in zip(firsts, sizes, strict=False)]


def _equal(rows: int, parts: int) -> list[int]:
    return [rows * (part + 1) // parts - rows * part // parts for part in range(parts)]


def read(chunk: Chunk, wanted: Sequence[str] | None) -> Iterator[RawRows]:
    """The rows of a chunk, a batch at a time.

    Parameters
    ----------
    wanted
        The model's columns; None for all of the file's.
    """
    with _opened(place(chunk.job.source)) as file:
        names = None
        if wanted is not None:
            names = list(
                find_columns(chunk.job.version.dataset, file.schema_arrow.names, wanted).values()
            )
        for batch in _rows(file, chunk.first_row, chunk.rows, names):
            try:
                # A description for pandas may hold anything, and would be parsed in any case.
                frame = batch.replace_schema_metadata().to_pandas()
            except KeyError as error:
                # Both libraries of time zones raise it.
                raise InvalidInputError(
                    f"Input {chunk.job.source}",
                    f"holds times in an unknown time zone ({error})",
                    "Save them in UTC, or in a time zone such as Europe/Berlin.",
                ) from error
            yield RawRows(frame)


def _rows(
    file: pq.ParquetFile, first: int, rows: int, names: list[str] | None
) -> Iterator[pa.RecordBatch]:
    """Return successive rows; what comes before them in their row group is decoded and dropped."""
    groups, begin, skip = list[int](), 0, first
    for number in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(number).num_rows
        if begin < first + rows and begin + size > first:
            skip = first - begin if not groups else skip
            groups.append(number)
        begin += size
    left = rows
    for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=names):
        dropped = min(skip, batch.num_rows)
        skip -= dropped
        piece = batch.slice(dropped, left)
        left -= piece.num_rows
        if piece.num_rows:
            yield piece
        if not left:
            return


@contextlib.contextmanager
def part_writer(chunk: Chunk) -> Iterator[Callable[[RawRows, ScoredRows], None]]:
    """Something to hand scored rows to; the part appears whole or not at all."""
    with (
        atomic_write(chunk.part()) as partial,
        partial.open("wb") as file,
        pq.ParquetWriter(file, _PART, compression="lz4") as writer,
    ):

        def write(_rows: RawRows, scored: ScoredRows) -> None:
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [
                        pa.array(scored.predicted, mask=scored.rejected),
                        _text(scored.identifiers),
                        pa.array(scored.reasons, pa.string()),
                        pa.array(scored.assumed, pa.string()),
                    ],
                    schema=_PART,
                )
            )

        yield write


def _text(identifiers: Any) -> pa.Array:  # noqa: ANN401 - fixed-width bytes
    """An Arrow array of text over the same memory."""
    width = identifiers.dtype.itemsize
    offsets = np.arange(len(identifiers) + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(
        len(identifiers), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(identifiers))
    )


def join(job: Job, chunks: Sequence[Chunk], output: UPath, rejected: UPath) -> None:
    """Write the input with its predictions, and the rows that could not be predicted.

    Parameters
    ----------
    output, rejected
        Files to write to; the caller makes them appear.
    """
    with _opened(place(job.source)) as file, contextlib.ExitStack() as stack:
        schema = _plain(file.schema_arrow.empty_table()).schema
        good = stack.enter_context(_writer(output, _predicted(schema, job.version.dataset.target)))
        bad = stack.enter_context(_writer(rejected, _rejected(schema)))
        parts, first = _Parts(chunks), 0
        for batch in file.iter_batches(_GROUP_ROWS):
            scored = parts.take(batch.num_rows)
            numbers = pa.array(np.arange(first, first + batch.num_rows))
            _write(good, bad, batch, scored, numbers, job.version)
            first += batch.num_rows
    job.require_all(
        "rows", planned=_rows_of(place(job.source)), written=_rows_of(output) + _rows_of(rejected)
    )


def _rows_of(path: UPath) -> int:
    """Return the number of rows that a file's footer names."""
    with _opened(path) as file:
        rows: int = file.metadata.num_rows
        return rows


def _write(
    good: pq.ParquetWriter,
    bad: pq.ParquetWriter,
    batch: pa.RecordBatch,
    scored: pa.Table,
    numbers: pa.Array,
    version: RegisteredVersion,
) -> None:
    rows = _plain(pa.Table.from_batches([batch]))
    usable = scored[REASON].is_null()
    if scored[REASON].null_count < len(scored):
        wrong = scored[REASON].is_valid()
        reasons = [numbers.filter(wrong.combine_chunks()), scored[REASON].filter(wrong)]
        bad.write_table(
            pa.table([*reasons, *rows.filter(wrong).columns], schema=bad.schema), _GROUP_ROWS
        )
        rows, scored = rows.filter(usable), scored.filter(usable)
    versions = pa.repeat(pa.scalar(version.number, pa.int32()), len(rows))
    target = version.dataset.target
    units = pa.repeat(pa.scalar(target.unit, pa.string()), len(rows))
    said, ids, assumed = scored[PREDICTION], scored[IDENTIFIER], scored[ASSUMED]
    added = [said, units, ids, versions, assumed, *([said] if target.former else [])]
    good.write_table(pa.table([*rows.columns, *added], schema=good.schema), _GROUP_ROWS)


def _plain(rows: pa.Table) -> pa.Table:
    """Return rows whose texts are no views: Arrow can neither filter nor write these everywhere."""
    fields = [_without_views(field) for field in rows.schema]
    schema = pa.schema(fields, rows.schema.metadata)
    return rows if schema.equals(rows.schema) else rows.cast(schema)


def _without_views(field: pa.Field) -> pa.Field:
    """Return a field whose texts are no views, however deep they lie in structs, lists and maps."""
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    kind = field.type
    if kind in views:
        return field.with_type(views[kind])
    if pa.types.is_struct(kind):
        return field.with_type(pa.struct([_without_views(inner) for inner in kind.fields]))
    if pa.types.is_map(kind):
        key, item = _without_views(kind.key_field), _without_views(kind.item_field)
        return field.with_type(pa.map_(key, item, keys_sorted=kind.keys_sorted))
    if pa.types.is_fixed_size_list(kind):
        return field.with_type(pa.list_(_without_views(kind.value_field), kind.list_size))
    for is_list, make in (
        (pa.types.is_list, pa.list_),
        (pa.types.is_large_list, pa.large_list),
        (pa.types.is_list_view, pa.list_view),
        (pa.types.is_large_list_view, pa.large_list_view),
    ):
        if is_list(kind):
            return field.with_type(make(_without_views(kind.value_field)))
    return field


def _predicted(schema: pa.Schema, target: Target) -> pa.Schema:
    for name, kind in zip(added_names(target), _ADDED, strict=False):
        schema = schema.append(pa.field(name, kind))
    return schema


def _rejected(schema: pa.Schema) -> pa.Schema:
    row, reason = rejected_names(schema.names)
    return schema.insert(0, pa.field(reason, pa.string())).insert(0, pa.field(row, pa.int64()))


class _Parts:
    """The scored rows of all chunks, one after another."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._batches = self._read(chunks)
        self._waiting = _PART.empty_table()

    def take(self, rows: int) -> pa.Table:
        """The next rows."""
        while len(self._waiting) < rows:
            following = pa.Table.from_batches([next(self._batches)])
            self._waiting = pa.concat_tables([self._waiting, following])
        taken, self._waiting = self._waiting.slice(0, rows), self._waiting.slice(rows)
        return taken

    def _read(self, chunks: Sequence[Chunk]) -> Iterator[pa.RecordBatch]:
        for chunk in chunks:
            with _opened(chunk.part()) as file:
                yield from file.iter_batches(_GROUP_ROWS)


@contextlib.contextmanager
def _writer(path: UPath, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    with (
        path.open("wb") as file,
        # Ids are all different: a dictionary of them would be built for nothing.
        pq.ParquetWriter(
            file,
            schema,
            use_dictionary=[
                n for n in schema.names if n not in _DIFFERENT and not n.startswith("predicted_")
            ],
        ) as writer,
    ):
        yield writer


@contextlib.contextmanager
def _opened(path: UPath) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file to be read as a stream.

    Raises
    ------
    InvalidInputError
        If it cannot be read, now or at any row.
    """
    local = path.protocol in LOCAL_PROTOCOLS
    with (
        open_input(path) as opened,
        _readable(path),
        # Arrow reads a file of its own without waiting for the interpreter.
        pa.OSFile(f"/dev/fd/{opened.fileno()}") if local else opened as file,
    ):
        yield pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)


@contextlib.contextmanager
def _readable(path: UPath) -> Iterator[None]:
    """Name the file in whatever Arrow says of it: damage is found in the footer or in any page."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            # The disk's or the network's, not the file's.
            raise
        said = " ".join(str(error).split())
        if isinstance(error, pa.ArrowNotImplementedError):
            raise InvalidInputError(
                f"Input {path}",
                f"holds data that Arrow cannot read or convert ({said})",
                "Save it with other types of columns; if it is damaged, copy it again.",
            ) from error
        raise InvalidInputError(
            f"Input {path}",
            f"is not a readable Parquet file ({said})",
            "It may be damaged or truncated: copy it again.",
        ) from error
