"""Notices of answers about values that are unlike those of training."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.learned import ColumnRange, LearnedValues
from model_loop.scoring.columns import check_rows
from model_loop.scoring.notices import Notice, ValueWatch, notice_text, settled, watch_of

WEATHER = """
name = "weather"
target = "demand"
source = "weather.csv"
decimal_char = ","
[columns.sky]
type = "category"
[columns.temp]
type = "number"
unit = "°C"
[columns.people]
type = "number"
[columns.open]
type = "yes_no"
[columns.demand]
type = "number"
"""
LEARNED = LearnedValues(
    (
        ColumnRange("sky", 100, 0, categories=("clear", "mist", "rain")),
        ColumnRange("temp", 99, 1, -8.0, 39.0, -8.0, 39.0, outliers=3),
        ColumnRange("people", 100, 0, 0.0, 30_000.0, 0.0, 30_000.0),
        ColumnRange("open", 100, 0, 1.0, 1.0, 1.0, 1.0),
    )
)
USUAL = {"sky": "mist", "temp": "18,9", "people": "120", "open": "yes"}


@pytest.fixture(scope="module")
def weather() -> Dataset:
    """A table with decimal commas."""
    return dataset_of(parse_declaration(WEATHER, "weather.toml"))


def asked(
    dataset: Dataset, row: dict[str, Any], watch: ValueWatch
) -> tuple[Any, tuple[Notice, ...]]:
    """Return the cells and notices of a request."""
    (read,) = settled(watch, [dataset.reader.read_row(row, dataset.now)])
    return read.cells, watch.notices(read)


def filed(dataset: Dataset, row: dict[str, Any], watch: ValueWatch) -> list[tuple[Any, Any]]:
    """Return the cells and notices of a row of texts, of a table and of JSON lines."""
    names = list(dataset.columns.names)
    table = {name: pa.array([row[name], USUAL[name]]) for name in row}
    found = []
    for given in (table, [row, USUAL]):
        checked = check_rows(dataset, given, names, None, watch)
        assert list(checked.reasons) == [None, None]
        assert checked.notices[1] is None, "a usual row"
        cells = [checked.rows[name].tolist()[0] for name in names]
        found.append((cells, checked.notices[0] or ()))
    return found


@pytest.mark.parametrize(
    ("change", "codes", "message"),
    [
        (
            {"sky": "Cleer"},
            ["unseen_category"],
            "sky is Cleer, which no row of training had; known: clear, mist, rain",
        ),
        (
            {"temp": "400"},
            ["out_of_range"],
            "temp is 400, and all but 3 rows of training had -8 to 39 °C",
        ),
        ({"temp": ""}, [], ""),
        (
            {"people": ""},
            ["unseen_missing"],
            "people is missing, and every row of training had it",
        ),
        (
            {"open": "no"},
            ["unseen_category"],
            "open is no, which no row of training had; known: yes",
        ),
        (
            dict.fromkeys(USUAL, ""),
            ["all_missing"],
            "no column that the version reads has a value: the answer is that to an empty row",
        ),
    ],
)
def test_unlike_values_are_said_the_same_in_requests_and_files(
    weather: Dataset, change: dict[str, str], codes: list[str], message: str
) -> None:
    """Each by its column, with what was learned; a usual row has no notice."""
    watch = ValueWatch(weather, LEARNED)
    assert asked(weather, USUAL, watch)[1] == ()
    cells, notices = asked(weather, USUAL | change, watch)
    assert [one.code for one in notices] == codes
    assert (notice_text(notices) or "").startswith(message)
    for in_file, said in filed(weather, USUAL | change, watch):
        assert said == notices
        assert str(in_file) == str(cells)


@pytest.mark.parametrize(
    ("change", "number", "codes"),
    [
        # By the declared decimal comma 18,950, which no row of training had; 18.95 is like them.
        ({"temp": "18.950"}, 18.95, ["ambiguous_number"]),
        ({"temp": "18.950 °C"}, 18.95, ["ambiguous_number"]),
        ({"temp": "-7.250"}, -7.25, ["ambiguous_number"]),
        # Neither is.
        ({"temp": "99.950"}, 99_950, ["ambiguous_number", "out_of_range"]),
        # Both are: the declaration decides.
        ({"people": "18.950"}, 18_950, ["ambiguous_number"]),
        # Its signs leave no doubt.
        ({"people": "1.018.950"}, 1_018_950, ["out_of_range"]),
        ({"people": "8.950,5"}, 8_950.5, []),
        ({"temp": "18,950"}, 18.95, []),
    ],
)
def test_a_number_that_can_be_read_in_two_ways(
    weather: Dataset, change: dict[str, str], number: float, codes: list[str]
) -> None:
    """The values of training decide, and the answer says so."""
    watch = ValueWatch(weather, LEARNED)
    place = weather.columns.places[next(iter(change))]
    cells, notices = asked(weather, USUAL | change, watch)
    assert cells[place] == number
    assert [one.code for one in notices] == codes
    for in_file, said in filed(weather, USUAL | change, watch):
        assert in_file[place] == number
        assert said == notices


def test_thousands_are_no_doubt_where_their_thousandth_is_unlike(weather: Dataset) -> None:
    """A column of thousands is not full of notices."""
    people = ColumnRange("people", 100, 0, 1_000.0, 30_000.0, 1_000.0, 30_000.0)
    watch = ValueWatch(weather, LearnedValues((people,)))
    assert asked(weather, USUAL | {"people": "18.950"}, watch)[1] == ()
    unread = USUAL | {"people": "20000", "temp": "18.950"}
    assert asked(weather, unread, watch)[1] == (), "the version does not read it"


def test_a_version_that_has_stored_nothing(
    weather: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so when it is loaded; two readings of a number are said all the same."""
    with caplog.at_level("INFO"):
        watch = watch_of(weather, 3, None)
    assert "Version 3 was stored without" in caplog.text
    assert watch is not None
    assert asked(weather, {"sky": "Cleer"}, watch)[1] == ()
    cells, (notice,) = asked(weather, {"temp": "18.950"}, watch)
    assert (cells[1], notice.code) == (18_950, "ambiguous_number")


def test_a_column_without_any_learned_value(weather: Dataset) -> None:
    """Any value of it is unlike what was learned."""
    watch = ValueWatch(weather, LearnedValues((ColumnRange("people", 0, 9),)))
    _, (notice,) = asked(weather, USUAL, watch)
    assert (notice.code, notice.learned) == ("out_of_range", "no value")
