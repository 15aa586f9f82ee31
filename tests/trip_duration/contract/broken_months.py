"""Broken months, and what becomes of each: the data of the tests and of `docs/broken-months.md`.

Write the page with ``python -m tests.trip_duration.contract.broken_months docs/broken-months.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from tests.trip_duration.conftest import GREEN
from tests.trip_duration.contract import damage as by

from model_loop.errors import ContractError, ModelLoopError, SourceError
from trip_duration.contract.report import ACTIONS
from trip_duration.contract.rules import ALL_RULES, ContractLimits
from trip_duration.months import Month
from trip_duration.services import SERVICES

FEBRUARY = Month(2024, 2)
YELLOW, FOR_HIRE = SERVICES["yellow"], SERVICES["fhvhv"]

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
TIMES = (PICKUP, DROPOFF)
FROM, TO = "PULocationID", "DOLocationID"
MILES, FARE, PASSENGERS = "trip_distance", "total_amount", "passenger_count"

#: Rows that are spoiled where only some are.
FEW = (3, 50, 199, 333)
#: Twelve rows: 3 in 100 of a small month, and less than 5 with those that repeat them.
TWINS = (5, *range(-11, 0))
EVERY = slice(None)

UNREADABLE = "is not a readable Parquet file"
SPEED = "has a typical speed of"
NOT_MOVING = "trips that end a minute or more after they begin, and cover a distance"

_RULES = {rule.name: rule for rule in ALL_RULES}


@dataclass(frozen=True)
class Refused:
    """Nothing of the month is used.

    Parameters
    ----------
    words
        What the message says.
    error
        Its kind.
    """

    words: str
    error: type[ModelLoopError] = ContractError
    happens: str = field(default="refused", init=False)

    @property
    def reason(self) -> str:
        """As the page says it."""
        return f"`… {self.words.strip()} …`"


@dataclass(frozen=True)
class TooMany:
    """Nothing of the month is used, because more rows break a rule than may.

    Parameters
    ----------
    rule
        The rule that is broken most.
    """

    rule: str
    error: type[ModelLoopError] = field(default=ContractError, init=False)
    happens: str = field(default="refused", init=False)

    @property
    def words(self) -> str:
        """What the message says, after the numbers."""
        return f"allowed are {ContractLimits().quarantine_share:.1%}): {self.rule}: "

    @property
    def reason(self) -> str:
        """As the page says it."""
        return f"too many rows in quarantine, most by {_told(self.rule)}"


@dataclass(frozen=True)
class Quarantined:
    """Some rows go into quarantine, or are counted, and the others are used.

    Parameters
    ----------
    rules
        The rows that break each rule, negative ones from the end; None where chance spoils them.
    """

    rules: Mapping[str, Sequence[int] | None]

    @property
    def happens(self) -> str:
        """As the page says it."""
        found = {_RULES[rule].action for rule in self.rules}
        # A row that breaks several rules is dealt with by the severest.
        severest = next(action for action in ACTIONS if action in found)
        return f"rows {ACTIONS[severest]}"

    @property
    def reason(self) -> str:
        """As the page says it."""
        return "; ".join(map(_told, self.rules))


@dataclass(frozen=True)
class Passes:
    """All of the month is used.

    Parameters
    ----------
    why
        As the page says it.
    further
        Columns that the report names as unknown to the contract.
    """

    why: str
    further: tuple[str, ...] = ()
    happens: str = field(default="passes", init=False)

    @property
    def reason(self) -> str:
        """As the page says it."""
        return self.why


Outcome = Refused | TooMany | Quarantined | Passes


@dataclass(frozen=True)
class Case:
    """One way in which a month is broken, or only unusual.

    Parameters
    ----------
    what
        What is wrong, for people.
    damage
        How a sound month comes to that.
    outcome
        What happens.
    service
        Name of the service that the month is said to be of.
    published
        Whether a published month can be damaged in the same way.
    """

    what: str
    damage: by.Damage
    outcome: Outcome
    service: str = "green"
    published: bool = True


def _told(rule: str) -> str:
    return f"`{rule}`: {_RULES[rule].broken_when}"


def _few(rule: str, *others: str) -> Quarantined:
    """Some rows break a rule, or several."""
    return Quarantined(dict.fromkeys((rule, *others), FEW))


def _some(what: str, rule: str, *changes: by.Change) -> Case:
    return Case(f"{what}, in some rows", by.trips(*changes), _few(rule))


FILES = (
    Case("The file has 0 bytes", by.instead(b""), Refused("is empty (0 bytes)")),
    Case("It ends half way", by.content(lambda file: file[: len(file) // 2]), Refused(UNREADABLE)),
    Case("Its last byte is missing", by.content(lambda file: file[:-1]), Refused(UNREADABLE)),
    Case(
        "Its last 100 bytes are missing", by.content(lambda file: file[:-100]), Refused(UNREADABLE)
    ),
    Case(
        "It ends before the footer",
        by.content(lambda file: file[: by.footer_start(file)]),
        Refused(UNREADABLE),
    ),
    Case("It ends after 4 bytes", by.content(lambda file: file[:4]), Refused(UNREADABLE)),
    Case(
        "Its first half is missing",
        by.content(lambda file: file[len(file) // 2 :]),
        Refused(UNREADABLE),
    ),
    Case(
        "It is a web page",
        by.instead(b"<!DOCTYPE html><html><body>Access denied</body></html>"),
        Refused(UNREADABLE),
    ),
    Case(
        "It is an error message in XML",
        by.instead(b"<?xml version='1.0'?><Error/>"),
        Refused(UNREADABLE),
    ),
    Case("It is JSON", by.json_lines, Refused(UNREADABLE)),
    Case("It is CSV", by.comma_separated, Refused(UNREADABLE)),
    Case("It is packed with gzip", by.content(by.gzipped), Refused(UNREADABLE)),
    Case("It is an Arrow file", by.feather, Refused(UNREADABLE)),
    Case("It holds zeros only", by.content(lambda file: bytes(len(file))), Refused(UNREADABLE)),
    Case(
        "It is garbage between the right first and last bytes",
        by.instead(b"PAR1 and then nothing of the kind PAR1"),
        Refused(UNREADABLE),
    ),
    Case(
        "It says that it is encrypted",
        by.content(lambda file: file[:-4] + b"PARE"),
        Refused(UNREADABLE),
    ),
    Case(
        "Its pages are damaged, its footer is whole",
        by.content(by.zeroed_pages),
        Refused(UNREADABLE),
    ),
    Case(
        "A bit of its pages is another, and they have checksums",
        by.flipped_bit(MILES),
        Refused(UNREADABLE),
    ),
    Case("Its footer is damaged", by.content(by.zeroed_footer), Refused(UNREADABLE)),
    Case(
        "Its footer counts a row more than there are",
        by.content(by.counting(1)),
        Refused("has a footer that counts other rows than there are"),
    ),
    Case(
        "Its footer counts a row less than there are",
        by.content(by.counting(-1)),
        Refused("has a footer that counts other rows than there are"),
    ),
    Case(
        "Its statistics are damaged",
        by.content(by.cut_statistics()),
        Refused(UNREADABLE),
        published=False,
    ),
    Case(
        "The statistics of a column that nobody reads are damaged",
        by.content(by.cut_statistics(columns=1)),
        Passes("its values are whole"),
        published=False,
    ),
    Case("A folder has its name", by.folder, Refused("lacks green_tripdata_", SourceError)),
    Case(
        "It is a link to nothing", by.dangling_link, Refused("lacks green_tripdata_", SourceError)
    ),
    Case("It is not there", by.absent, Refused("lacks green_tripdata_", SourceError)),
)

COLUMNS = (
    *(
        Case(
            f"The column `{name}` is missing",
            by.trips(by.without(name)),
            Refused(f"lacks the column {name}; it has "),
        )
        for name in GREEN.columns.values()
    ),
    Case(
        "There are no columns",
        by.instead(by.as_file(pa.table({}))),
        Refused(f"lacks the column {PICKUP}"),
    ),
    Case("There are no rows", by.trips(lambda table: table.slice(0, 0)), Refused("has no rows")),
    Case(
        "It is a month of the yellow taxis",
        by.month_of(YELLOW),
        Refused(f"lacks the column {PICKUP}"),
    ),
    Case(
        "It is a month of for-hire vehicles",
        by.month_of(FOR_HIRE),
        Refused(f"lacks the column {PICKUP}"),
    ),
    Case(
        "It is a month of the green taxis, said to be of the yellow ones",
        by.month_of(GREEN),
        Refused("lacks the column tpep_pickup_datetime"),
        "yellow",
    ),
    Case(
        "It is a month of for-hire vehicles, said to be of the yellow taxis",
        by.month_of(FOR_HIRE),
        Refused("lacks the column tpep_pickup_datetime"),
        "yellow",
    ),
    Case(
        "It is a month of the green taxis, said to be of for-hire vehicles",
        by.month_of(GREEN),
        Refused("lacks the column pickup_datetime"),
        "fhvhv",
    ),
    Case(
        "It is a month of the yellow taxis, said to be of for-hire vehicles",
        by.month_of(YELLOW),
        Refused("lacks the column pickup_datetime"),
        "fhvhv",
    ),
    Case(
        "The columns have names in capitals",
        by.trips(lambda table: table.rename_columns([name.upper() for name in table.column_names])),
        Refused(f"lacks the column {PICKUP}"),
    ),
    Case(
        f"The column `{MILES}` is there twice",
        by.trips(lambda table: table.append_column(MILES, table[MILES])),
        Refused(f"has the column {MILES} more than once"),
    ),
    Case(
        "The index of a data frame is there too",
        by.trips(
            lambda table: table.append_column("__index_level_0__", pa.array(range(table.num_rows)))
        ),
        Passes("columns beyond the contract's are left alone", ("__index_level_0__",)),
    ),
    Case(
        "There are columns that nobody knows",
        by.trips(lambda table: table.append_column("cbd_congestion_fee", pa.nulls(table.num_rows))),
        Passes("columns beyond the contract's are left alone", ("cbd_congestion_fee",)),
    ),
    Case(
        "The columns have another order",
        by.trips(lambda table: table.select(table.column_names[::-1])),
        Passes("columns go by their names"),
    ),
)


def _of_kind(name: str, change: by.Change, found: str) -> Case:
    what = "a timestamp without a time zone" if name in TIMES else "an integer or a float"
    return Case(
        f"The column `{name}` holds `{found}`",
        by.trips(change),
        Refused(f"has {found} in the column {name}, which must be {what}"),
    )


def _text(name: str) -> Case:
    return _of_kind(name, by.cast(name, pa.string()), "string")


_LISTS = pa.list_(pa.int32())

KINDS = (
    *(_text(name) for name in (PICKUP, DROPOFF, FROM, TO, MILES, PASSENGERS, FARE)),
    _of_kind(FROM, by.constant(FROM, value=True, kind=pa.bool_()), "bool"),
    _of_kind(MILES, by.constant(MILES, value=True, kind=pa.bool_()), "bool"),
    _of_kind(PICKUP, by.cast(PICKUP, pa.date32()), "date32[day]"),
    _of_kind(DROPOFF, by.cast(DROPOFF, pa.date32()), "date32[day]"),
    _of_kind(PICKUP, by.cast(PICKUP, pa.int64()), "int64"),
    _of_kind(PICKUP, by.cast(PICKUP, pa.time64("us")), "time64[us]"),
    _of_kind(PICKUP, by.constant(PICKUP, None, pa.null()), "null"),
    _of_kind(MILES, by.refilled(MILES, lambda table: table[PICKUP]), "timestamp[us]"),
    _of_kind(MILES, by.constant(MILES, 1, pa.decimal128(10, 2)), "decimal128(10, 2)"),
    _of_kind(FROM, by.constant(FROM, [1], _LISTS), "list<element: int32>"),
    _of_kind(MILES, by.constant(MILES, {"a": 1}, pa.struct({"a": pa.int32()})), "struct<a: int32>"),
    _of_kind(FROM, by.constant(FROM, b"1", pa.binary()), "binary"),
    _of_kind(PICKUP, by.cast(PICKUP, pa.timestamp("us", "UTC")), "timestamp[us, tz=UTC]"),
    _of_kind(
        DROPOFF,
        by.cast(DROPOFF, pa.timestamp("us", "America/New_York")),
        "timestamp[us, tz=America/New_York]",
    ),
    _of_kind(PICKUP, by.swapped(PICKUP, MILES), "double"),
    *(
        Case(
            f"Times come in {unit}",
            by.trips(*(by.cast(name, pa.timestamp(unit)) for name in TIMES)),
            Passes("units of time may drift"),
        )
        for unit in ("ns", "ms", "s")
    ),
    Case(
        "Times come in the old INT96",
        by.trips(use_deprecated_int96_timestamps=True),
        Passes("units of time may drift"),
    ),
    *(
        Case(
            f"Zones come as {kind}",
            by.trips(by.cast(FROM, kind), by.cast(TO, kind)),
            Passes("widths of numbers may drift"),
        )
        for kind in (pa.int64(), pa.int16(), pa.uint32(), pa.float64(), pa.float32())
    ),
    Case(
        "Numbers come as the integers of pandas that may be missing",
        by.trips(
            lambda table: pa.Table.from_pandas(
                table.to_pandas().astype({FROM: "Int64", TO: "Int16", PASSENGERS: "Int8"})
            )
        ),
        Passes("widths of numbers may drift"),
    ),
    Case(
        "Distances come as float",
        by.trips(by.cast(MILES, pa.float32())),
        Passes("widths of numbers may drift"),
    ),
    Case(
        "Passenger counts come as double",
        by.trips(by.cast(PASSENGERS, pa.float64())),
        Passes("widths of numbers may drift"),
    ),
    Case(
        "Zones come as an Arrow dictionary",
        by.trips(by.refilled(FROM, lambda table: table[FROM].combine_chunks().dictionary_encode())),
        Passes("it is only another way of writing"),
    ),
)

WRITING = tuple(
    Case(what, damage, Passes("it is only another way of writing"))
    for what, damage in (
        ("There are row groups without rows", by.empty_row_groups),
        ("There are seven rows to a row group", by.trips(row_group_size=7)),
        ("There are no dictionaries", by.trips(use_dictionary=False)),
        ("There are no statistics", by.trips(write_statistics=False)),
        ("It is packed with zstd", by.trips(compression="zstd")),
        ("It is not packed", by.trips(compression="none")),
        ("Its pages are of version 2", by.trips(data_page_version="2.0")),
        ("It is of the first version of Parquet", by.trips(version="1.0")),
        ("Its pages have checksums", by.trips(write_page_checksum=True)),
    )
)

#: Milliseconds that wrap around int64 once they are microseconds, and come out as if they were 0.
_WRAP = 2**61
_LAST, _FIRST = 2**63 - 1, -(2**63)


def _year(year: int) -> int:
    """About the beginning of a year, in microseconds."""
    return (year - 1970) * 365 * by.DAY


def _both(value: int) -> tuple[by.Change, by.Change]:
    """Both times of some rows."""
    return by.put(PICKUP, value, FEW), by.put(DROPOFF, value, FEW)


TIME_VALUES = (
    _some("The pick-up is missing", "missing_value", by.put(PICKUP, None, FEW)),
    _some("The drop-off is missing", "missing_value", by.put(DROPOFF, None, FEW)),
    Case(
        "Every pick-up is missing", by.trips(by.put(PICKUP, None, EVERY)), TooMany("missing_value")
    ),
    _some(
        "The trip ends before it begins",
        "ends_before_it_begins",
        by.moved([DROPOFF], -3 * by.DAY, FEW),
    ),
    _some("The trip lasts for 9 days", "lasts_over_a_day", by.moved([DROPOFF], 9 * by.DAY, FEW)),
    _some(
        "The clock of the drop-off jumped by a year",
        "lasts_over_a_day",
        by.moved([DROPOFF], 366 * by.DAY, FEW),
    ),
    _some("The clock jumped by a year", "stray_pickup", by.moved(TIMES, 366 * by.DAY, FEW)),
    _some("The times are 0, that is 1970", "stray_pickup", *_both(0)),
    _some(
        "The times are in 2300, beyond the reach of nanoseconds",
        "stray_pickup",
        *_both(_year(2300)),
    ),
    _some("The times are in 12000", "stray_pickup", *_both(_year(12000))),
    _some("The times are the last that there are", "stray_pickup", *_both(_LAST)),
    _some("The times are the first that there are", "stray_pickup", *_both(_FIRST)),
    Case(
        "The pick-up is the first time that there is, in some rows",
        by.trips(by.put(PICKUP, _FIRST, FEW)),
        _few("lasts_over_a_day", "stray_pickup"),
    ),
    Case(
        "The pick-up is the last time that there is, in some rows",
        by.trips(by.put(PICKUP, _LAST, FEW)),
        _few("ends_before_it_begins", "stray_pickup"),
    ),
    _some(
        "The drop-off is the first time that there is",
        "ends_before_it_begins",
        by.put(DROPOFF, _FIRST, FEW),
    ),
    _some(
        "The drop-off is the last time that there is",
        "lasts_over_a_day",
        by.put(DROPOFF, _LAST, FEW),
    ),
    _some(
        "Milliseconds that are beyond the reach of microseconds",
        "stray_pickup",
        *(by.cast(name, pa.timestamp("ms")) for name in TIMES),
        by.moved(TIMES, _WRAP, FEW),
    ),
    Case(
        "Every trip takes no time",
        by.trips(by.refilled(DROPOFF, lambda table: table[PICKUP])),
        Refused(NOT_MOVING),
    ),
    Case(
        "Pick-up and drop-off are exchanged",
        by.trips(by.swapped(*TIMES)),
        TooMany("ends_before_it_begins"),
    ),
    Case(
        "Pick-up and drop-off of for-hire vehicles are exchanged",
        by.trips(by.swapped("pickup_datetime", "dropoff_datetime")),
        Refused(NOT_MOVING),
        "fhvhv",
    ),
    Case(
        "The `trip_time` of for-hire vehicles is in minutes",
        by.trips(by.multiplied("trip_time", 1 / 60)),
        Refused(NOT_MOVING),
        "fhvhv",
    ),
    Case(
        "The `trip_time` of for-hire vehicles is in milliseconds",
        by.trips(by.multiplied("trip_time", 1_000)),
        TooMany("lasts_over_a_day"),
        "fhvhv",
    ),
    Case(
        "The `trip_time` of for-hire vehicles is negative, in some rows",
        by.trips(by.put("trip_time", -60, FEW)),
        _few("ends_before_it_begins"),
        "fhvhv",
    ),
    Case(
        "The `trip_time` of for-hire vehicles is missing, in some rows",
        by.trips(by.put("trip_time", None, FEW)),
        _few("missing_value"),
        "fhvhv",
    ),
    Case("It is another month", by.month_of(GREEN, FEBRUARY), TooMany("stray_pickup")),
    Case(
        "It is the same month of another year",
        by.month_of(GREEN, Month(2023, 1)),
        TooMany("stray_pickup"),
    ),
    Case("Half of it is another month", by.half_of(FEBRUARY), TooMany("stray_pickup")),
    Case(
        "All of it is in 2008",
        by.trips(by.moved(TIMES, -16 * 365 * by.DAY)),
        TooMany("stray_pickup"),
    ),
    Case(
        "The clock was a year late all month",
        by.trips(by.moved(TIMES, -366 * by.DAY)),
        TooMany("stray_pickup"),
    ),
)

DISTANCE_VALUES = (
    _some("The distance is missing", "missing_value", by.put(MILES, None, FEW)),
    _some("The distance is NaN", "missing_value", by.put(MILES, float("nan"), FEW)),
    Case("Every distance is missing", by.trips(by.constant(MILES, None)), TooMany("missing_value")),
    Case(
        "Every distance is missing, and the column has no type",
        by.trips(by.constant(MILES, None, pa.null())),
        TooMany("missing_value"),
    ),
    _some("The distance is infinite", "infinite_distance", by.put(MILES, float("inf"), FEW)),
    Case(
        "The distance is infinite and negative, in some rows",
        by.trips(by.put(MILES, float("-inf"), FEW)),
        _few("infinite_distance", "negative_distance"),
    ),
    _some("The distance is negative", "negative_distance", by.put(MILES, -2.5, FEW)),
    _some("The distance is absurd", "implausible_distance", by.put(MILES, 123_456.0, FEW)),
    _some(
        "The distance is nearly the largest number",
        "implausible_distance",
        by.put(MILES, 1.7e308, FEW),
    ),
    Case(
        "Every distance is nearly the largest number",
        by.trips(by.constant(MILES, 1.7e308)),
        Refused(SPEED),
    ),
    Case("Every distance is 0", by.trips(by.constant(MILES, 0.0)), Refused(NOT_MOVING)),
    Case("Distances are in metres", by.trips(by.multiplied(MILES, 1_609.344)), Refused(SPEED)),
    Case(
        "Distances are in thousands of miles", by.trips(by.multiplied(MILES, 1e-3)), Refused(SPEED)
    ),
    *(
        Case(f"`{MILES}` and `{name}` are exchanged", by.trips(by.swapped(MILES, name)), outcome)
        for name, outcome in (
            (FARE, Refused(SPEED)),
            ("fare_amount", Refused(SPEED)),
            ("tolls_amount", Refused(NOT_MOVING)),
            (FROM, TooMany("unknown_zone")),
            (TO, TooMany("unknown_zone")),
        )
    ),
)


def _zone(what: str, value: float | None, kind: pa.DataType | None = None) -> tuple[Case, ...]:
    rule = "missing_value" if value is None or np.isnan(value) else "unknown_zone"
    return tuple(
        _some(f"`{name}` is {what}", rule, by.put(name, value, FEW, kind)) for name in (FROM, TO)
    )


ZONE_VALUES = (
    *_zone("missing", None),
    *_zone("NaN", float("nan"), pa.float64()),
    *_zone("0", 0),
    *_zone("266", 266),
    *_zone("negative", -7),
    *_zone("huge", 2**40 + 7, pa.int64()),
    *_zone("the largest int64", _LAST, pa.int64()),
    *_zone("the largest uint64", 2**64 - 1, pa.uint64()),
    *_zone("a fraction", 7.5, pa.float64()),
    *_zone("infinite", float("inf"), pa.float64()),
    Case(
        "Every pick-up zone is huge",
        by.trips(by.constant(FROM, 2**40 + 7, pa.int64())),
        TooMany("unknown_zone"),
    ),
    Case(
        "Every pick-up is in the same zone",
        by.trips(by.constant(FROM, 74)),
        Refused("has pick-ups in 1 of 265 zones"),
    ),
    Case(
        "Every drop-off is in the same zone",
        by.trips(by.constant(TO, 74)),
        Refused("has drop-offs in 1 of 265 zones"),
    ),
    Case(
        f"`{FROM}` and `VendorID` are exchanged",
        by.trips(by.swapped(FROM, "VendorID")),
        Refused("has pick-ups in 2 of 265 zones"),
    ),
    Case(
        f"`{TO}` and `VendorID` are exchanged",
        by.trips(by.swapped(TO, "VendorID")),
        Refused("has drop-offs in 2 of 265 zones"),
    ),
    *(
        Case(
            f"`{name}` and `{PASSENGERS}` are exchanged",
            by.trips(
                by.refilled(PASSENGERS, lambda table: table[PASSENGERS].fill_null(1)),
                by.swapped(name, PASSENGERS),
            ),
            Refused("of 265 zones"),
        )
        for name in (FROM, TO)
    ),
)


def _holes(name: str, share: float, hole: float | None) -> by.Change:
    """A column of doubles without values in a share of its rows."""

    def fill(table: pa.Table) -> pa.Array:
        count = table.num_rows
        return pa.array(
            [hole if row < share * count else 1.0 for row in range(count)], pa.float64()
        )

    return by.refilled(name, fill)


def _no_value(name: str, share: str) -> Refused:
    return Refused(f"has no value in {share} of the column {name}")


OTHER_VALUES = (
    Case(
        "Every passenger count is missing",
        by.trips(by.constant(PASSENGERS, None)),
        _no_value(PASSENGERS, "100.0%"),
    ),
    Case(
        "Every passenger count is NaN",
        by.trips(_holes(PASSENGERS, 1, float("nan"))),
        _no_value(PASSENGERS, "100.0%"),
    ),
    Case(
        "Every passenger count is missing, and the column has no type",
        by.trips(by.constant(PASSENGERS, None, pa.null())),
        _no_value(PASSENGERS, "100.0%"),
    ),
    Case(
        "Every amount is NaN",
        by.trips(by.constant(FARE, float("nan"))),
        _no_value("amount", "100.0%"),
    ),
    Case(
        "60% of the passenger counts are missing",
        by.trips(_holes(PASSENGERS, 0.6, None)),
        _no_value(PASSENGERS, "60.0%"),
    ),
    Case(
        "60% of the passenger counts are NaN",
        by.trips(_holes(PASSENGERS, 0.6, float("nan"))),
        _no_value(PASSENGERS, "60.0%"),
    ),
    Case(
        "40% of the passenger counts are missing",
        by.trips(_holes(PASSENGERS, 0.4, None)),
        Passes("trips without them are of use"),
    ),
    Case(
        "Passenger counts are larger than a double counts, in some rows",
        by.trips(by.put(PASSENGERS, 2**60 + 1, FEW)),
        Passes("no rule is about them"),
    ),
    Case(
        "Amounts are infinite, in some rows",
        by.trips(by.put(FARE, float("inf"), FEW)),
        Passes("no rule is about them"),
    ),
    Case(
        "There is one row",
        by.trips(lambda table: table.slice(0, 1)),
        Passes("of so few trips nothing is said about plausibility"),
    ),
    Case(
        "There is one row, and it has no distance",
        by.trips(by.put(MILES, None, [0]), lambda table: table.slice(0, 1)),
        TooMany("missing_value"),
    ),
)

REPETITIONS = (
    Case(
        "Some rows are there twice",
        by.trips(by.repeated(FEW)),
        Quarantined({"repeated": (-4, -3, -2, -1)}),
    ),
    Case(
        "A row is there twelve times, with a negative distance",
        by.trips(by.put(MILES, -1.0, [5]), by.repeated([5] * 11)),
        Quarantined({"negative_distance": TWINS, "repeated": TWINS[1:]}),
    ),
    Case(
        "A tenth of the rows are there twice",
        by.trips(lambda table: by.repeated(range(table.num_rows // 10))(table)),
        TooMany("repeated"),
    ),
    Case(
        "All of it is there twice",
        by.trips(lambda table: pa.concat_tables([table, table])),
        TooMany("repeated"),
    ),
    Case(
        "Every row is the same one",
        by.trips(lambda table: table.take([7] * table.num_rows)),
        TooMany("repeated"),
    ),
    Case(
        "Every row is the same one, and has no zone",
        by.trips(by.constant(FROM, None), lambda table: table.take([7] * table.num_rows)),
        TooMany("missing_value"),
    ),
)


def _knob(what: str, knob: str, rule: str) -> tuple[Case, Case]:
    """A little of the generator's dirt, and too much."""
    return (
        Case(
            f"{what} in 2% of the rows",
            by.dirty(**{knob: 0.02}),
            Quarantined({rule: None}),
            published=False,
        ),
        Case(f"{what} in 20% of the rows", by.dirty(**{knob: 0.2}), TooMany(rule), published=False),
    )


