"""Contract of a published month: its columns, and the rules that each of its rows must keep.

A month is refused as a whole when a column is missing or of another kind, when too many rows break
a rule, or when its trips are not plausible. Otherwise the rows that break a rule are set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model_loop.errors import ContractError
from model_loop.options import options, setting_option
from trip_duration.batches import TripBatch
from trip_duration.contract.breaches import BROKEN_WHEN, LONGEST_DISTANCE
from trip_duration.decoding import Footer, described
from trip_duration.months import Month
from trip_duration.services import (
    AMOUNT,
    DISTANCE,
    DROPOFF_TIME,
    DROPOFF_ZONE,
    DURATION,
    LAST_ZONE,
    PICKUP_TIME,
    PICKUP_ZONE,
    Service,
)
from trip_duration.source.types import MonthFile

MINUTES_PER_DAY = 24 * 60

Action = Literal["drop", "set_aside", "keep"]
Mask = npt.NDArray[np.bool_]

_TypeCheck = Callable[[pa.DataType], bool]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _is_local_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is None)


#: Kind that a column must have. Widths drift from year to year (int64, int32, double), kinds do
#: not.
_KINDS: dict[str, tuple[str, _TypeCheck]] = {
    PICKUP_TIME: ("a timestamp without a time zone", _is_local_time),
    DROPOFF_TIME: ("a timestamp without a time zone", _is_local_time),
}


@dataclass(frozen=True)
class Rule:
    """Rule that every row of a month must keep.

    Parameters
    ----------
    name
        Name in reports and in the quarantine.
    action
        ``drop``: nobody learns from the row. ``set_aside``: only a recipe that knows no time does,
        because the clock is wrong, not the trip. ``keep``: the row is only counted.
    broken
        Function of the rows, and of the month's start and end (microseconds): mask of broken rows.
    """

    name: str
    action: Action
    broken: Callable[[TripBatch, int, int], Mask]

    @property
    def broken_when(self) -> str:
        """Description of a row that breaks it, for people."""
        return BROKEN_WHEN[self.name]


def _missing(batch: TripBatch, _start: int, _end: int) -> Mask:
    return batch.missing


def _infinite_distance(batch: TripBatch, _start: int, _end: int) -> Mask:
    infinite: Mask = np.isinf(batch[DISTANCE])
    return infinite


def _negative_distance(batch: TripBatch, _start: int, _end: int) -> Mask:
    negative: Mask = batch[DISTANCE] < 0
    return negative


def _implausible_distance(batch: TripBatch, _start: int, _end: int) -> Mask:
    distance = batch[DISTANCE]
    return np.asarray((distance > LONGEST_DISTANCE) & (distance < np.inf))


def _unknown_zone(batch: TripBatch, _start: int, _end: int) -> Mask:
    # Read as unsigned numbers, 0 and less come out above every zone.
    pickup, dropoff = (
        batch[name].view(np.uint32) - np.uint32(1) for name in (PICKUP_ZONE, DROPOFF_ZONE)
    )
    return np.asarray((pickup >= LAST_ZONE) | (dropoff >= LAST_ZONE)) & ~batch.missing


def _ends_first(batch: TripBatch, _start: int, _end: int) -> Mask:
    ends_first: Mask = batch[DURATION] < 0
    return ends_first & ~batch.missing


def _over_a_day(batch: TripBatch, _start: int, _end: int) -> Mask:
    over: Mask = batch[DURATION] > MINUTES_PER_DAY
    return over & ~batch.missing


def _stray(batch: TripBatch, start: int, end: int) -> Mask:
    pickup = batch[PICKUP_TIME]
    return np.asarray((pickup < start) | (pickup >= end)) & ~batch.missing


#: Every rule that a row breaks by itself, in the order of the reports. Of a row that lacks a value
#: nothing more is said.
RULES = (
    Rule("missing_value", "drop", _missing),
    Rule("infinite_distance", "drop", _infinite_distance),
    Rule("negative_distance", "drop", _negative_distance),
    Rule("unknown_zone", "drop", _unknown_zone),
    Rule("ends_before_it_begins", "drop", _ends_first),
    Rule("lasts_over_a_day", "drop", _over_a_day),
    Rule("stray_pickup", "set_aside", _stray),
    Rule("implausible_distance", "keep", _implausible_distance),
)


def _nobody(batch: TripBatch, _start: int, _end: int) -> Mask:
    return np.zeros(batch.rows, dtype=bool)


#: Found from all rows together; see `repetitions`.
REPEATED = Rule("repeated", "drop", _nobody)
ALL_RULES = (*RULES, REPEATED)


def rules_with(action: Action) -> tuple[str, ...]:
    """Names of the rules with an action."""
    return tuple(rule.name for rule in ALL_RULES if rule.action == action)


@options
class ContractLimits:
    """Limits on the errors in a month; beyond them it is refused as a whole."""

    quarantine_share: float = setting_option("quarantine_share", offered=False)
    missing_share: float = setting_option("missing_share", offered=False)


def check_columns(raw: MonthFile, service: Service, footer: Footer) -> tuple[str, ...]:
    """Check a month's columns; those beyond the contract's may come and go.

    Returns
    -------
    tuple of str
        Columns that the contract does not know, which are left alone.

    Raises
    ------
    ContractError
        If the file lacks a column, has one of another kind, or has no rows.
    """
    published, schema = service.columns, footer.schema
    _require_columns(raw, service, published, schema)
    for name, theirs in published.items():
        _require_kind(raw, name, theirs, schema.field(theirs).type)
    if footer.rows == 0:
        raise ContractError(described(raw), "has no rows", "Choose another month.")
    return tuple(name for name in schema.names if name not in published.values())


def _require_columns(
    raw: MonthFile, service: Service, published: Mapping[str, str], schema: pa.Schema
) -> None:
    missing = [theirs for theirs in published.values() if theirs not in schema.names]
    if missing:
        raise ContractError(
            described(raw),
            f"lacks the column {', '.join(missing)}; it has {', '.join(schema.names)}",
            f"Check that it is a month of {service.title}.",
        )
    twice = [theirs for theirs in published.values() if schema.names.count(theirs) > 1]
    if twice:
        raise ContractError(
            described(raw),
            f"has the column {', '.join(twice)} more than once",
            "Fetch the file again from where TLC publishes it.",
        )


def _require_kind(raw: MonthFile, name: str, theirs: str, found: pa.DataType) -> None:
    what, is_kind = _KINDS.get(name, ("an integer or a float", _is_number))
    if not is_kind(found):
        raise ContractError(
            described(raw),
            f"has {found} in the column {theirs}, which must be {what}",
            "Fetch the file again from where TLC publishes it.",
        )


def month_bounds(month: Month) -> tuple[int, int]:
    """First moment of a month and of the next, in microseconds since 1970 (local, as published)."""
    start, end = (np.datetime64(one.start, "us").astype(np.int64) for one in (month, month.next()))
    return int(start), int(end)


#: Columns that together tell one row from another.
IDENTITY = (PICKUP_TIME, DROPOFF_TIME, PICKUP_ZONE, DROPOFF_ZONE, DISTANCE, AMOUNT)
