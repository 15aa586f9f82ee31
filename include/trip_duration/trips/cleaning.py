"""Which trips are kept, and in which form: few columns, plain types, duration in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from trip_duration.errors import ContractError, InvalidInputError
from trip_duration.trips.contract import reading
from trip_duration.trips.services import (
    DISTANCE,
    DROPOFF_TIME,
    DROPOFF_ZONE,
    DURATION,
    PICKUP_TIME,
    PICKUP_ZONE,
    Service,
)
from trip_duration.trips.source import RawMonth

#: Raised whenever the same file would be cleaned differently: it is part of every product's key.
CLEANING_VERSION = 1

_ZONES = (PICKUP_ZONE, DROPOFF_ZONE)

#: Types of the columns that are not float64.
_KINDS = {
    PICKUP_TIME: pa.timestamp("us"),
    DROPOFF_TIME: pa.timestamp("us"),
    PICKUP_ZONE: pa.int32(),
    DROPOFF_ZONE: pa.int32(),
}

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CleaningRules:
    """Which durations are kept.

    Parameters
    ----------
    minimum_duration, maximum_duration
        In minutes; both are included.

    Raises
    ------
    InvalidInputError
        If the bounds are negative or leave nothing between them.
    """

    minimum_duration: float = 1.0
    maximum_duration: float = 60.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 <= self.minimum_duration < self.maximum_duration:
            raise InvalidInputError(
                f"Durations from {self.minimum_duration:g} to {self.maximum_duration:g} minutes",
                "are no range",
                "Give a shortest trip of 0 or more and a longest trip above it.",
            )


@dataclass(frozen=True)
class CleaningReport:
    """How many trips of a month were kept, and why the others were not."""

    month: str
    rows_read: int
    missing_values: int
    too_short: int
    too_long: int
    rows_kept: int

    def __str__(self) -> str:
        return (
            f"{self.month}: kept {self.rows_kept:,} of {self.rows_read:,} trips; left out "
            f"{self.too_short:,} too short, {self.too_long:,} too long, "
            f"{self.missing_values:,} with missing values"
        )


@dataclass(frozen=True)
class CleanMonth:
    """The clean trips of a month.

    Parameters
    ----------
    trips
        Pick-up time, the columns asked for, and ``duration`` in minutes; in the file's order.
    """

    month: str
    trips: pd.DataFrame
    report: CleaningReport


def clean_month(
    raw: RawMonth, service: Service, columns: Sequence[str], rules: CleaningRules
) -> CleanMonth:
    """Read the needed columns of a month and keep the trips that follow the rules.

    Distances are neither clipped nor filtered: encoders decide what to make of them.

    Parameters
    ----------
    columns
        Our names of the columns wanted.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    InvalidInputError
        If no service has one of the columns.
    """
    table = _read(raw, service, columns)
    pickup, dropoff = _microseconds(table, PICKUP_TIME), _microseconds(table, DROPOFF_TIME)
    # In the order of pandas' total_seconds() / 60, so that the minutes agree to the last bit.
    minutes = (dropoff - pickup) / 1e6 / 60
    complete = _complete(table)
    too_short = complete & (minutes < rules.minimum_duration)
    too_long = complete & (minutes > rules.maximum_duration)
    kept = complete & ~too_short & ~too_long
    report = CleaningReport(
        month=raw.month,
        rows_read=table.num_rows,
        missing_values=int(table.num_rows - complete.sum()),
        too_short=int(too_short.sum()),
        too_long=int(too_long.sum()),
        rows_kept=int(kept.sum()),
    )
    if not report.rows_kept:
        raise ContractError(
            f"Month {raw.month} of {service.name} ({raw.url})",
            f"has no trip left after cleaning: {report}",
            "Check that the file belongs to this month and service, or widen the durations.",
        )
    return CleanMonth(raw.month, _frame(table, service, columns, minutes, kept), report)


def _read(raw: RawMonth, service: Service, columns: Sequence[str]) -> pa.Table:
    """The needed columns that the service publishes, by our names and in our types."""
    published = service.published_names((PICKUP_TIME, DROPOFF_TIME, *columns))
    kinds = pa.schema([(name, _KINDS.get(name, pa.float64())) for name in published])
    with reading(raw), UPath(raw.path).open("rb") as file:
        table = pq.read_table(file, columns=list(published.values()), use_threads=False)
        table = table.select(list(published.values())).rename_columns(list(published))
        return table.cast(kinds)


def _complete(table: pa.Table) -> _Mask:
    """Which rows have all that a trip must have: times, zones and a finite distance."""
    complete = np.ones(table.num_rows, dtype=bool)
    for name in (PICKUP_TIME, DROPOFF_TIME, *_ZONES, DISTANCE):
        if name in table.column_names and table[name].null_count:
            complete &= table[name].is_valid().to_numpy()
    if DISTANCE in table.column_names:
        complete &= np.isfinite(_floats(table, DISTANCE))
    return complete


def _microseconds(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = _without_nulls(table[name].cast(pa.int64()), 0).to_numpy()
    return values


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = _without_nulls(table[name], float("nan")).to_numpy()
    return values


def _without_nulls(values: pa.ChunkedArray, filler: float) -> pa.ChunkedArray:
    return pc.fill_null(values, filler) if values.null_count else values


def _frame(
    table: pa.Table,
    service: Service,
    columns: Sequence[str],
    minutes: npt.NDArray[np.float64],
    kept: _Mask,
) -> pd.DataFrame:
    arrays: dict[str, npt.NDArray[np.generic]] = {
        PICKUP_TIME: _microseconds(table, PICKUP_TIME)[kept].view("datetime64[us]")
    }
    for name in columns:
        if name == PICKUP_TIME:
            continue
        if service.published_name(name) is None:
            arrays[name] = np.full(int(kept.sum()), np.nan)
        elif name in _ZONES:
            arrays[name] = _without_nulls(table[name], 0).to_numpy()[kept]
        else:
            arrays[name] = _floats(table, name)[kept]
    arrays[DURATION] = minutes[kept]
    return pd.DataFrame(arrays, copy=False)
