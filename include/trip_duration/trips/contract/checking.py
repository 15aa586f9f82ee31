"""A month against its contract: one reading, one report, one quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from trip_duration.errors import ContractError
from trip_duration.trips.batches import (
    Array,
    TripBatch,
    read_batches,
)
from trip_duration.trips.contract.quarantine import (
    SET_ASIDE,
    Bits,
    QuarantineBuilder,
    RowNumbers,
    bit_of,
    usable,
)
from trip_duration.trips.contract.repetitions import Repetitions, repeated_rows
from trip_duration.trips.contract.report import MonthReport, RuleCount
from trip_duration.trips.contract.rules import (
    ALL_RULES,
    IDENTITY,
    REPEATED,
    RULES,
    Limits,
    check_columns,
    month_bounds,
)
from trip_duration.trips.decoding import Footer, described, read_footer
from trip_duration.trips.months import Month
from trip_duration.trips.services import (
    DISTANCE,
    DROPOFF_TIME,
    DROPOFF_ZONE,
    DURATION,
    LAST_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
    REQUIRED_COLUMNS,
    Service,
)
from trip_duration.trips.source import MonthFile

#: What the rules look at.
_JUDGED = (*REQUIRED_COLUMNS, *IDENTITY)

#: Rows of each batch that plausibility is judged by.
_SAMPLE_ROWS = 2_048
#: With fewer trips than this, nothing is said about plausibility.
_LEAST_SAMPLE = 100

#: Miles per hour. The months of 2023 and 2024 have 9 to 11; kilometres would still pass, metres,
#: fares in place of distances, and hours in place of minutes do not.
PLAUSIBLE_SPEEDS = (2.0, 45.0)
#: Most trips take a minute and cover a distance, or one of the columns holds something else. Nine
#: in ten do in the months of 2023 and 2024.
_LEAST_MOVING_SHARE = 0.5
#: Trips begin and end in more zones than this, or the column holds something else.
_LEAST_ZONES = 10


@dataclass(frozen=True)
class MonthFindings:
    """What the check of a month came to.

    Parameters
    ----------
    report
        What was found.
    quarantine
        The rows that break a rule; see `quarantine`.
    """

    report: MonthReport
    quarantine: pd.DataFrame


class Observer(Protocol):
    """Somebody who sees every row of a month while it is checked."""

    @property
    def columns(self) -> Sequence[str]:
        """Our names of the columns that have to be read for it."""

    def add(self, batch: TripBatch, bits: Bits) -> None:
        """Take the rows of a batch, with the rules that each breaks; see `quarantine.usable`."""


def check_month(
    raw: MonthFile, service: Service, limits: Limits, observer: Observer | None = None
) -> MonthFindings:
    """Check a month against its contract.

    Parameters
    ----------
    observer
        Sees the rows on the way. Rows that repeat others are known only when all were read: where
        the report counts some, the observer has seen them as if they were none.

    Raises
    ------
    ContractError
        If the file is damaged, its columns are wrong, too many rows break a rule, or its trips are
        not plausible. The message names the rules that are broken most.
    """
    footer = read_footer(raw)
    further = check_columns(raw, service, footer)
    judge = _Judge(Month.parse(raw.month), most=int(footer.rows * limits.quarantine_share))
    sample, missing = _Sample(), _Missing(service)
    _read(raw, service, footer, (judge, sample, missing), observer)
    quarantine, dropped, set_aside = judge.verdict()
    report = MonthReport(
        service=service.name,
        month=raw.month,
        rows=footer.rows,
        rules=tuple(judge.counts.values()),
        dropped=dropped,
        set_aside=set_aside,
        missing_shares=missing.shares(footer.rows),
        typical_speed=sample.typical_speed(),
        moving_share=sample.moving_share(),
        pickup_zones=sample.zones(PICKUP_ZONE),
        dropoff_zones=sample.zones(DROPOFF_ZONE),
        further_columns=further,
    )
    require_within_limits(raw, report, limits)
    return MonthFindings(report, quarantine)


def require_within_limits(raw: MonthFile, report: MonthReport, limits: Limits) -> None:
    """Refuse a month of which too much is wrong.

    Raises
    ------
    ContractError
        Naming what is wrong, how much of it, and how much is allowed.
    """
    if report.quarantine_share > limits.quarantine_share:
        worst = "; ".join(
            f"{count.rule}: {count.rows:,} rows"
            + ("" if count.first_row is None else f", the first is row {count.first_row}")
            for count in report.broken()
            if count.rule in _QUARANTINING
        )
        raise ContractError(
            described(raw),
            f"has {report.quarantined:,} of {report.rows:,} rows in quarantine "
            f"({report.quarantine_share:.1%}, allowed are {limits.quarantine_share:.1%}): {worst}",
            "Check that the file holds this month of this service, or allow more with "
            "TRIP_DURATION_QUARANTINE_SHARE.",
        )
    for name, share in report.missing_shares.items():
        if share > limits.missing_share:
            raise ContractError(
                described(raw),
                f"has no value in {share:.1%} of the column {name} "
                f"(allowed are {limits.missing_share:.1%})",
                "Fetch the file again, or allow more with TRIP_DURATION_MISSING_SHARE.",
            )
    _require_plausible(raw, report)


_QUARANTINING = tuple(rule.name for rule in ALL_RULES if rule.action != "keep")


def _require_plausible(raw: MonthFile, report: MonthReport) -> None:
    if report.moving_share < _LEAST_MOVING_SHARE:
        raise ContractError(
            described(raw),
            f"has only {report.moving_share:.1%} trips that end a minute or more after they begin, "
            "and cover a distance",
            "The columns of times or distances may hold something else: fetch it again.",
        )
    low, high = PLAUSIBLE_SPEEDS
    if not np.isnan(report.typical_speed) and not low <= report.typical_speed <= high:
        raise ContractError(
            described(raw),
            f"has a typical speed of {report.typical_speed:.1f} miles per hour, which is not from "
            f"{low:g} to {high:g}",
            "Distances may be in another unit, or columns may have been swapped: fetch it again.",
        )
    for what, zones in (("pick-ups", report.pickup_zones), ("drop-offs", report.dropoff_zones)):
        if report.rows - report.quarantined >= _LEAST_SAMPLE and zones < _LEAST_ZONES:
            raise ContractError(
                described(raw),
                f"has {what} in {zones} of {LAST_ZONE} zones",
                "The column of zones may hold something else: fetch it again.",
            )


def _read(
    raw: MonthFile,
    service: Service,
    footer: Footer,
    parts: tuple[_Judge, _Sample, _Missing],
    observer: Observer | None,
) -> None:
    """Read the month once, and again where rows may repeat earlier ones."""
    judge, sample, missing = parts
    wanted = tuple(dict.fromkeys((*_JUDGED, *(observer.columns if observer else ()))))
    repetitions = Repetitions(footer.rows)
    for batch in read_batches(raw, service, wanted, missing.columns):
        bits = judge.add(batch)
        repetitions.add(batch)
        sample.add(batch, bits)
        missing.add(batch)
        if observer is not None:
            observer.add(batch, bits)
    suspects = repetitions.suspects()
    if max(len(suspects), judge.dropped) > judge.most:
        # The month will be refused, and that they are so many says why. How many of them broke
        # another rule before is not known.
        judge.count(REPEATED.name, len(suspects), None)
        judge.dropped = max(judge.dropped, len(suspects))
    elif len(suspects):
        # A row that breaks another rule is kept twice, until its lines are put together.
        judge.builder.most += len(suspects)
        again = read_batches(raw, service, _JUDGED)
        for batch, repeating in repeated_rows(again, suspects):
            judge.drop_repeated(batch, repeating)


class _Missing:
    """Counts the missing values of the columns that are not required."""

    def __init__(self, service: Service) -> None:
        self._counts = {name: 0 for name in service.columns if name not in REQUIRED_COLUMNS}

    @property
    def columns(self) -> Sequence[str]:
        """The columns whose missing values are counted."""
        return tuple(self._counts)

    def add(self, batch: TripBatch) -> None:
        """Count those of a batch."""
        for name, nulls in batch.nulls.items():
            self._counts[name] += nulls

    def shares(self, rows: int) -> dict[str, float]:
        """Share of missing values, by column."""
        return {name: nulls / rows for name, nulls in self._counts.items()}


class _Judge:
    """Counts the rows that break each rule, and puts them into quarantine."""

    def __init__(self, month: Month, *, most: int) -> None:
        self.start, self.end = month_bounds(month)
        self.most = most
        self.builder = QuarantineBuilder(most)
        self.counts = {rule.name: RuleCount(rule.name, 0, None) for rule in ALL_RULES}
        self.dropped = 0

    def add(self, batch: TripBatch) -> Bits:
        """Judge the rows of a batch; return the rules that each breaks."""
        bits = np.zeros(batch.rows, dtype=np.uint16)
        for rule in RULES:
            broken = rule.broken(batch, self.start, self.end)
            if number := int(np.count_nonzero(broken)):
                self.count(rule.name, number, batch.first_row + int(broken.argmax()))
                if rule.action != "keep":
                    bits[broken] |= bit_of(rule.name)
        self._quarantine(batch, np.flatnonzero(bits), bits)
        return bits

    def drop_repeated(self, batch: TripBatch, rows: RowNumbers) -> None:
        """Put rows that repeat an earlier one into quarantine."""
        if len(rows):
            self.count(REPEATED.name, len(rows), batch.first_row + int(rows[0]))
            bits = np.full(batch.rows, bit_of(REPEATED.name))
            self._quarantine(batch, rows, bits)

    def count(self, rule: str, number: int, first_row: int | None) -> None:
        """Count rows that break a rule."""
        so_far = self.counts[rule]
        first = first_row if so_far.first_row is None else so_far.first_row
        self.counts[rule] = RuleCount(rule, so_far.rows + number, first)

    def verdict(self) -> tuple[pd.DataFrame, int, int]:
        """The quarantine, and the number of rows in it that are dropped and set aside."""
        quarantine = self.builder.build()
        if self.dropped > self.builder.most:
            # Not all rows were kept, so they are only counted.
            return quarantine, self.dropped, 0
        aside = int(quarantine[SET_ASIDE].sum())
        return quarantine, len(quarantine) - aside, aside

    def _quarantine(self, batch: TripBatch, rows: RowNumbers, bits: Bits) -> None:
        if len(rows):
            self.dropped += len(rows)
            self.builder.add(batch, rows, bits[rows])


class _Sample:
    """Trips that tell whether the month is plausible."""

    def __init__(self) -> None:
        self._trips = 0
        self._speeds: list[Array] = []
        self._seen = {
            name: np.zeros(LAST_ZONE + 1, dtype=bool) for name in (PICKUP_ZONE, DROPOFF_ZONE)
        }

    def add(self, batch: TripBatch, bits: Bits) -> None:
        """Take the trips among the first rows of a batch."""
        trips = np.flatnonzero(usable(bits[:_SAMPLE_ROWS], keep_set_aside=True))
        pickup, dropoff, distance, minutes = (
            batch[name][trips] for name in (PICKUP_TIME, DROPOFF_TIME, DISTANCE, DURATION)
        )
        moving = (minutes >= 1) & (dropoff > pickup) & (distance > 0)
        self._trips += len(trips)
        self._speeds.append(distance[moving] / minutes[moving])
        for name, seen in self._seen.items():
            # Trips with another zone are none.
            seen[batch[name][trips]] = True

    def zones(self, side: str) -> int:
        """Number of zones on a side of the trips."""
        return int(np.count_nonzero(self._seen[side]))

    def typical_speed(self) -> float:
        """Median speed in miles per hour; NaN of too few trips."""
        speeds = np.concatenate(self._speeds)
        return float(np.median(speeds)) * 60 if len(speeds) >= _LEAST_SAMPLE else float("nan")

    def moving_share(self) -> float:
        """Share of the trips that take a minute and cover a distance; NaN of too few trips."""
        moving = sum(map(len, self._speeds))
        return moving / self._trips if self._trips >= _LEAST_SAMPLE else float("nan")
