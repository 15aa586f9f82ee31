"""A month against its contract: one reading, one report, one quarantine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from model_loop.errors import ContractError
from model_loop.history.sketch import Sketch, SketchBuilder
from trip_duration.batches import read_batches
from trip_duration.contract.judging import (
    LEAST_SAMPLE,
    Judge,
    MissingValues,
    PlausibilitySample,
)
from trip_duration.contract.quarantine import usable
from trip_duration.contract.repetitions import Repetitions, repeated_rows
from trip_duration.contract.report import MonthReport
from trip_duration.contract.rules import (
    ALL_RULES,
    REPEATED,
    ContractLimits,
    check_columns,
    month_bounds,
)
from trip_duration.decoding import described, read_footer
from trip_duration.months import Month
from trip_duration.profile import MonthProfile, ProfileBuilder
from trip_duration.services import (
    DROPOFF_ZONE,
    LAST_ZONE,
    PICKUP_ZONE,
    Service,
)
from trip_duration.source.types import MonthFile
from trip_duration.table import trip_table

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
    """Result of checking a month.

    Parameters
    ----------
    report
        Findings.
    quarantine
        The rows that break a rule; see `quarantine`.
    sketch
        Sketch that later months are compared with.
    profile
        Profile of its sound trips.
    """

    report: MonthReport
    quarantine: pd.DataFrame
    sketch: Sketch
    profile: MonthProfile


def check_month(raw: MonthFile, service: Service, limits: ContractLimits) -> MonthFindings:
    """Check a month against its contract, sketch and profile it, in one reading.

    A month with rows that may repeat earlier ones is read twice: which rows these are is known only
    after all of them have been read.

    Raises
    ------
    ContractError
        If the file is damaged, its columns are wrong, too many rows break a rule, or its trips are
        not plausible. The message names the rules that are broken most.
    """
    month, footer = Month.parse(raw.month), read_footer(raw)
    rows, further_columns = footer.rows, check_columns(raw, service, footer)
    most = int(rows * limits.quarantine_share)
    judge, profile = Judge(month, most=most), ProfileBuilder(service.name, month)
    sample, missing, repetitions = PlausibilitySample(), MissingValues(service), Repetitions(rows)
    sketch = SketchBuilder(trip_table(service.name), raw.month, *month_bounds(month), rows)
    for batch in read_batches(raw, service, service.columns):
        bits = judge.add(batch)
        repetitions.add(batch)
        sample.add(batch, bits)
        missing.add(batch)
        sound = usable(bits, keep_set_aside=False)
        sketch.add(batch.first_row, sound, batch.columns)
        profile.add(batch, sound)
    suspects = repetitions.suspects()
    if max(len(suspects), judge.dropped) > most:
        # The month will be refused, and that they are so many says why. How many of them broke
        # another rule before is not known.
        judge.count(REPEATED.name, len(suspects), None)
        judge.dropped = max(judge.dropped, len(suspects))
    elif len(suspects):
        judge, profile = Judge(month, most=most), ProfileBuilder(service.name, month)
        again = read_batches(raw, service, service.columns)
        for batch, repeated in repeated_rows(again, suspects):
            profile.add(batch, usable(judge.add(batch, repeated), keep_set_aside=False))
    quarantine, dropped, set_aside = judge.verdict()
    report = MonthReport(
        service=service.name,
        month=raw.month,
        rows=rows,
        rules=tuple(judge.counts.values()),
        dropped=dropped,
        set_aside=set_aside,
        missing_shares=missing.shares(rows),
        typical_speed=sample.typical_speed(),
        moving_share=sample.moving_share(),
        pickup_zones=sample.zones(PICKUP_ZONE),
        dropoff_zones=sample.zones(DROPOFF_ZONE),
        further_columns=further_columns,
    )
    require_within_limits(raw, report, limits)
    broken = {count.rule: count.rows / rows for count in report.rules}
    return MonthFindings(
        report, quarantine, sketch.build(report.missing_shares, broken), profile.build()
    )


def require_within_limits(raw: MonthFile, report: MonthReport, limits: ContractLimits) -> None:
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
