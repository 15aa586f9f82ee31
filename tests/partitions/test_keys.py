"""Keys of partitions: by month, ISO week and day, on the clocks of the table's place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declaration_types import Part
from model_loop.datasets.declared import dataset_of
from model_loop.errors import InvalidInputError
from model_loop.partitions.keys import (
    bounds_of,
    check_partition,
    is_complete,
    key_at,
    keys_of,
    next_key,
    parse_keys,
    previous_key,
)
from model_loop.tables.table import read_table

PARTS: tuple[Part, ...] = ("month", "week", "day")
#: On the clocks of a place, without a zone.
TIMES = st.datetimes(*map(dt.datetime.fromisoformat, ("1990-01-01", "2060-01-01")))


def keys(*times: str, part: Part) -> list[Any]:
    """Return the keys of times."""
    return list(keys_of(np.array(times, dtype="datetime64[us]"), part))


def test_keys_by_example() -> None:
    """Weeks are ISO's: the last days of a year may be of the first week of the next."""
    times = ("2024-01-31T23:59:59", "2024-12-30T00:00", "2021-01-03T12:00")
    assert keys(*times, part="month") == ["2024-01", "2024-12", "2021-01"]
    assert keys(*times, part="week") == ["2024-W05", "2025-W01", "2020-W53"]
    assert keys(*times, part="day") == ["2024-01-31", "2024-12-30", "2021-01-03"]
    assert keys(*times, part="whole") == ["whole"] * 3


@given(TIMES, st.sampled_from(PARTS))
def test_each_time_is_within_its_partition(time: dt.datetime, part: Part) -> None:
    """The bounds of a key hold every time that has it, and the next partition begins at its end."""
    (key,) = keys(time.isoformat(), part=part)
    first, after = bounds_of(key, part)
    assert first <= time < after
    assert keys(after.isoformat(), part=part) != [key]
    assert keys(first.isoformat(), part=part) == [key]


@pytest.mark.parametrize(
    ("key", "part"),
    [("2024-13", "month"), ("2023-W53", "week"), ("2024-02-30", "day"), ("2024-01", "day")],
)
def test_what_is_no_key_is_refused(key: str, part: Part) -> None:
    """A key of another kind, or of no day, is refused with an example."""
    with pytest.raises(InvalidInputError, match=f"is no {part}"):
        bounds_of(key, part)


def test_a_table_is_cut_on_the_clocks_of_its_place(tmp_path: Path) -> None:
    """The first hours of a month in UTC are the last of the former month in New York."""
    lines = ["at,y", "2024-02-01T03:00:00Z,1", "2024-02-01T05:00:00Z,2", "2024-03-31T23:30Z,3"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    text = 'name = "t"\ntarget = "y"\nsource = "t.csv"\n[time]\ncolumn = "at"\n'
    cut = []
    for zone in ("America/New_York", "UTC"):
        declared = parse_declaration(f'{text}time_zone = "{zone}"\n', "t.toml")
        frame = read_table(declared, [str(tmp_path / "t.csv")]).frame
        cut.append(keys_of(frame["at"], "month").tolist())
    assert cut == [["2024-01", "2024-02", "2024-03"], ["2024-02", "2024-02", "2024-03"]]


@given(TIMES, st.sampled_from(PARTS))
def test_partitions_follow_each_other(time: dt.datetime, part: Part) -> None:
    """The next one begins where one ends, and its previous one is that; text has their order."""
    (key,) = keys(time.isoformat(), part=part)
    after = next_key(key, part)
    assert bounds_of(after, part)[0] == bounds_of(key, part)[1]
    assert previous_key(after, part) == key < after


def test_lists_and_ranges_are_read() -> None:
    """Sorted, each once, blanks and empty fields aside."""
    assert parse_keys("2024-01, 2023-11..2024-01,", "month") == ("2023-11", "2023-12", "2024-01")
    assert parse_keys(["2024-W52 .. 2025-W02"], "week") == ("2024-W52", "2025-W01", "2025-W02")
    assert parse_keys(None, "day") == parse_keys("", "day") == ()
    with pytest.raises(InvalidInputError, match="runs backwards"):
        parse_keys("2024-02..2024-01", "month")
    with pytest.raises(InvalidInputError, match="is no month"):
        parse_keys("9999-12", "month")


@pytest.mark.parametrize(
    ("source", "key", "taken"),
    [
        ("a-{{partition}}.csv", "2024-W05", True),
        ("a-{{partition}}.csv", "whole", False),
        ("a-*.csv", "whole", True),
        ("a-*.csv", "2024-01", False),
    ],
)
def test_a_whole_table_is_a_partition_where_it_comes_as_one(
    source: str, key: str, *, taken: bool
) -> None:
    """Also of a table that is cut by its time."""
    dataset = dataset_of(parse_declaration(WEEKS.replace("SOURCE", source.format()), "a.toml"))
    if taken:
        assert check_partition(key, dataset) == key
    else:
        with pytest.raises(InvalidInputError, match="is no week"):
            check_partition(key, dataset)


def test_a_partition_is_complete_when_its_true_values_have_come() -> None:
    """A day after Sunday's midnight in Paris."""
    dataset = dataset_of(parse_declaration(WEEKS.replace("SOURCE", "a.csv"), "a.toml"))
    end = dt.datetime(2024, 2, 5, 23, tzinfo=dt.UTC)
    assert is_complete("2024-W05", dataset, end)
    assert not is_complete("2024-W05", dataset, end - dt.timedelta(seconds=1))
    assert key_at(end - dt.timedelta(days=1), dataset) == "2024-W06"
    assert key_at(end - dt.timedelta(days=1, seconds=1), dataset) == "2024-W05"


WEEKS = """
name = "a"
source = "SOURCE"
target = "y"
partition = "week"
labels_after = "1 day"
[time]
column = "at"
time_zone = "Europe/Paris"
[columns.at]
type = "time"
[columns.y]
type = "number"
"""
