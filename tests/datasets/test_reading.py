"""Rows of any table: one reading, by what its columns say."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_loop.datasets.columns import Column, Columns
from model_loop.datasets.reading import NUMBER, Problem, RefusedRowsError, Row, RowReader
from model_loop.datasets.schema import schema_of
from model_loop.errors import InvalidInputError

CODES = {"JFK": 1, "LaGuardia": 2}


def airport(name: str) -> int:
    """Return the code of an airport."""
    if name not in CODES:
        raise InvalidInputError(f"Airport {name}", "is unknown", "Give JFK or LaGuardia.")
    return CODES[name]


def time(value: object) -> dt.datetime:
    """Return a time from text in one form."""
    if not isinstance(value, str):
        raise ValueError("is not a time")  # noqa: TRY004 - as readers of times say it
    return dt.datetime.strptime(value, "%d.%m.%Y %H:%M")  # noqa: DTZ007 - the table's clocks


FLIGHTS = Columns(
    (
        Column(
            *("origin", "from", "category", "From", "Airport.", "planned", 1, 3),
            noun="airport",
            required=True,
        ),
        Column(
            *("time_hour", "at", "time", "When", "Hour.", "planned", 2000, 2099),
            required=True,
            default="now",
            example="04.03.2013 12:00",
        ),
        Column(
            *("dep_delay", "delay", "number", "Delay", "At departure.", "departed", -60, 1_440),
            unit="min",
            required=True,
        ),
        Column(
            *("seats", "seats", "number", "Seats", "Of the plane.", "planned", 0, 1_000),
            published={"faa": "no_seats"},
        ),
    )
)
READER = RowReader(FLIGHTS, frozenset({"tailnum"}), time, {"origin": airport})
NOON = dt.datetime(2013, 3, 4, 12, 0)  # noqa: DTZ001 - the table's clocks
SECONDS = 1_362_398_400.0


def read(**record: Any) -> Row:
    """Read one row."""
    return READER.read_row(record, lambda: NOON)


@pytest.mark.parametrize(
    ("record", "numbers"),
    [
        ({"from": 1, "at": "04.03.2013 12:00"}, [1.0, SECONDS, math.nan, math.nan]),
        ({"origin": "JFK", "time_hour": "2013-03-04T12:00:00"}, [1.0, SECONDS, math.nan, math.nan]),
        (
            {"from": "2.0", "delay": " -6e1 ", "no_seats": Decimal(200)},
            [2.0, SECONDS, -60.0, 200.0],
        ),
        (
            {"from": 3, "delay": 1_440, "seats": None, "tailnum": "N1"},
            [3.0, SECONDS, 1440.0, math.nan],
        ),
    ],
)
def test_values_have_one_meaning(record: dict[str, Any], numbers: list[float]) -> None:
    """Under any of their names, as numbers or text; what is known later may be missing."""
    found, *_ = read(**record)
    assert repr(found) == repr(numbers)


def test_what_is_assumed_is_told() -> None:
    """The present moment, asked for only where it is needed."""
    assert read(**{"from": 1})[1] == ("at",)
    assert read(**{"from": 1, "at": "04.03.2013 12:00"})[1] == ()

    def never() -> dt.datetime:
        raise AssertionError

    READER.read_row({"from": 1, "at": "04.03.2013 12:00"}, never)


def test_every_problem_of_every_row_is_told() -> None:
    """With the place of the row, the rule, and what to do."""
    rows = [
        {"from": 1},
        {"from": "Newark", "delay": 2_000, "speed": 1, "at": 7},
        {"origin": 1, "from": 1},
        [1],
    ]
    with pytest.raises(RefusedRowsError) as caught:
        READER.read_rows(rows, lambda: NOON)
    assert caught.value.problems == [
        Problem("from = Newark", "is unknown", "Give JFK or LaGuardia.", 1),
        Problem(
            "delay = 2000",
            "is not a number from -60 to 1,440 min",
            "Give a number from -60 to 1,440 min.",
            1,
        ),
        Problem("speed", "is not a column of this table", "A row has: from, at, delay, seats.", 1),
        Problem("at = 7", "is not a time", "Give a time such as 04.03.2013 12:00.", 1),
        Problem("from", "is the same column as origin, and both are given", "Give one of them.", 2),
        Problem("[1]", "is not a row", "Give an object with from, at, delay, seats.", 3),
    ]
    told = caught.value.fields()
    assert told["given"] == "inputs[1].from = Newark"
    assert len(told["problems"]) == 6
    with pytest.raises(RefusedRowsError, match=r"from is missing\. Give an airport from 1 to 3\."):
        read(at="04.03.2013 12:00")


def test_a_request_of_many_problems_has_a_short_answer() -> None:
    """Twenty are told, and how many there are."""
    with pytest.raises(RefusedRowsError, match="and 499 more") as caught:
        READER.read_rows([{"from": 9}] * 500, lambda: NOON)
    assert len(caught.value.fields()["problems"]) == 20


def test_similar_names_are_looked_for_a_few_times() -> None:
    """A request of thousands of wrong names would hold up a server."""
    asked: list[str] = []

    def suggest(name: str) -> str:
        asked.append(name)
        return "Did you mean JFK?"

    reader = RowReader(FLIGHTS, frozenset(), time, {"origin": airport}, {"origin": suggest})
    with pytest.raises(RefusedRowsError) as caught:
        reader.read_rows([{"from": "Newark"}] * 500, lambda: NOON)
    told = caught.value.fields()
    assert told["remedy"] == told["problems"][2]["remedy"] == "Did you mean JFK?"
    assert told["problems"][3]["remedy"] == "Give JFK or LaGuardia."
    assert len(asked) == 4


@given(st.integers() | st.floats() | st.booleans() | st.from_regex(NUMBER) | st.text(max_size=8))
def test_what_is_read_is_within_bounds(value: Any) -> None:
    """Whatever is given, a number within the bounds of its column comes out, or a problem."""
    for field, low, high in (("from", 1, 3), ("delay", -60, 1_440), ("seats", 0, 1_000)):
        problems: list[Problem] = []
        row = READER.read({"from": 1, field: value}, lambda: NOON, problems)
        number = row.cells[FLIGHTS.fields.index(field)]
        if problems:
            assert math.isnan(number)
            assert all(one.rule and one.remedy for one in problems)
        else:
            assert low <= number <= high
            assert field != "from" or number.is_integer()


def test_the_schema_says_what_is_taken() -> None:
    """Every name, the bounds, and which values may be left out."""
    schema = schema_of(READER)
    assert schema["properties"].keys() == {
        *("from", "origin", "at", "time_hour", "delay", "dep_delay", "seats", "no_seats")
    }
    kinds = schema["properties"]["from"]["anyOf"]
    assert kinds == [
        {"type": "integer", "minimum": 1, "maximum": 3},
        {"type": "string", "minLength": 1},
    ]
    assert {"type": "null"} in schema["properties"]["seats"]["anyOf"]
    assert schema["properties"]["delay"]["x-unit"] == "min"
    assert schema["properties"]["delay"]["x-known"] == "departed"
