"""A corpus of months that are wrong, each with what has to become of it.

Run as a module with the name of a page, it writes the corpus as a table; `make docs` does that.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trip_duration.trips.months import Month
from trip_duration.trips.sample import Dirt, SampleOptions, generate_month
from trip_duration.trips.services import get_service

ROWS = 2_000
PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
ZONE, DISTANCE = "PULocationID", "trip_distance"

Outcome = Literal["refused", "quarantined", "passes"]
Damage = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class BrokenMonth:
    """A month that is wrong.

    Parameters
    ----------
    what
        What is wrong with it.
    outcome
        What has to become of it.
    reason
        Words that the error must hold, or the rule that rows break.
    rows
        Rows that break the rule; None where chance decides.
    table
        Makes another table of the month's.
    content
        Makes other bytes of the file's.
    """

    what: str
    outcome: Outcome
    reason: str
    rows: int | None = None
    table: Damage | None = None
    content: Callable[[bytes], bytes] | None = None
    dirt: Dirt = field(default_factory=Dirt)

    def write(self, path: Path, table: pa.Table | None = None) -> None:
        """Write the month; a published one is damaged in the same way where it is given."""
        month = generated(self.dirt) if table is None else table
        pq.write_table(month if self.table is None else self.table(month), path)
        if self.content is not None:
            path.write_bytes(self.content(path.read_bytes()))


def generated(dirt: Dirt) -> pa.Table:
    """A generated month."""
    options = SampleOptions(trips=ROWS, seed=11, dirt=dirt)
    return generate_month(get_service("green"), Month(2024, 1), options)


def replaced(column: str, change: Callable[[pa.ChunkedArray], object]) -> Damage:
    """Put something else in the place of a column."""

    def damage(table: pa.Table) -> pa.Table:
        values = change(table[column].combine_chunks())
        return table.set_column(table.schema.get_field_index(column), column, values)

    return damage


def first(column: str, value: object, rows: int = 20) -> Damage:
    """Put a value into the first rows of a column."""

    def change(values: pa.Array) -> pa.Array:
        changed = pa.array([value] * rows, values.type, from_pandas=False)
        return pa.concat_arrays([changed, values[rows:]])

    return replaced(column, change)


def cast(column: str, kind: pa.DataType) -> Damage:
    """Store a column as another type."""
    return replaced(column, lambda values: values.cast(kind, safe=False))


def swapped(one: str, other: str) -> Damage:
    """Exchange the names of two columns."""
    names = {one: other, other: one}
    return lambda table: table.rename_columns(
        [names.get(name, name) for name in table.schema.names]
    )


def shifted(days: int, rows: int | None = None) -> Damage:
    """Move pick-ups and drop-offs of the first rows by some days."""

    def damage(table: pa.Table) -> pa.Table:
        count = table.num_rows if rows is None else rows
        for column in (PICKUP, DROPOFF):
            moved = pc.add(
                table[column][:count], pa.scalar(days * 86_400_000_000, pa.duration("us"))
            )
            values = pa.chunked_array([*moved.chunks, *table[column][count:].chunks])
            table = table.set_column(table.schema.get_field_index(column), column, values)
        return table

    return damage


def without(*columns: str) -> Damage:
    """Leave columns out."""
    return lambda table: table.drop_columns(list(columns))


def repeated(rows: int) -> Damage:
    """Append the first rows once more."""
    return lambda table: pa.concat_tables([table, table[:rows]])


def zeros(begin: float, end: float) -> Callable[[bytes], bytes]:
    """Overwrite a part of a file with zeros."""

    def damage(content: bytes) -> bytes:
        start, stop = int(len(content) * begin), int(len(content) * end)
        return content[:start] + bytes(stop - start) + content[stop:]

    return damage


def whole_days(values: pa.Array) -> pa.Array:
    """Times as days."""
    return values.cast(pa.date32(), safe=False)


NO_PARQUET = "no readable Parquet file"

BROKEN_MONTHS = (
    # Files that are none.
    BrokenMonth("zero bytes", "refused", "is empty (0 bytes)", content=lambda _: b""),
    BrokenMonth(
        "a web page in place of the file",
        "refused",
        NO_PARQUET,
        content=lambda _: b"<html><body>Access denied</body></html>",
    ),
    BrokenMonth("a JSON error", "refused", NO_PARQUET, content=lambda _: b'{"error": "denied"}'),
    BrokenMonth("CSV", "refused", NO_PARQUET, content=lambda _: b"VendorID,PULocationID\n1,74\n"),
    BrokenMonth("compressed once more", "refused", NO_PARQUET, content=gzip.compress),
    BrokenMonth("truncated to a tenth", "refused", NO_PARQUET, content=lambda c: c[: len(c) // 10]),
    BrokenMonth("truncated half way", "refused", NO_PARQUET, content=lambda c: c[: len(c) // 2]),
    BrokenMonth("truncated by one byte", "refused", NO_PARQUET, content=lambda c: c[:-1]),
    BrokenMonth("without its beginning", "refused", NO_PARQUET, content=lambda c: c[100:]),
    BrokenMonth("damaged footer", "refused", NO_PARQUET, content=zeros(0.97, 0.999)),
    BrokenMonth("damaged pages", "refused", NO_PARQUET, content=zeros(0.1, 0.6)),
    BrokenMonth(
        "garbage between the right marks",
        "refused",
        NO_PARQUET,
        content=lambda c: c[:4] + b"x" * 5_000 + c[-4:],
    ),
    # Columns.
    BrokenMonth("no rows", "refused", "has no rows", table=lambda table: table[:0]),
    BrokenMonth("no pick-up time", "refused", f"lacks the column {PICKUP}", table=without(PICKUP)),
    BrokenMonth(
        "no drop-off zone",
        "refused",
        "lacks the column DOLocationID",
        table=without("DOLocationID"),
    ),
    BrokenMonth("no distance", "refused", f"lacks the column {DISTANCE}", table=without(DISTANCE)),
    BrokenMonth(
        "no passenger count",
        "refused",
        "lacks the column passenger_count",
        table=without("passenger_count"),
    ),
    BrokenMonth(
        "yellow cabs under a green name",
        "refused",
        "lacks the column lpep_pickup_datetime",
        table=lambda _: generate_month(
            get_service("yellow"), Month(2024, 1), SampleOptions(trips=300)
        ),
    ),
    BrokenMonth(
        "for-hire vehicles under a green name",
        "refused",
        "lacks the column lpep_pickup_datetime",
        table=lambda _: generate_month(
            get_service("fhvhv"), Month(2024, 1), SampleOptions(trips=300)
        ),
    ),
    BrokenMonth(
        "a column twice",
        "refused",
        "more than once",
        table=lambda table: table.append_column(DISTANCE, table[DISTANCE]),
    ),
    # Types.
    BrokenMonth(
        "distances as text",
        "refused",
        "has string in the column trip_distance",
        table=cast(DISTANCE, pa.string()),
    ),
    BrokenMonth(
        "zones as text",
        "refused",
        "has string in the column PULocationID",
        table=cast(ZONE, pa.string()),
    ),
    BrokenMonth(
        "times as text",
        "refused",
        f"has string in the column {PICKUP}",
        table=cast(PICKUP, pa.string()),
    ),
    BrokenMonth(
        "times as numbers",
        "refused",
        f"has int64 in the column {DROPOFF}",
        table=cast(DROPOFF, pa.int64()),
    ),
    BrokenMonth(
        "times as days",
        "refused",
        f"has date32[day] in the column {PICKUP}",
        table=replaced(PICKUP, whole_days),
    ),
    BrokenMonth(
        "times with a time zone",
        "refused",
        "without a time zone",
        table=cast(PICKUP, pa.timestamp("us", "UTC")),
    ),
    BrokenMonth(
        "zones as true and false",
        "refused",
        "has bool in the column PULocationID",
        table=replaced(ZONE, lambda values: pc.greater(values, 100)),
    ),
    BrokenMonth(
        "distances as lists",
        "refused",
        "in the column trip_distance, which must be a number",
        table=replaced(DISTANCE, lambda values: pa.array([[one] for one in values.to_pylist()])),
    ),
    # Columns that hold something else.
    BrokenMonth(
        "pick-up and drop-off time exchanged",
        "refused",
        "ends_before_it_begins",
        table=swapped(PICKUP, DROPOFF),
    ),
    BrokenMonth(
        "fares in place of distances",
        "refused",
        "typical speed",
        table=swapped(DISTANCE, "fare_amount"),
    ),
    BrokenMonth(
        "vendors in place of zones",
        "refused",
        "pick-ups in 2 zones only",
        table=swapped(ZONE, "VendorID"),
    ),
    BrokenMonth(
        "every pick-up in one zone",
        "refused",
        "pick-ups in 1 zones only",
        table=replaced(ZONE, lambda values: pa.array([74] * len(values), pa.int32())),
    ),
    BrokenMonth(
        "metres in place of miles",
        "refused",
        "typical speed",
        table=replaced(DISTANCE, lambda values: pc.divide(pc.multiply(values, 1609.0), 40.0)),
    ),
    BrokenMonth(
        "hours in place of minutes",
        "refused",
        "typical speed",
        table=replaced(DISTANCE, lambda values: pc.divide(values, 60.0)),
    ),
    BrokenMonth(
        "infinite distances everywhere",
        "refused",
        "infinite_distance",
        table=replaced(DISTANCE, lambda values: pa.array([np.inf] * len(values))),
    ),
    BrokenMonth(
        "an empty column of the type null",
        "refused",
        "missing_value",
        table=replaced(DISTANCE, lambda values: pa.nulls(len(values))),
    ),
    BrokenMonth(
        "no passenger count in any row",
        "refused",
        "has no value in 100.0% of the column passenger_count",
        table=replaced("passenger_count", lambda values: pa.nulls(len(values), pa.int64())),
    ),
    BrokenMonth(
        "most amounts missing",
        "refused",
        "of the column amount",
        table=first("total_amount", None, 1_500),
    ),
    # Another time.
    BrokenMonth("another month's trips", "refused", "stray_pickup: 2,000 rows", table=shifted(40)),
    BrokenMonth(
        "the trips of fifteen years ago",
        "refused",
        "stray_pickup: 2,000 rows",
        table=shifted(-5_500),
    ),
    BrokenMonth(
        "half of them another month's",
        "refused",
        "stray_pickup: 1,000 rows",
        table=shifted(40, 1_000),
    ),
    BrokenMonth("every trip twice", "refused", "repeated: 2,000 rows", table=repeated(ROWS)),
    BrokenMonth(
        "every trip ends before it begins",
        "refused",
        "ends_before_it_begins",
        dirt=Dirt(negative_duration_share=1.0),
    ),
    BrokenMonth(
        "every tenth trip lasts for nine days",
        "refused",
        "lasts_over_a_day",
        dirt=Dirt(long_duration_share=0.1),
    ),
    BrokenMonth(
        "every tenth distance missing", "refused", "missing_value", dirt=Dirt(null_share=0.1)
    ),
    # Some rows.
    BrokenMonth(
        "some distances missing", "quarantined", "missing_value", 20, first(DISTANCE, None)
    ),
    BrokenMonth(
        "some distances not a number",
        "quarantined",
        "missing_value",
        20,
        first(DISTANCE, float("nan")),
    ),
    BrokenMonth("some zones missing", "quarantined", "missing_value", 20, first(ZONE, None)),
    BrokenMonth(
        "some pick-up times missing", "quarantined", "missing_value", 20, first(PICKUP, None)
    ),
    BrokenMonth(
        "some drop-off times missing", "quarantined", "missing_value", 20, first(DROPOFF, None)
    ),
    BrokenMonth(
        "some distances infinite", "quarantined", "infinite_distance", 20, first(DISTANCE, np.inf)
    ),
    BrokenMonth(
        "some distances minus infinity",
        "quarantined",
        "infinite_distance",
        20,
        first(DISTANCE, -np.inf),
    ),
    BrokenMonth(
        "some distances negative", "quarantined", "negative_distance", 20, first(DISTANCE, -2.5)
    ),
    BrokenMonth("some zones 0", "quarantined", "unknown_zone", 20, first(ZONE, 0)),
    BrokenMonth("some zones negative", "quarantined", "unknown_zone", 20, first(ZONE, -5)),
    BrokenMonth("some zones 266", "quarantined", "unknown_zone", 20, first("DOLocationID", 266)),
    BrokenMonth(
        "some zones larger than any number of 32 bits",
        "quarantined",
        "unknown_zone",
        20,
        lambda table: first(ZONE, 2**40 + 7)(cast(ZONE, pa.int64())(table)),
    ),
    BrokenMonth(
        "some zones with a fraction",
        "quarantined",
        "unknown_zone",
        20,
        lambda table: first(ZONE, 74.5)(cast(ZONE, pa.float64())(table)),
    ),
    BrokenMonth("some trips in 1970", "quarantined", "stray_pickup", 20, first(PICKUP, 0)),
    BrokenMonth(
        "some trips of the year before", "quarantined", "stray_pickup", 20, shifted(-366, 20)
    ),
    BrokenMonth("some trips of the next month", "quarantined", "stray_pickup", 20, shifted(31, 20)),
    BrokenMonth(
        "some drop-offs at the end of time",
        "quarantined",
        "lasts_over_a_day",
        20,
        first(DROPOFF, 2**62),
    ),
    BrokenMonth(
        "some pick-ups at the beginning of time",
        "quarantined",
        "stray_pickup",
        20,
        first(PICKUP, -(2**62)),
    ),
    BrokenMonth(
        "some trips of nine days",
        "quarantined",
        "lasts_over_a_day",
        None,
        dirt=Dirt(long_duration_share=0.02),
    ),
    BrokenMonth(
        "some trips that end first",
        "quarantined",
        "ends_before_it_begins",
        None,
        dirt=Dirt(negative_duration_share=0.02),
    ),
    BrokenMonth("some rows twice", "quarantined", "repeated", 20, repeated(20)),
    BrokenMonth(
        "distances beyond the city",
        "passes",
        "implausible_distance",
        None,
        dirt=Dirt(absurd_distance_share=0.02),
    ),
    # What drifts from year to year.
    BrokenMonth(
        "a column more",
        "passes",
        "",
        table=lambda table: table.append_column("cbd_congestion_fee", pa.nulls(table.num_rows)),
    ),
    BrokenMonth(
        "other order of the columns",
        "passes",
        "",
        table=lambda table: table.select(table.schema.names[::-1]),
    ),
    BrokenMonth("zones of 64 bits", "passes", "", table=cast(ZONE, pa.int64())),
    BrokenMonth("zones of 16 bits", "passes", "", table=cast(ZONE, pa.int16())),
    BrokenMonth("whole zones as doubles", "passes", "", table=cast(ZONE, pa.float64())),
    BrokenMonth("distances of 32 bits", "passes", "", table=cast(DISTANCE, pa.float32())),
    BrokenMonth("times in nanoseconds", "passes", "", table=cast(PICKUP, pa.timestamp("ns"))),
    BrokenMonth("times in seconds", "passes", "", table=cast(PICKUP, pa.timestamp("s"))),
    BrokenMonth(
        "zones as a dictionary of values",
        "passes",
        "",
        table=replaced(ZONE, lambda values: values.dictionary_encode()),
    ),
)

_HEADER = """\
# Broken months

A month is refused as a whole when its file, its columns or too many of its rows are wrong. Rows
that break a rule are otherwise kept aside, with the reason, in a quarantine beside the month; how
many may be is `TRIP_DURATION_QUARANTINE_SHARE` (5 % of the rows), and how much of a column such as
the passenger count may be missing is `TRIP_DURATION_MISSING_SHARE` (half). The mail and the task's
log name the rule, the number of rows and the first of them.

Written by `make docs` from the [corpus](../tests/trips/contract/broken_months.py) that the tests
run; a test fails when this page is stale.

| What is wrong | What happens | Reason |
| --- | --- | --- |
"""


def page() -> str:
    """The corpus as a page."""
    lines = [f"| {month.what} | {month.outcome} | {month.reason} |" for month in BROKEN_MONTHS]
    return _HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
