"""Months and their split by time."""

from __future__ import annotations

import datetime as dt

import pytest

from model_loop.errors import InvalidInputError
from trip_duration.months import Month, MonthSplit, parse_months


def test_reads_lists_and_ranges() -> None:
    """Lists and ranges give sorted months without repetitions, across the turn of the year."""
    months = parse_months("2024-02, 2023-11..2024-01,2024-02")
    assert [str(month) for month in months] == ["2023-11", "2023-12", "2024-01", "2024-02"]
    assert parse_months(["2024-01"]) == (Month(2024, 1),)


@pytest.mark.parametrize("text", ["2024-13", "2024-1", "24-01", "January", "2024-00", "2024-01-01"])
def test_refuses_what_is_no_month(text: str) -> None:
    """A malformed month is refused by name, with how to write one."""
    with pytest.raises(InvalidInputError, match=f"'{text}' is not a month.*YYYY-MM"):
        parse_months(text)


def test_refuses_backward_range() -> None:
    """A range that runs backwards is refused."""
    with pytest.raises(InvalidInputError, match="runs backwards"):
        parse_months("2024-03..2024-01")


def test_refuses_future_month() -> None:
    """The current month and later ones are refused: their trips are not published."""
    today = dt.datetime.now(tz=dt.UTC)
    with pytest.raises(InvalidInputError, match=f"{today:%Y-%m} has not ended"):
        MonthSplit.parse("2024-01", f"{today:%Y-%m}")


@pytest.mark.parametrize(
    ("train", "validation", "test", "message"),
    [
        ("2024-02", "2024-01", "", "validation month 2024-01 is not after the train month 2024-02"),
        ("2024-01", "2024-01", "", "validation month 2024-01 is not after"),
        ("2024-01", "2024-02", "2024-02", "test month 2024-02 is not after the validation month"),
        ("", "2024-02", "", "train months is empty"),
        ("2024-01", "", "", "validation months is empty"),
    ],
)
def test_time_decides(train: str, validation: str, test: str, message: str) -> None:
    """Train, validation and test follow each other, and the first two are not empty."""
    with pytest.raises(InvalidInputError, match=message):
        MonthSplit.parse(train, validation, test)
