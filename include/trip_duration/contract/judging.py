"""Statistics gathered from the rows of a month: broken rules, plausibility, missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trip_duration.batches import Array, TripBatch
from trip_duration.contract.quarantine import (
    NONE,
    SET_ASIDE,
    Bits,
    QuarantineBuilder,
    RowNumbers,
    bit_of,
    usable,
)
from trip_duration.contract.report import RuleCount
from trip_duration.contract.rules import ALL_RULES, RULES, month_bounds
from trip_duration.months import Month
from trip_duration.services import (
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

#: Rows of each batch that plausibility is judged by.
_SAMPLE_ROWS = 2_048
#: With fewer trips than this, nothing is said about plausibility.
LEAST_SAMPLE = 100


class MissingValues:
    """Counts the missing values of the columns that are not required."""

    def __init__(self, service: Service) -> None:
        self._counts = {name: 0 for name in service.columns if name not in REQUIRED_COLUMNS}

    def add(self, batch: TripBatch) -> None:
        """Count those of a batch."""
        for name in self._counts:
            self._counts[name] += int(np.count_nonzero(np.isnan(batch[name])))

    def shares(self, rows: int) -> dict[str, float]:
        """Share of missing values, by column."""
        return {name: nulls / rows for name, nulls in self._counts.items()}


class Judge:
    """Counts the rows that break each rule, and puts them into quarantine."""

    def __init__(self, month: Month, *, most: int) -> None:
        self.start, self.end = month_bounds(month)
        self.most = most
        self.builder = QuarantineBuilder(most)
        self.counts = {rule.name: RuleCount(rule.name, 0, None) for rule in ALL_RULES}
        self.dropped = 0

    def add(self, batch: TripBatch, repeated: RowNumbers = NONE) -> Bits:
        """Judge the rows of a batch; return the rules that each breaks.

        Parameters
        ----------
        repeated
            Rows of the batch that repeat an earlier row of the month.
        """
        bits = np.zeros(batch.rows, dtype=np.uint16)
        broken = (np.flatnonzero(rule.broken(batch, self.start, self.end)) for rule in RULES)
        for rule, rows in zip(ALL_RULES, (*broken, repeated), strict=True):
            if len(rows):
                self.count(rule.name, len(rows), batch.first_row + int(rows[0]))
                if rule.action != "keep":
                    bits[rows] |= bit_of(rule.name)
        # NumPy finds the true ones of truth values ten times as fast as the nonzero ones of
        # numbers.
        rows = np.flatnonzero(bits != 0)
        if len(rows):
            self.dropped += len(rows)
            self.builder.add(batch, rows, bits[rows])
        return bits

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


class PlausibilitySample:
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
        return float(np.median(speeds)) * 60 if len(speeds) >= LEAST_SAMPLE else float("nan")

    def moving_share(self) -> float:
        """Share of the trips that take a minute and cover a distance; NaN of too few trips."""
        moving = sum(map(len, self._speeds))
        return moving / self._trips if self._trips >= LEAST_SAMPLE else float("nan")
