"""A month in batches, by our names and in our types: memory depends on the batch alone.

Arrow decodes (see `decoding`); what follows is arithmetic on arrays. polars and duckdb read as
fast, but hold more of the file at once (see docs/measured.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trip_duration.columns import ATTRIBUTES, LARGEST_NUMBER
from trip_duration.decoding import damaged, decode, read_footer, reading
from trip_duration.services import (
    DROPOFF_TIME,
    DROPOFF_ZONE,
    DURATION,
    PICKUP_TIME,
    PICKUP_ZONE,
    REQUIRED_COLUMNS,
    TRIP_TIME,
    Service,
)
from trip_duration.source.types import MonthFile

#: Rows of a batch: a column and what is computed from it fit into a core's own cache.
BATCH_ROWS = 2**16

ZONES = (PICKUP_ZONE, DROPOFF_ZONE)
_TIMES = (PICKUP_TIME, DROPOFF_TIME)

#: Without these a row is no trip.
_NEEDED = (*REQUIRED_COLUMNS, TRIP_TIME)
#: No zone id is as large.
_LARGE = 2**31
#: The largest int64.
_MOST = 2**63 - 1
#: Microseconds of the longer units of time.
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000}

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
        An attribute that no request may have, such as -1 or 5,000 passengers, is missing.
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


def read_batches(raw: MonthFile, service: Service, columns: Iterable[str]) -> Iterator[TripBatch]:
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
    names = list(published.values())
    first_row, promised = 0, read_footer(raw).rows
    groups = _side_by_side(names, published) if promised > BATCH_ROWS else [names]
    with contextlib.closing(decode(raw, groups, BATCH_ROWS)) as batches:
        for batch in batches:
            _require_rows(raw, promised, at_least=first_row + batch.num_rows)
            with reading(raw):
                trips = _trip_batch(batch, published, first_row)
            yield trips
            first_row += batch.num_rows
        _require_rows(raw, first_row, at_least=promised)
    # Memory that Arrow keeps for the next batch is of no use to the steps that follow.
    pa.default_memory_pool().release_unused()


def _side_by_side(names: Sequence[str], published: Mapping[str, str]) -> list[list[str]]:
    """Columns in two groups that take as long to decode: times repeat least of all."""
    times = [published[name] for name in _TIMES]
    others = [name for name in names if name not in times]
    return [group for group in (times, others) if group]


def _require_rows(raw: MonthFile, rows: int, *, at_least: int) -> None:
    # A reader of a month makes room for as many rows as the footer promises.
    if rows < at_least:
        raise damaged(
            raw,
            "has a footer that counts other rows than there are",
            "The file is damaged: fetch it again.",
        )


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
    """Return the mask of missing values; None if none is missing."""
    if values.null_count:
        absent: Array = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        return absent
    return np.isnan(values.to_numpy()) if pa.types.is_floating(values.type) else None


def _array(name: str, values: pa.Array) -> Array:
    if name in _TIMES:
        return _microseconds(values)
    if name in ZONES:
        return _zone_ids(values)
    numbers = _filled(_as(values, pa.float64()), float("nan"))
    if name in ATTRIBUTES:
        # Values that no request may have; NaN is not among them.
        impossible = (numbers < 0) | (numbers > LARGEST_NUMBER)
        return np.where(impossible, np.nan, numbers) if impossible.any() else numbers
    return numbers


def _as(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values of another type; Arrow would copy those that are of this type already."""
    return values if values.type == kind else values.cast(kind, safe=False)


def _microseconds(values: pa.Array) -> Array:
    """Times as int64; what is beyond its reach becomes the last or the first that is not."""
    times, unit = _filled(values.view(pa.int64()), 0), values.type.unit
    if unit in _MICROSECONDS:
        reach = _MOST // _MICROSECONDS[unit]
        return np.clip(times, -reach, reach) * _MICROSECONDS[unit]
    return times if unit == "us" else times // 1_000


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
    # Computed in the order of pandas' total_seconds() / 60, so that the minutes agree to the last
    # bit, and as floats, which are exact up to the year 2255 and go beyond it without overflow.
    minutes: Array = np.subtract(columns[DROPOFF_TIME], columns[PICKUP_TIME], dtype=np.float64)
    minutes /= 1e6
    minutes /= 60
    return minutes
