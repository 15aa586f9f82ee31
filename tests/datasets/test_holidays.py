"""Public holidays of the country of a table."""

from __future__ import annotations

import datetime as dt

import pytest

from model_loop.datasets.declaration import Time
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.holidays import FIRST_YEAR, LAST_YEAR, dated_columns, holidays_of
from model_loop.errors import InvalidInputError

EPOCH = dt.date(1970, 1, 1)


def dates(country: str | None, subdivision: str | None = None, year: int = 2013) -> list[str]:
    """Return the holidays of a year, as texts."""
    time = Time(column="at", country=country, subdivision=subdivision)
    days = [EPOCH + dt.timedelta(days=day) for day in holidays_of(time)]
    return [f"{day:%m-%d}" for day in days if day.year == year]


def test_holidays_are_those_of_the_country() -> None:
    """Federal holidays of 2013 as the Office of Personnel Management lists them."""
    assert dates("US") == [
        *("01-01", "01-21", "02-18", "05-27", "07-04"),
        *("09-02", "10-14", "11-11", "11-28", "12-25"),
    ]
    assert "10-03" in dates("DE")
    assert dates(None) == []
    assert holidays_of(None) == ()


def test_a_province_adds_its_own() -> None:
    """Epiphany is a holiday in Bavaria, and none in Berlin."""
    assert "01-06" in dates("DE", "BY")
    assert "01-06" not in dates("DE", "BE")


def test_years_reach_far_beyond_those_of_a_table() -> None:
    """A model that is asked in many years knows their holidays."""
    for year in (FIRST_YEAR, 1970, LAST_YEAR):
        assert "12-25" in dates("US", year=year)
    assert dates("US", year=LAST_YEAR + 1) == []


@pytest.mark.parametrize(
    ("country", "subdivision", "words"),
    [
        ("XU", None, "time.country = 'XU' is unknown. Did you mean"),
        ("DE", "Bayer", "time.subdivision = 'Bayer' is unknown. Did you mean Bayern?"),
        ("DE", "NY", "time.subdivision = 'NY' is unknown. Did you mean"),
    ],
)
def test_an_unknown_place_is_named_with_the_nearest(
    country: str, subdivision: str | None, words: str
) -> None:
    """Nobody trains on no holidays because of a letter."""
    with pytest.raises(InvalidInputError, match=words.replace("?", r"\?")):
        dates(country, subdivision)


def test_only_days_are_on_a_holiday() -> None:
    """A time of day is of no day, and a month is on its first day by convention alone."""
    columns = {"at": "ISO8601", "left": "%H:%M", "month": "%Y-%m", "day": "%d.%m.%Y"}
    text = "name = 'a'\nsource = 'a.csv'\ntarget = 'y'\n[columns.y]\ntype = 'number'\n"
    for name, each in columns.items():
        text += f"[columns.{name}]\ntype = 'time'\nformat = '{each}'\n"
    text += "[columns.plain]\ntype = 'time'\n"
    assert dated_columns(parse_declaration(text, "a.toml")) == ["at", "day", "plain"]
