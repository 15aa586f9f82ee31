"""Recipes: what a model may know of a trip."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from model_loop.datasets.dataset import Recipe
from model_loop.errors import look_up
from trip_duration.columns import ATTRIBUTES, moment_of
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
    WHEN,
)


class TripRecipe(Recipe):
    """Columns of a trip that a model may use."""

    @property
    def knows_time(self) -> bool:
        """True if the model may use the time of the pick-up."""
        return PICKUP_TIME in self.columns

    @property
    def knows_distance(self) -> bool:
        """True if the model may use the metered distance."""
        return DISTANCE in self.columns

    @property
    def attributes(self) -> tuple[str, ...]:
        """The further small whole numbers that are known at the start."""
        return tuple(c for c in ATTRIBUTES if c in self.columns)


#: The recipe where nobody names another: a caller can fill it at the moment of asking.
DEFAULT_RECIPE = "booking"

_BOOKING = (PICKUP_TIME, PICKUP_ZONE, DROPOFF_ZONE, PASSENGERS, VENDOR, TRIP_TYPE)


def _recipe(name: str, title: str, columns: tuple[str, ...]) -> TripRecipe:
    moment = moment_of(columns)
    return TripRecipe(name, title, columns, moment, WHEN[moment])


RECIPES: Mapping[str, TripRecipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            _recipe(
                "pair_distance",
                "pick-up zone, drop-off zone and metered distance (the course's inputs)",
                (PICKUP_ZONE, DROPOFF_ZONE, DISTANCE),
            ),
            _recipe(
                "rich",
                "everything known before a trip begins, and the metered distance",
                (*_BOOKING, DISTANCE),
            ),
            _recipe(
                "booking",
                "everything known before a trip begins, without the metered distance",
                _BOOKING,
            ),
        )
    }
)


def get_recipe(name: str) -> TripRecipe:
    """Find a recipe by its name.

    Raises
    ------
    InvalidInputError
        If there is no such recipe.
    """
    return look_up("Recipe", name, RECIPES)
