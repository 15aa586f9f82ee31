"""A month against its contract: one reading, one report, one quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from model_loop.errors import ContractError
from model_loop.history.sketch import Sketch, SketchBuilder
from model_loop.trips.batches import TripBatch, read_batches
from model_loop.trips.contract.judging import (
    LEAST_SAMPLE,
    Judge,
    MissingValues,
    PlausibilitySample,
)
from model_loop.trips.contract.quarantine import Bits, usable
from model_loop.trips.contract.repetitions import Repetitions, repeated_rows
from model_loop.trips.contract.report import MonthReport
from model_loop.trips.contract.rules import (
    ALL_RULES,
    IDENTITY,
    REPEATED,
    Limits,
    check_columns,
    month_bounds,
)
from model_loop.trips.decoding import described, read_footer
from model_loop.trips.months import Month
from model_loop.trips.services import (
    DROPOFF_ZONE,
    LAST_ZONE,
    PICKUP_ZONE,
    REQUIRED_COLUMNS,
    Service,
)
from model_loop.trips.source.types import MonthFile
from model_loop.trips.table import trip_table

#: What the rules look at.
_JUDGED = (*REQUIRED_COLUMNS, *IDENTITY)

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
    sketch
        What later months are compared with.
    """

    report: MonthReport
    quarantine: pd.DataFrame
    sketch: Sketch


class Observer(Protocol):
    """Somebody who sees every row of a month while it is checked."""

    @property
    def columns(self) -> Sequence[str]:
        """Our names of the columns that have to be read for it."""

    def add(self, batch: TripBatch, bits: Bits) -> None:
        """Take the rows of a batch, with the rules that each breaks; see `quarantine.usable`."""


class MonthReading:
    """A month whose rows were all read; what they come to is found without most of them.

    Parameters
    ----------
    observer
        Sees the rows on the way. Rows that repeat others are known only when all were read: where
        the report counts some, the observer has seen them as if they were none.

    Raises
    ------
    ContractError
        If the file is damaged, or its columns are wrong.
    """

    def __init__(
        self, raw: MonthFile, service: Service, limits: Limits, observer: Observer | None = None
    ) -> None:
        self.raw, self.service, self.limits = raw, service, limits
        footer = read_footer(raw)
        self._rows = footer.rows
        self._further = check_columns(raw, service, footer)
        most = int(footer.rows * limits.quarantine_share)
        self._judge = Judge(Month.parse(raw.month), most=most)
        self._sample, self._missing = PlausibilitySample(), MissingValues(service)
        self._repetitions = Repetitions(footer.rows)
        self._sketch = SketchBuilder(
            trip_table(service.name),
            raw.month,
            *month_bounds(Month.parse(raw.month)),
            footer.rows,
        )
        self._read(observer)

    def findings(self) -> MonthFindings:
        """What the month comes to, to be asked for once.

        Raises
        ------
        ContractError
            If too many rows break a rule, or the trips are not plausible. The message names the
            rules that are broken most.
        """
        self._look_for_repetitions()
        sample, quarantine, dropped, set_aside = self._sample, *self._judge.verdict()
        report = MonthReport(
            service=self.service.name,
            month=self.raw.month,
            rows=self._rows,
            rules=tuple(self._judge.counts.values()),
            dropped=dropped,
            set_aside=set_aside,
            missing_shares=self._missing.shares(self._rows),
            typical_speed=sample.typical_speed(),
            moving_share=sample.moving_share(),
            pickup_zones=sample.zones(PICKUP_ZONE),
            dropoff_zones=sample.zones(DROPOFF_ZONE),
            further_columns=self._further,
        )
        require_within_limits(self.raw, report, self.limits)
        broken = {count.rule: count.rows / self._rows for count in report.rules}
        return MonthFindings(report, quarantine, self._sketch.build(report.missing_shares, broken))

    def _read(self, observer: Observer | None) -> None:
        wanted = dict.fromkeys((*_JUDGED, *(observer.columns if observer else ())))
        for batch in read_batches(self.raw, self.service, tuple(wanted), self._missing.columns):
            bits = self._judge.add(batch)
            self._repetitions.add(batch)
            self._sample.add(batch, bits)
            self._missing.add(batch)
            sound = usable(bits, keep_set_aside=False)
            self._sketch.add(batch.first_row, sound, batch.columns, batch.take)
            if observer is not None:
                observer.add(batch, bits)

    def _look_for_repetitions(self) -> None:
        """Read the month again where rows may repeat earlier ones."""
        judge, suspects = self._judge, self._repetitions.suspects()
        if max(len(suspects), judge.dropped) > judge.most:
            # The month will be refused, and that they are so many says why. How many of them broke
            # another rule before is not known.
            judge.count(REPEATED.name, len(suspects), None)
            judge.dropped = max(judge.dropped, len(suspects))
        elif len(suspects):
            # A row that breaks another rule is kept twice, until its lines are put together.
            judge.builder.most += len(suspects)
            again = read_batches(self.raw, self.service, _JUDGED)
            for batch, repeating in repeated_rows(again, suspects):
                judge.drop_repeated(batch, repeating)


def check_month(raw: MonthFile, service: Service, limits: Limits) -> MonthFindings:
    """Check a month against its contract.

    Raises
    ------
    ContractError
        If the file is damaged, its columns are wrong, too many rows break a rule, or its trips are
        not plausible.
    """
    return MonthReading(raw, service, limits).findings()


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
            "MODEL_LOOP_QUARANTINE_SHARE.",
        )
    for name, share in report.missing_shares.items():
        if share > limits.missing_share:
            raise ContractError(
                described(raw),
                f"has no value in {share:.1%} of the column {name} "
                f"(allowed are {limits.missing_share:.1%})",
                "Fetch the file again, or allow more with MODEL_LOOP_MISSING_SHARE.",
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
        if report.rows - report.quarantined >= LEAST_SAMPLE and zones < _LEAST_ZONES:
            raise ContractError(
                described(raw),
                f"has {what} in {zones} of {LAST_ZONE} zones",
                "The column of zones may hold something else: fetch it again.",
            )
