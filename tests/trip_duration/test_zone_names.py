"""Zones by their names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from model_loop.errors import InvalidInputError
from trip_duration.zone_names import find_zone, suggest_zone, zone_labels
from trip_duration.zones import zones


def test_every_zone_has_a_label_of_its_own() -> None:
    """All zones of TLC's table are named, each differently, and found again by their label."""
    labels = zone_labels()
    assert set(labels) == set(zones().index)
    assert len(set(labels.values())) == len(labels) == 265
    assert all(find_zone(label) == number for number, label in labels.items())


@pytest.mark.parametrize(
    "given",
    [
        239,
        239.0,
        "239",
        " 239 ",
        "Manhattan - Upper West Side South",
        "manhattan \N{EN DASH} upper west side south",
        "Manhattan, Upper West Side South",
        "Upper West Side South",
        "UPPER WEST SIDE SOUTH (239)",
    ],
)
def test_a_zone_is_named_in_many_ways(given: object) -> None:
    """Number, label, borough and zone, or the zone alone, with any dash and case."""
    assert find_zone(given) == 239


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "TLC numbers its zones from 1 to 265"),
        (266, "from 1 to 265"),
        (1.5, "is unknown"),
        (True, "is unknown"),
        (None, "is unknown"),
        ("", "is unknown"),
        ("Corona", "is the name of 2 zones. Give the number of one of them: 56, 57"),
    ],
)
def test_what_is_no_zone(given: object, message: str) -> None:
    """The message says what there is."""
    with pytest.raises(InvalidInputError, match="Zone") as caught:
        find_zone(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("Upper West Syde South", "Similar: Manhattan"),
        ("Corona", "Give the number of one of them: 56, 57"),
        ("x" * 100_000, "Give a number, or"),
    ],
)
def test_similar_names_are_suggested(given: str, remedy: str) -> None:
    """For a slip of the pen, and for a name of several zones."""
    assert remedy in suggest_zone(given)


def test_names_need_no_pandas() -> None:
    """Forms, which Airflow reads again and again, pay for no library."""
    code = "import sys, trip_duration.zone_names; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
