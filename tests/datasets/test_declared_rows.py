"""Rows of a table that is declared in a file: text, yes and no, times, missing values."""

from __future__ import annotations

import datetime as dt
import math
import tomllib
from typing import Any

import pytest

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.reading import Problem, RefusedRowsError
from model_loop.datasets.schema import schema_of
from model_loop.datasets.times import TimeReader

FLIGHTS = """
name = "flights"
target = "arr_delay"
source = "flights.csv"
moments = ["planned", "departed"]
missing_values = [-200]
[time]
column = "time_hour"
stored_in = "UTC"
time_zone = "America/New_York"
[task]
unit = "min"
[columns.time_hour]
type = "time"
[columns.flight]
type = "category"
[columns.carrier]
type = "category"
constraints = {required = true}
aliases = ["airline"]
[columns.distance]
type = "number"
unit = "mi"
constraints = {minimum = 0}
[columns.dep_delay]
type = "number"
known = "departed"
constraints = {required = true}
[columns."Fläche [m]"]
type = "number"
decimal_char = ","
[columns.weekend]
type = "yes_no"
[columns.day]
type = "time"
format = "%d.%m.%Y"
[columns.tailnum]
type = "id"
"""
NOON = dt.datetime(2013, 3, 4, 12, 0)  # noqa: DTZ001 - the table's clocks


def flights() -> Dataset:
    """Return the dataset of the declaration."""
    return dataset_of(Declaration.model_validate(tomllib.loads(FLIGHTS)))


DATASET = flights()


def read(**record: Any) -> dict[str, Any]:
    """Read one row; return its known values by fields."""
    row = DATASET.reader.read_row({"carrier": "UA", **record}, lambda: NOON)
    fields = zip(DATASET.columns.fields, row.cells, strict=True)
    known = {name: value for name, value in fields if name != "carrier"}
    return {name: value for name, value in known.items() if repr(value) != "nan"}


@pytest.mark.parametrize(
    ("record", "values"),
    [
        ({"flight": 1545, "distance": 1400}, {"flight": "1545", "distance": 1400.0}),
        ({"flight": 1545.0}, {"flight": "1545"}),
        ({"flight": " 1545.0 ", "distance": "1,400.5"}, {"flight": "1545", "distance": 1400.5}),
        ({"flight": "NA", "distance": -200, "weekend": "", "time_hour": "NaT"}, {}),
        ({"distance": "-200.0", "flight": "-200"}, {}),
        ({"flache_m": "1.400,5"}, {"flache_m": 1400.5}),
        ({"Fläche [m]": 3}, {"flache_m": 3.0}),
        ({"weekend": True, "flight": False}, {"weekend": 1.0, "flight": "false"}),
        ({"weekend": "Nein"}, {"weekend": 0.0}),
        ({"weekend": 1}, {"weekend": 1.0}),
        ({"time_hour": "2013-01-01T10:00:00Z"}, {"time_hour": 1_357_016_400.0}),
        ({"time_hour": "2013-01-01 10:00"}, {"time_hour": 1_357_016_400.0}),
        ({"time_hour": "2013-01-01T10:00:00"}, {"time_hour": 1_357_016_400.0}),
        ({"time_hour": "2013-01-01"}, {"time_hour": 1_356_998_400.0}),
        ({"day": "03.02.2013"}, {"day": 1_359_849_600.0}),
        ({"day": "2013-02-03"}, {"day": 1_359_849_600.0}),
        ({"tailnum": "N14228", "arr_delay": 3, "flight": None, "distance": math.nan}, {}),
    ],
)
def test_values_are_those_of_the_file(record: dict[str, Any], values: dict[str, Any]) -> None:
    """Codes are text without a fraction, times are on the clocks of the place."""
    assert read(**record) == values


def test_each_problem_has_its_rule_and_remedy() -> None:
    """No number is infinite, and a required value is not to be a word for a missing one."""
    with pytest.raises(RefusedRowsError) as caught:
        DATASET.reader.read_row(
            {
                "airline": "NA",
                "weekend": "maybe",
                "distance": -1,
                "dep_delay": float("inf"),
                "flight": [1],
                "time_hour": "soon",
                "day": "2013-02-30",
                "flache_m": "1.5.2",
            },
            lambda: NOON,
        )
    assert caught.value.problems == [
        Problem("weekend = maybe", "is neither yes nor no", "Give true or false."),
        Problem(
            "distance = -1", "is not a number of 0 or more mi", "Give a number of 0 or more mi."
        ),
        Problem("dep_delay = inf", "is not a number", "Give a number."),
        Problem("flight = [1]", "is not a category", "Give its text or its number."),
        Problem(
            "time_hour = soon",
            "is not a time such as 2024-01-15 08:30:00",
            "Give a time such as 2024-01-15T08:30:00.",
        ),
        Problem(
            "day = 2013-02-30",
            "is not a time such as 15.01.2024",
            "Give a time such as 2024-01-15T08:30:00.",
        ),
        Problem("flache_m = 1.5.2", "is not a number", "Give a number."),
        Problem("airline", "is missing", "Give a category."),
    ]


def test_what_is_known_later_may_be_left_out() -> None:
    """A model of an earlier moment does without it."""
    assert read() == {}


def test_the_schema_has_types_and_no_infinite_bounds() -> None:
    """Text may be null where it is not required; bounds are those that are declared."""
    schema = schema_of(DATASET.reader, "FlightsRow")
    properties = schema["properties"]
    assert properties["carrier"]["anyOf"] == [{"type": "string", "minLength": 1}]
    assert properties["airline"]["$ref"] == "#/components/schemas/FlightsRow/properties/carrier"
    assert properties["distance"]["anyOf"] == [{"type": "number", "minimum": 0}, {"type": "null"}]
    assert properties["weekend"]["anyOf"] == [{"type": "boolean"}, {"type": "null"}]


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        # The clocks show 01:30 twice, and skip from 02:00 to 03:00.
        ("2013-11-03 01:30", "2013-11-03T05:30:00"),
        ("2013-03-10 02:30", "2013-03-10T07:00:00"),
        ("2013-03-10 03:30:00.25", "2013-03-10T07:30:00.250000"),
    ],
)
def test_times_that_clocks_show_twice_or_skip(text: str, clock: str) -> None:
    """The first of two moments is meant, and the first after a gap."""
    at = TimeReader("America/New_York", "UTC")(text)
    assert at.isoformat() == clock


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("epoch_s", "1705307400"),
        ("epoch_ms", "1705307400000"),
        ("epoch_s", 1_705_307_400),
        ("%d/%m/%y %I.%M %p", "15/01/24 8.30 AM"),
        ("%d %b %Y %H:%M", "15 Jänner 2024 08:30"),
        ("%Y%m%d %H%M", "20240115 0830"),
    ],
)
def test_formats_of_times(time_format: str, text: object) -> None:
    """Epochs, months by name, half days."""
    reader = TimeReader("UTC", "UTC", time_format)
    assert reader(text) == dt.datetime(2024, 1, 15, 8, 30)  # noqa: DTZ001 - UTC's clocks
    assert reader(reader.example) == dt.datetime(2024, 1, 15, 8, 30)  # noqa: DTZ001 - as above