DIRT = (
    *_knob("No distance", "null_share", "missing_value"),
    *_knob("A pick-up in another year", "stray_share", "stray_pickup"),
    *_knob("An end before the beginning", "negative_duration_share", "ends_before_it_begins"),
    *_knob("A trip of 9 days", "long_duration_share", "lasts_over_a_day"),
    *_knob("A copy of the row before", "duplicate_share", "repeated"),
    Case(
        "100,000 miles and more in 20% of the rows",
        by.dirty(absurd_distance_share=0.2),
        Quarantined({"implausible_distance": None}),
        published=False,
    ),
)

SECTIONS: Mapping[str, tuple[Case, ...]] = {
    "The file": FILES,
    "Columns": COLUMNS,
    "Types": KINDS,
    "Ways of writing": WRITING,
    "Times": TIME_VALUES,
    "Distances": DISTANCE_VALUES,
    "Zones": ZONE_VALUES,
    "Other values": OTHER_VALUES,
    "Repetitions": REPETITIONS,
    "Many rows at once": DIRT,
}
CASES = tuple(case for cases in SECTIONS.values() for case in cases)

_INTRODUCTION = """\
# Broken months of trips

Written from the tests' own data by `make docs`: each line is a test, which spoils a generated month
in this way, and a published one where there is one; another test fails when this page is stale.

Before anybody learns from a month, it is checked against a **contract**: the columns that a file of
its service must have, the rules that each of its rows must keep, and what the trips together must
look like (how fast they are, how many zones they join). A month that breaks it as a whole is
**refused**: the run stops with a message that names the month, the reason and what to do, and
nothing of the month is stored. Single broken rows do not stop anything. They go into a
**quarantine**, a small file beside the month with the number of each row, its values and the rules
that it breaks: rows that are *dropped* are used by nobody; rows that are *set aside*, because only
their clock is wrong, are still used by recipes that know no time; rows that are *kept* are counted
only. Two thresholds decide when single rows are too many. A month is refused when more than
`MODEL_LOOP_QUARANTINE_SHARE` ({quarantine:g}) of its rows are in quarantine, or when more than
`MODEL_LOOP_MISSING_SHARE` ({missing:g}) of a column that a trip can do without, such as the
passenger count, is missing. Such a value that no request may have, such as -1 or 5,000 passengers,
reads as missing. What no rule can see, such as pick-up and drop-off zones that are exchanged, is
found by comparing it with [earlier months](damaged-months.md).
"""


def page() -> str:
    """The page, as Markdown."""
    limits = ContractLimits()
    introduction = _INTRODUCTION.format(
        quarantine=limits.quarantine_share, missing=limits.missing_share
    )
    return "\n".join([introduction, *(_section(*section) for section in SECTIONS.items())])


def _section(title: str, cases: Sequence[Case]) -> str:
    lines = [f"## {title}", "", "| What is wrong | What happens | Reason |", "| --- | --- | --- |"]
    lines += [f"| {case.what} | {case.outcome.happens} | {case.outcome.reason} |" for case in cases]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page into the file that is named on the command line."""
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
