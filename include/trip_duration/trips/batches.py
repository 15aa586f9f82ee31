"""A month, read in record batches: memory depends on the batch, not on the month.

Arrow decodes the columns that are asked for, and only those, a batch at a time; what follows is
arithmetic on arrays. polars and duckdb read as fast, but hold more of the file at once (see
docs/measured.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from trip_duration.errors import ContractError
from trip_duration.trips.services import (
    DROPOFF_TIME,
    DROPOFF_ZONE,
    DURATION,
    PICKUP_TIME,
    PICKUP_ZONE,
    REQUIRED_COLUMNS,
    TRIP_TIME,
    Service,
)
from trip_duration.trips.source import RawMonth

#: Rows of a batch: its columns fit into the processor's cache.
BATCH_ROWS = 2**17
#: Bytes that are read of a column at once; a whole row group would be read otherwise.
_BUFFER = 2**20

ZONES = (PICKUP_ZONE, DROPOFF_ZONE)
_TIMES = (PICKUP_TIME, DROPOFF_TIME)

#: Without these a row is no trip.
_NEEDED = (*REQUIRED_COLUMNS, TRIP_TIME)
#: No zone id is as large.
_LARGE = 2**31

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class TripBatch:
    """Some successive rows of a month, by our names and in our types.

    Parameters
    ----------
    first_row
        Number of the first row in the file.
    columns
        Arrays of shape (rows,): times as int64 microseconds, zones as int32, anything else as
        float64, and ``duration`` in minutes. A missing number is NaN, a missing time or zone 0.
    missing
        Which rows lack a time, a zone or the distance.
    """

    first_row: int
    columns: Mapping[str, Array]
    missing: npt.NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.missing)

    def __getitem__(self, name: str) -> Array:
        """A column."""
        return self.columns[name]


def read_batches(raw: RawMonth, service: Service, columns: Sequence[str]) -> Iterator[TripBatch]:
    """Read a month from beginning to end.

    Parameters
    ----------
    columns
        Our names of the columns wanted besides the two times; one that the service does not
        publish is left out.

    Raises
    ------
    ContractError
        If the file is damaged, or a value is not of its column's kind.
    InvalidInputError
        If no service has one of the columns.
    """
    wanted = (*_TIMES, *columns, *((TRIP_TIME,) if TRIP_TIME in service.columns else ()))
    published = service.published_names(wanted)
    first_row = 0
    with reading(raw), UPath(raw.path).open("rb") as file:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)
        batches = parquet.iter_batches(BATCH_ROWS, columns=list(published.values()))
        several = parquet.metadata.num_rows > BATCH_ROWS
        for batch in _ahead(batches) if several else batches:
            yield _trip_batch(batch, published, first_row)
            first_row += batch.num_rows
    # What Arrow keeps for the next batch is of no use to the steps that follow.
    pa.default_memory_pool().release_unused()


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; the next is decoded while one is worked on."""
    with ThreadPoolExecutor(1) as worker:
        upcoming = worker.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = worker.submit(next, batches, None)
            yield batch


@dataclass(frozen=True)
class Footer:
    """What a month's file says of itself, without its rows.

    Parameters
    ----------
    schema
        Its columns and their types.
    rows
        Number of rows.
    nulls
        Number of missing values of each column; None where the file does not say.
    """

    schema: pa.Schema
    rows: int
    nulls: Mapping[str, int | None]


def read_footer(raw: RawMonth) -> Footer:
    """Read the end of a month's file.

    Raises
    ------
    ContractError
        If the file is empty or no Parquet file.
    """
    if raw.size == 0:
        raise ContractError(described(raw), "is empty (0 bytes)", "Fetch it again.")
    with reading(raw), UPath(raw.path).open("rb") as file:
        parquet = pq.ParquetFile(file)
        return Footer(parquet.schema_arrow, parquet.metadata.num_rows, _nulls(parquet.metadata))


def _nulls(metadata: pq.FileMetaData) -> dict[str, int | None]:
    counts: dict[str, int | None] = {}
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            known = chunk.is_stats_set and chunk.statistics.has_null_count
            so_far = counts.get(chunk.path_in_schema, 0)
            counts[chunk.path_in_schema] = (
                so_far + chunk.statistics.null_count if known and so_far is not None else None
            )
    return counts


@contextlib.contextmanager
def reading(raw: RawMonth) -> Iterator[None]:
    """Name the month in what goes wrong while its Parquet file is read.

    Raises
    ------
    ContractError
        If the file is gone, is no Parquet file, or is damaged. What else the storage answers,
        such as a denied permission or a lost connection, is passed on: it may not last.
    """
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and not _is_of_the_file(error):
            raise
        raise ContractError(
            described(raw),
            f"is no readable Parquet file ({error})",
            "It may be truncated, or a web page in place of the file: fetch it again.",
        ) from error


def described(raw: RawMonth) -> str:
    """A month as the user knows it."""
    return f"Month {raw.month} of {raw.service} ({raw.url})"


def _is_of_the_file(error: OSError) -> bool:
    # Arrow reports damaged pages as plain OSErrors without a number.
    damaged = type(error) is OSError and error.errno is None
    return damaged or isinstance(error, FileNotFoundError)


def _trip_batch(batch: pa.RecordBatch, published: Mapping[str, str], first_row: int) -> TripBatch:
    missing = np.zeros(batch.num_rows, dtype=bool)
    columns: dict[str, Array] = {}
    for name, theirs in published.items():
        values = batch.column(theirs)
        columns[name] = _array(name, values)
        if name in _NEEDED and (absent := _absent(values)) is not None:
            missing |= absent
    columns[DURATION] = _minutes(columns)
    return TripBatch(first_row, columns, missing)


def _absent(values: pa.Array) -> Array | None:
    """Which values are missing; None if none is."""
    if not values.null_count and not pa.types.is_floating(values.type):
        return None
    absent: Array = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return absent


def _array(name: str, values: pa.Array) -> Array:
    if name in _TIMES:
        return _filled(_as(values, pa.timestamp("us")).view(pa.int64()), 0)
    if name in ZONES:
        return _zone_ids(values)
    return _filled(_as(values, pa.float64()), float("nan"))


def _as(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values of another type; Arrow would copy those that are of this type already."""
    return values if values.type == kind else values.cast(kind, safe=False)


def _zone_ids(values: pa.Array) -> Array:
    """Zones as int32; what cannot be a zone becomes -1, what is missing 0."""
    if values.type == pa.int32():
        return _filled(values, 0)
    numbers = _filled(values.cast(pa.float64(), safe=False), 0.0)
    possible = (numbers == np.floor(numbers)) & (np.abs(numbers) < _LARGE)
    absent = np.isnan(numbers)
    return np.where(possible, numbers, np.where(absent, 0.0, -1.0)).astype(np.int32)


def _filled(values: pa.Array, filler: float) -> Array:
    filled = pc.fill_null(values, filler) if values.null_count else values
    array: Array = filled.to_numpy(zero_copy_only=False)
    return array


def _minutes(columns: Mapping[str, Array]) -> Array:
    if TRIP_TIME in columns:
        return columns[TRIP_TIME] / 60
    # In the order of pandas' total_seconds() / 60, so that the minutes agree to the last bit.
    minutes: Array = (columns[DROPOFF_TIME] - columns[PICKUP_TIME]) / 1e6 / 60
    return minutes
