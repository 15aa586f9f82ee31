"""Typed files: cut at row groups, read a few columns at a time, joined batch by batch as Parquet.

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
from model_loop.intervals.grid import LEVEL, LOWER, UPPER
from model_loop.objects.files import atomic_write
from model_loop.scoring.answers import ASSUMED, IDENTIFIER, NOTICES, PREDICTION
from model_loop.scoring.batch.job import (
    REASON,
    Chunk,
    Job,
    added_names,
    rejected_names,
)
from model_loop.scoring.batch.rows import BATCH_ROWS, RawRows, ScoredRows
from model_loop.scoring.batch.source import Rows, name_of, open_typed
from model_loop.scoring.columns import find_columns
from model_loop.scoring.limits import CLASSES, LABEL, PROBABILITIES, THRESHOLD
from model_loop.scoring.outcomes import Outcome, of_class
from model_loop.scoring.paths import to_path
from model_loop.scoring.reasons import REASONS
from model_loop.tables.typed import plain, reading

_PART = pa.schema(
    [
        (PREDICTION, pa.float64()),
        (IDENTIFIER, pa.string()),
        (LOWER, pa.float64()),
        (UPPER, pa.float64()),
        (LEVEL, pa.float64()),
        (REASON, pa.string()),
        (ASSUMED, pa.string()),
        (NOTICES, pa.string()),
        (REASONS, pa.string()),
    ]
)
#: Further columns of a part where classes are predicted.
_OF_CLASSES = (
    (LABEL, pa.string()),
    (PROBABILITIES, pa.string()),
    (THRESHOLD, pa.float64()),
    (CLASSES, pa.string()),
)
#: Types of the columns that a scored file has besides its own, behind the prediction.
_ADDED = (pa.string(), pa.string(), pa.int32(), pa.float64(), pa.float64(), pa.float64())
#: Beginnings of the names of columns whose values are nearly all different.
_DIFFERENT = (IDENTIFIER, PREDICTION, LOWER, UPPER)
#: Rows of a row group of the output.
_GROUP_ROWS = 2**17


def cut_chunks(job: Job, chunk_rows: int) -> list[Chunk]:
    """Chunks of whole row groups where these are small, and of equal parts of large ones."""
    with open_typed(job.rows) as file:
        groups = file.groups()
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


def read_chunk(chunk: Chunk, wanted: Sequence[str] | None) -> Iterator[RawRows]:
    """The rows of a chunk, a batch at a time.

    Parameters
    ----------
    wanted
        The model's columns; None for all of the file's.
    """
    with open_typed(chunk.job.rows) as file:
        names = list(file.schema.names)
        if wanted is not None:
            names = list(find_columns(chunk.job.version.dataset, names, wanted).values())
        for batch in file.batches(BATCH_ROWS, names=names, first=chunk.first_row, rows=chunk.rows):
            with reading(name_of(to_path(chunk.job.source))):
                columns = {name: plain(batch.column(name)) for name in names}
            yield RawRows(columns)


@contextlib.contextmanager
def part_writer(chunk: Chunk) -> Iterator[Callable[[RawRows, ScoredRows], None]]:
    """Something to hand scored rows to; the part appears whole or not at all."""
    classified = chunk.job.version.dataset.target.is_classified
    schema = _part(chunk.job)
    with (
        atomic_write(chunk.part()) as partial,
        partial.open("wb") as file,
        pq.ParquetWriter(file, schema, compression="lz4") as writer,
    ):

        def write(_rows: RawRows, scored: ScoredRows) -> None:
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [
                        pa.array(scored.predicted, mask=scored.rejected),
                        _text(scored.identifiers),
                        pa.array(scored.lower, from_pandas=True),
                        pa.array(scored.upper, from_pandas=True),
                        pa.array([scored.level] * len(scored.lower), pa.float64()),
                        pa.array(scored.reasons, pa.string()),
                        pa.array(scored.assumed, pa.string()),
                        pa.array(scored.told, pa.string()),
                        pa.array(scored.explained, pa.string()),
                        *(_of_classes(scored) if classified else ()),
                    ],
                    schema=schema,
                )
            )

        yield write


def _part(job: Job) -> pa.Schema:
    """Return the schema of the scored part of a chunk."""
    return pa.schema([*_PART, *_OF_CLASSES]) if job.version.dataset.target.is_classified else _PART


def _of_classes(scored: ScoredRows) -> list[pa.Array]:
    """Return the columns of `_OF_CLASSES`."""
    outcomes = [[None] * 4 if one is None else _texts(one) for one in scored.outcomes]
    columns = zip(*outcomes, strict=True) if outcomes else [()] * 4
    return [pa.array(column, kind) for column, (_, kind) in zip(columns, _OF_CLASSES, strict=True)]


def _texts(outcome: Outcome) -> list[Any]:
    classes = None if outcome.classes is None else of_class(outcome.classes)
    return [str(outcome.label), of_class(outcome.probabilities), outcome.threshold, classes]


def _text(identifiers: Any) -> pa.Array:  # noqa: ANN401 - fixed-width bytes
    """An Arrow array of text over the same memory."""
    width = identifiers.dtype.itemsize
    offsets = np.arange(len(identifiers) + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(
        len(identifiers), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(identifiers))
    )


def join_parts(job: Job, chunks: Sequence[Chunk], output: UPath, rejected: UPath) -> None:
    """Write the input with its predictions, and the rows that could not be predicted.

    Parameters
    ----------
    output, rejected
        Files to write to; the caller makes them appear.
    """
    with open_typed(job.rows) as file, contextlib.ExitStack() as stack:
        schema = _plain(file.schema.empty_table()).schema
        good = stack.enter_context(_writer(output, _predicted(schema, job)))
        bad = stack.enter_context(_writer(rejected, _rejected(schema)))
        parts, first = _Parts(chunks), 0
        for batch in file.batches(_GROUP_ROWS):
            scored = parts.take(batch.num_rows)
            numbers = pa.array(np.arange(first, first + batch.num_rows))
            with reading(name_of(to_path(job.source))):
                _write(good, bad, batch, scored, numbers, job)
            first += batch.num_rows
    written = sum(sum(groups) for groups in map(_groups_of, (output, rejected)))
    with open_typed(job.rows) as file:
        planned = sum(file.groups())
    job.require_all("rows", planned=planned, written=written)


def _groups_of(path: UPath) -> list[int]:
    """Return the number of rows of each row group, as the footer of a written file says."""
    with open_typed(Rows("parquet", str(path))) as file:
        return file.groups()


def _write(
    good: pq.ParquetWriter,
    bad: pq.ParquetWriter,
    batch: pa.RecordBatch,
    scored: pa.Table,
    numbers: pa.Array,
    job: Job,
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
    versions = pa.repeat(pa.scalar(job.version.number, pa.int32()), len(rows))
    target = job.version.dataset.target
    units = pa.repeat(pa.scalar(target.unit, pa.string()), len(rows))
    said, classes = scored[PREDICTION], list[str]()
    if target.is_classified:
        said = scored[LABEL].cast(_prediction(target))
        classes = [PROBABILITIES, CLASSES if target.kind == "multiclass" else THRESHOLD]
    names = (LOWER, UPPER, LEVEL, *classes, ASSUMED, NOTICES, *((REASONS,) if job.explain else ()))
    further = [scored[name] for name in names]
    former = [said] if target.former else []
    added = [said, units, scored[IDENTIFIER], versions, *further, *former]
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


def _predicted(schema: pa.Schema, job: Job) -> pa.Schema:
    target = job.version.dataset.target
    names = added_names(target, schema.names, explain=job.explain)
    further = pa.string() if target.kind == "multiclass" else pa.float64()
    kinds = [
        *(_prediction(target), *_ADDED),
        *((pa.string(), further) if target.is_classified else ()),
        *(pa.string(), pa.string()),
        *([pa.string()] if job.explain else []),
        pa.float64(),
    ]
    for name, kind in zip(names, kinds, strict=False):
        schema = schema.append(pa.field(name, kind))
    return schema


def _prediction(target: Target) -> pa.DataType:
    """Return the type of predictions: numbers, whole labels, or texts."""
    if not target.is_classified:
        return pa.float64()
    whole = all(isinstance(label, int) for label in target.labels.labels)
    return pa.int64() if whole else pa.string()


def _rejected(schema: pa.Schema) -> pa.Schema:
    row, reason = rejected_names(schema.names)
    return schema.insert(0, pa.field(reason, pa.string())).insert(0, pa.field(row, pa.int64()))


class _Parts:
    """The scored rows of all chunks, one after another."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._batches = self._read(chunks)
        self._waiting = _part(chunks[0].job).empty_table()

    def take(self, rows: int) -> pa.Table:
        """The next rows."""
        while len(self._waiting) < rows:
            following = pa.Table.from_batches([next(self._batches)])
            self._waiting = pa.concat_tables([self._waiting, following])
        taken, self._waiting = self._waiting.slice(0, rows), self._waiting.slice(rows)
        return taken

    def _read(self, chunks: Sequence[Chunk]) -> Iterator[pa.RecordBatch]:
        for chunk in chunks:
            with open_typed(Rows("parquet", str(chunk.part()))) as file:
                yield from file.batches(_GROUP_ROWS)


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
