"""Recipes (what a model may know of a trip) and encodings (how it is told)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from model_loop.errors import look_up
from model_loop.trips.columns import ATTRIBUTES, moment_of
from model_loop.trips.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
    WHEN,
    Moment,
)

Encoding = Literal["one_hot", "native"]
#: `one_hot` is the course's matrix, exactly; `native` is what suits each model family.
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

Layout = Literal["sparse", "dense"]
"""The form of a matrix: one-hot columns (sparse) or a few numbers per trip (dense)."""


@dataclass(frozen=True)
class Recipe:
    """Columns of a trip that a model may use.

    Parameters
    ----------
    name
        Name in the forms and on the command line.
    title
        Title for people.
    columns
        The raw columns that the model takes, in the order of its signature.
    """

    name: str
    title: str
    columns: tuple[str, ...]

    @property
    def moment(self) -> Moment:
        """The earliest moment at which a caller can fill all of its columns."""
        return moment_of(self.columns)

    @property
    def asked(self) -> str:
        """The moment in words: ``asked when a ride is booked``."""
        return f"asked {WHEN[self.moment]}"

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

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                "pair_distance",
                "pick-up zone, drop-off zone and metered distance (the course's inputs)",
                (PICKUP_ZONE, DROPOFF_ZONE, DISTANCE),
            ),
            Recipe(
                "rich",
                "everything known before a trip begins, and the metered distance",
                (*_BOOKING, DISTANCE),
            ),
            Recipe(
                "booking",
                "everything known before a trip begins, without the metered distance",
                _BOOKING,
            ),
        )
    }
)


def get_recipe(name: str) -> Recipe:
    """Find a recipe by its name.

    Raises
    ------
    InvalidInputError
        If there is no such recipe.
    """
    return look_up("Recipe", name, RECIPES)


def recipe_label(name: str) -> str:
    """Return the words by which people are told a recipe; a model from elsewhere may have another.

    Examples
    --------
    >>> recipe_label("booking")
    'recipe booking, asked when a ride is booked'
    """
    recipe = RECIPES.get(name)
    return f"recipe {name}, {recipe.asked}" if recipe else f"recipe {name}"
