"""Typed files: Parquet, and Arrow's own format as a file or as a stream."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from model_loop.tables.delimited import require_names
from model_loop.tables.refused import TableFileError
from model_loop.tables.row_blocks import RowBlock

TypedKind = Literal["parquet", "arrow"]


def is_typed(kind: str) -> TypeGuard[TypedKind]:
    """Return whether a format holds values with types."""
    return kind in {"parquet", "arrow"}


_BATCH_ROWS = 2**17
#: Bytes that are read of a column at once.
_BUFFER = 2**20


class TypedFile:
    """An open typed file, read as a stream.

    Parameters
    ----------
    file
        The file, at its beginning.
    kind
        Its format.
    origin
        Name of the file, for errors.

    Raises
    ------
    TableFileError
        If it is damaged, or names a column twice; see `reading` for errors of later reads.
    """

    def __init__(self, file: IO[bytes] | pa.NativeFile, kind: TypedKind, origin: str) -> None:
        self._origin = origin
        with reading(origin):
            self._parquet = self._arrow = self._stream = None
            if kind == "parquet":
                self._parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)
                self.schema: pa.Schema = self._parquet.schema_arrow
            elif _is_stream(file):
                self._stream = pyarrow.ipc.open_stream(file)
                self.schema = self._stream.schema
            else:
                self._arrow = pyarrow.ipc.open_file(file)
                self.schema = self._arrow.schema
        require_names(self.schema.names, origin)

    def groups(self) -> list[int]:
        """Return the number of rows of each part that is decoded by itself; a stream is read."""
        if self._parquet is not None:
            metadata = self._parquet.metadata
            return [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
        with reading(self._origin):
            return [batch.num_rows for batch in self._arrow_batches()]

    def ranges(self, within: TimeBounds | None) -> list[tuple[int, int | None]]:
        """Return first row and number of rows of each stretch that may have wanted rows.

        None stands for all rows that follow. There is at least one stretch.
        """
        if within is None or self._parquet is None or within.column not in self.schema.names:
            return [(0, None)]
        metadata = self._parquet.metadata
        position = [
            metadata.schema.column(each).path for each in range(metadata.num_columns)
        ].index(within.column)
        stretches: list[tuple[int, int | None]] = []
        begin = 0
        for number, size in enumerate(self.groups()):
            statistics = metadata.row_group(number).column(position).statistics
            bounded = statistics is not None and statistics.has_min_max
            if not bounded or within.may_hold(statistics.min, statistics.max):
                stretches.append((begin, size))
            begin += size
        # Something has to say which columns there are.
        return stretches or [(0, next(iter(self.groups()), None))]

    def batches(
        self,
        rows_at_once: int = _BATCH_ROWS,
        *,
        names: Sequence[str] | None = None,
        first: int = 0,
        rows: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield successive rows.

        Parameters
        ----------
        names
            Names of the columns; all by default.
        first, rows
            First row, and number of rows; to the end by default. Row groups of Parquet before it
            are not decoded.

        Raises
        ------
        TableFileError
            If the file is damaged.
        """
        with reading(self._origin):
            left, skip = rows, first
            if self._parquet is not None:
                found, skip = self._parquet_batches(rows_at_once, names, first, rows)
            else:
                found = self._arrow_batches()
            for batch in found:
                dropped = min(skip, batch.num_rows)
                skip -= dropped
                piece = batch.slice(dropped, left)
                left = None if left is None else left - piece.num_rows
                if self._parquet is None and names is not None:
                    piece = piece.select(list(names))
                for start in range(0, piece.num_rows, rows_at_once):
                    yield piece.slice(start, rows_at_once)
                if left == 0:
                    return

    def _parquet_batches(
        self, rows_at_once: int, names: Sequence[str] | None, first: int, rows: int | None
    ) -> tuple[Iterator[pa.RecordBatch], int]:
        """Return the batches of the row groups that hold rows, and how many come before these."""
        groups, begin, skip = list[int](), 0, first
        for number, size in enumerate(self.groups()):
            if (rows is None or begin < first + rows) and begin + size > first:
                skip = first - begin if not groups else skip
                groups.append(number)
            begin += size
        assert self._parquet is not None
        columns = None if names is None else list(names)
        return self._parquet.iter_batches(rows_at_once, row_groups=groups, columns=columns), skip

    def _arrow_batches(self) -> Iterator[pa.RecordBatch]:
        if self._arrow is not None:
            for number in range(self._arrow.num_record_batches):
                yield self._arrow.get_batch(number)
        elif self._stream is not None:
            yield from self._stream


def _is_stream(file: IO[bytes] | pa.NativeFile) -> bool:
    begin = file.read(6)
    file.seek(0)
    return bool(begin != b"ARROW1")


@contextlib.contextmanager
def reading(origin: str) -> Iterator[None]:
    """Name the file in whatever Arrow says of it: damage is found in the footer or in any page.

    Raises
    ------
    TableFileError
        If it is damaged, or holds a type that Arrow cannot read.
    OSError
        If the disk or the network fails.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            # The disk's or the network's, not the file's.
            raise
        said = " ".join(str(error).split())
        if isinstance(error, pa.ArrowNotImplementedError):
            raise TableFileError(
                "damaged",
                origin,
                f"holds data that Arrow cannot read or convert ({said})",
                "Save it with other types of columns; if it is damaged, copy it again.",
            ) from error
        raise TableFileError(
            "damaged", origin, f"is damaged, or was cut off ({said})", "Fetch or write it again."
        ) from error


@dataclass(frozen=True)
class TimeBounds:
    """Times that are wanted of a file.

    Parameters
    ----------
    column
        Column of the time.
    first, after
        First moment that is wanted, and the first after it, on the clocks of the place.
    """

    column: str
    first: dt.datetime
    after: dt.datetime

    def may_hold(self, least: object, most: object) -> bool:
        """Return whether rows between two times may be wanted; true of anything but times.

        Clocks of any two places differ by less than two days.
        """
        if not isinstance(least, dt.date) or not isinstance(most, dt.date):
            return True
        return _moment(most) >= self.first - _CLOCKS and _moment(least) <= self.after + _CLOCKS


_CLOCKS = dt.timedelta(days=2)


def _moment(time: dt.date) -> dt.datetime:
    if isinstance(time, dt.datetime):
        return time.replace(tzinfo=None)
    return dt.datetime(time.year, time.month, time.day)  # noqa: DTZ001 - on clocks of any place


def read_blocks(
    file: IO[bytes], kind: TypedKind, origin: str, within: TimeBounds | None = None
) -> Iterator[RowBlock]:
    """Yield the rows of a typed file, batch by batch.

    Parameters
    ----------
    within
        Bounds of the times that are wanted; row groups of Parquet whose statistics say that they
        have none are not decoded.

    Raises
    ------
    TableFileError
        If it is damaged, or names a column twice.
    """
    opened = TypedFile(file, kind, origin)
    for first, count in opened.ranges(within):
        rows = first
        for batch in opened.batches(first=first, rows=count):
            with reading(origin):
                columns = {name: plain(batch.column(name)) for name in batch.schema.names}
            numbers = np.arange(rows, rows + batch.num_rows, dtype=np.int64) + 1
            yield RowBlock(columns, numbers, {})
            rows += batch.num_rows


def plain(column: pa.Array) -> pa.Array:
    """Return a column without codes and views: the same values in the type that they are of."""
    if pa.types.is_dictionary(column.type):
        return plain(column.dictionary_decode())
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column
