"""Cleaning: the selected trips, with few columns, plain types, and minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from model_loop.errors import ContractError
from trip_duration.batches import ZONES, TripBatch, read_batches
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth
from trip_duration.contract.quarantine import RowNumbers, passed_over
from trip_duration.contract.rules import Mask
from trip_duration.decoding import described, read_footer
from trip_duration.services import DURATION, PICKUP_TIME, Service


@dataclass(frozen=True)
class CleaningReport:
    """Numbers of trips of a month that were kept, and that were left out for each reason.

    Parameters
    ----------
    month
        Which month.
    rows_read
        Rows of the file.
    quarantined
        Rows that were passed over because they break a rule of the contract.
    too_short, too_long
        Trips that are shorter and longer than was asked for.
    rows_kept
        Trips that are left.
    """

    month: str
    rows_read: int
    quarantined: int
    too_short: int
    too_long: int
    rows_kept: int

    def __str__(self) -> str:
        return (
            f"{self.month}: kept {self.rows_kept:,} of {self.rows_read:,} trips; left out "
            f"{self.too_short:,} too short, {self.too_long:,} too long, "
            f"{self.quarantined:,} in quarantine"
        )


@dataclass(frozen=True)
class Selection:
    """Selection of columns and trips of a month.

    Parameters
    ----------
    columns
        Our names of the columns.
    rules
        Which durations are kept.
    keep_set_aside
        Keep trips whose clock alone is wrong; for those who do not look at the clock.
    """

    columns: Sequence[str]
    rules: CleaningRules
    keep_set_aside: bool = False


class RowSink(Protocol):
    """Somebody who takes the wanted trips of a month."""

    def append(self, batch: TripBatch, wanted: Mask) -> None:
        """Take the wanted rows of a batch."""


def clean_month(month: CheckedMonth, service: Service, selection: Selection) -> pd.DataFrame:
    """The wanted trips of a checked month: pick-up time, the columns, and ``duration``.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    InvalidInputError
        If no service has one of the columns.
    """
    columns = (PICKUP_TIME, *selection.columns, DURATION)
    trips = TripArrays(service, columns, month.report.rows)
    take_month(month, service, selection, trips)
    return trips.frame()


def take_month(
    month: CheckedMonth, service: Service, selection: Selection, taker: RowSink
) -> CleaningReport:
    """Hand the wanted trips of a checked month to somebody, in the order of the file.

    Distances are neither clipped nor filtered: encoders decide what to make of them.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    """
    rules, rows = selection.rules, month.report.rows
    if read_footer(month.raw).rows != rows:
        raise ContractError(
            described(month.raw),
            f"has changed since it was checked, when it had {rows:,} rows",
            "Run the same again, and it is checked anew.",
        )
    passed = passed_over(month.load_quarantine(), keep_set_aside=selection.keep_set_aside)
    too_short = too_long = 0
    for batch in read_batches(month.raw, service, selection.columns):
        sound, minutes = _not_passed_over(batch, passed), batch[DURATION]
        short = sound & (minutes < rules.minimum_duration)
        long = sound & (minutes > rules.maximum_duration)
        too_short += int(np.count_nonzero(short))
        too_long += int(np.count_nonzero(long))
        taker.append(batch, sound & ~short & ~long)
    report = CleaningReport(
        month=month.raw.month,
        rows_read=rows,
        quarantined=len(passed),
        too_short=too_short,
        too_long=too_long,
        rows_kept=rows - len(passed) - too_short - too_long,
    )
    if not report.rows_kept:
        raise ContractError(
            described(month.raw),
            f"has no trip left after cleaning: {report}",
            "Check that the file belongs to this month and service, or widen the durations.",
        )
    return report


class TripArrays:
    """Trips that grow batch by batch, in arrays that are made once.

    Parameters
    ----------
    service
        Whose trips.
    columns
        Our names of the columns; one that the service does not publish is NaN.
    most
        The most trips that may come. Memory that is never written to is never taken.
    """

    def __init__(self, service: Service, columns: Sequence[str], most: int) -> None:
        names = dict.fromkeys(columns)
        self._arrays = {name: np.empty(most, dtype=_kind(name)) for name in names}
        self._absent = {name for name in names if name != DURATION and name not in service.columns}
        self.rows = 0

    def append(self, batch: TripBatch, wanted: Mask) -> None:
        """Append rows of a batch."""
        rows = np.flatnonzero(wanted)
        end = self.rows + len(rows)
        for name, array in self._arrays.items():
            if name in self._absent:
                array[self.rows : end] = np.nan
            else:
                # With "clip", NumPy writes to the array itself; no row is beyond the batch.
                np.take(batch[name], rows, out=array[self.rows : end], mode="clip")
        self.rows = end

    def frame(self) -> pd.DataFrame:
        """The trips, as a frame that takes over the memory: nothing can be taken any more."""
        arrays = {name: array[: self.rows] for name, array in self._arrays.items()}
        del self._arrays
        if PICKUP_TIME in arrays:
            arrays[PICKUP_TIME] = arrays[PICKUP_TIME].view("datetime64[us]")
        return pd.DataFrame(arrays, copy=False)


def _not_passed_over(batch: TripBatch, passed: RowNumbers) -> Mask:
    sound = np.ones(batch.rows, dtype=bool)
    first, last = np.searchsorted(passed, (batch.first_row, batch.first_row + batch.rows))
    sound[passed[first:last] - batch.first_row] = False
    return sound


def _kind(name: str) -> type[np.generic]:
    if name == PICKUP_TIME:
        return np.int64
    return np.int32 if name in ZONES else np.float64
