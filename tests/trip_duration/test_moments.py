"""The moment from which a column is known decides what a model may be asked with."""

from __future__ import annotations

import pytest

from trip_duration.columns import known_too_late, moment_of
from trip_duration.recipes import RECIPES
from trip_duration.services import DISTANCE, DROPOFF_TIME, PICKUP_ZONE, SERVICES


@pytest.mark.parametrize(
    ("recipe", "moment"), [("booking", "booked"), ("rich", "ended"), ("pair_distance", "ended")]
)
def test_a_recipe_is_asked_when_its_last_column_is_known(recipe: str, moment: str) -> None:
    """The metered distance is known only at the end of a trip."""
    assert RECIPES[recipe].moment == moment


def test_the_metered_distance_is_too_late_for_a_booking() -> None:
    """A guard names what is not known yet, and what holds the outcome at any moment."""
    assert known_too_late([PICKUP_ZONE, DISTANCE], "booked") == [DISTANCE]
    assert known_too_late([PICKUP_ZONE, DISTANCE], "ended") == []
    assert known_too_late([PICKUP_ZONE, DROPOFF_TIME], "ended") == [DROPOFF_TIME]


def test_an_undeclared_column_is_known_last() -> None:
    """Nothing says that it is known earlier."""
    assert moment_of([PICKUP_ZONE, "temperature"]) == "ended"
    assert moment_of(["temperature"]) == "ended"
    assert known_too_late(["temperature"], "booked") == ["temperature"]
    assert known_too_late(["temperature"], "ended") == []


def test_what_asks_for_nothing_can_be_asked_at_once() -> None:
    """No column has to be waited for."""
    assert moment_of([]) == moment_of([PICKUP_ZONE]) == "booked"
    assert known_too_late([], "booked") == []


def test_all_that_is_too_late_is_named() -> None:
    """Sorted, whatever makes it so."""
    late = known_too_late(["tips", DISTANCE, PICKUP_ZONE, "air"], "booked")
    assert late == ["air", "tips", DISTANCE]


def test_every_column_of_a_recipe_is_published_by_a_service() -> None:
    """A recipe asks for nothing that no service has."""
    published = {name for service in SERVICES.values() for name in service.columns}
    assert {name for recipe in RECIPES.values() for name in recipe.columns} <= published
