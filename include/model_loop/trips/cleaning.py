"""Which trips are wanted, and in which form: few columns, plain types, minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.errors import ContractError
from model_loop.trips.batches import ZONES, TripBatch, read_batches
from model_loop.trips.cleaning_rules import CleaningRules
from model_loop.trips.contract.checked import CheckedMonth, CheckedMonthStore
from model_loop.trips.contract.quarantine import Bits, RowNumbers, passed_over, usable
from model_loop.trips.contract.rules import REPEATED, Limits
from model_loop.trips.decoding import described
from model_loop.trips.services import DURATION, PICKUP_TIME, Service, get_service
from model_loop.trips.source.naming import Naming
from model_loop.trips.source.types import MonthFile

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CleaningReport:
    """How many trips of a month were kept, and why the others were not.

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
    """Which columns and which trips of a month are wanted.

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


class Taker(Protocol):
    """Somebody who takes the wanted trips of a month."""

    def take(self, batch: TripBatch, wanted: Mask) -> None:
        """Take the wanted rows of a batch."""

    def mark(self) -> None:
        """Remember what was taken before a month begins."""

    def back(self) -> None:
        """Give back what was taken since."""


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
    month: CheckedMonth, service: Service, selection: Selection, taker: Taker
) -> CleaningReport:
    """Hand the wanted trips of a checked month to somebody, in the order of the file.

    Distances are neither clipped nor filtered: encoders decide what to make of them.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    """
    cleaner = _Cleaner(selection, taker)
    passed = passed_over(month.load_quarantine(), keep_set_aside=selection.keep_set_aside)
    for batch in read_batches(month.raw, service, selection.columns):
        cleaner.clean(batch, _not_passed_over(batch, passed))
    return cleaner.report(month.raw, month.report.rows)


@dataclass(frozen=True)
class TakenMonth:
    """A month that was checked, and whose wanted trips somebody has.

    Parameters
    ----------
    report
        What was left out.
    keep
        Waits for the file's digest, and keeps what the check found; see `JudgedMonth`.
    """

    report: CleaningReport
    keep: Callable[[], CheckedMonth]


def check_and_take_month(
    store: CheckedMonthStore, naming: Naming, selection: Selection, limits: Limits, taker: Taker
) -> TakenMonth:
    """Check a month and hand on its wanted trips, in one reading where that is possible.

    Raises
    ------
    ContractError
        If the month breaks its contract, or no trip is left.
    """
    taker.mark()
    file = naming.file
    cleaner, service = _Cleaner(selection, taker), get_service(file.service)
    month = store.check_unnamed(naming, service, limits, cleaner)
    if cleaner.rows_seen and not month.report.rows_of(REPEATED.name):
        return TakenMonth(cleaner.report(file, month.report.rows), month.keep)
    # The month was known before, or what was taken holds rows that it should not.
    taker.back()
    return TakenMonth(take_month(month.keep(), service, selection, taker), month.keep)


class _Cleaner:
    """Hands on the trips that follow the rules, and counts the others."""

    def __init__(self, selection: Selection, taker: Taker) -> None:
        self.selection = selection
        self.taker = taker
        self.rows_seen = self.sound = self.short = self.long = 0

    @property
    def columns(self) -> Sequence[str]:
        """The columns that are wanted."""
        return self.selection.columns

    def add(self, batch: TripBatch, bits: Bits) -> None:
        """Clean the rows of a batch that is being checked."""
        self.clean(batch, usable(bits, keep_set_aside=self.selection.keep_set_aside))

    def clean(self, batch: TripBatch, sound: Mask) -> None:
        """Clean the sound rows of a batch."""
        rules, minutes = self.selection.rules, batch[DURATION]
        short = sound & (minutes < rules.minimum_duration)
        long = sound & (minutes > rules.maximum_duration)
        self.rows_seen += batch.rows
        self.sound += int(np.count_nonzero(sound))
        self.short += int(np.count_nonzero(short))
        self.long += int(np.count_nonzero(long))
        self.taker.take(batch, sound & ~short & ~long)

    def report(self, raw: MonthFile, rows: int) -> CleaningReport:
        """What was left out; an error if that is everything."""
        report = CleaningReport(
            month=raw.month,
            rows_read=rows,
            quarantined=rows - self.sound,
            too_short=self.short,
            too_long=self.long,
            rows_kept=self.sound - self.short - self.long,
        )
        if not report.rows_kept:
            raise ContractError(
                described(raw),
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
        self._marked = 0
        self.rows = 0

    def take(self, batch: TripBatch, wanted: Mask) -> None:
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

    def mark(self) -> None:
        """Remember how many trips there are."""
        self._marked = self.rows

    def back(self) -> None:
        """Forget the trips that came since."""
        self.rows = self._marked

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
