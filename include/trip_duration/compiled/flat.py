"""Tables of the columns that the encoders of trips would compute."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY
from trip_duration.columns import TRIP_COLUMNS
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    LAST_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
)

PLACES = TRIP_COLUMNS.places

#: Zone numbers that have a row of their own in the tables; row 0 stands for all others.
ZONE_ROWS = LAST_ZONE + 1

HOURS, DAYS = HOURS_PER_DAY, DAYS_PER_WEEK
#: Starts of the means of each kind of category: zones, pairs, hours of a zone and of a weekday.
DROPOFFS = ZONE_ROWS
PAIRS = DROPOFFS + ZONE_ROWS
PICKUP_HOURS = PAIRS + ZONE_ROWS * ZONE_ROWS
DROPOFF_HOURS = PICKUP_HOURS + ZONE_ROWS * HOURS
WEEKDAY_HOURS = DROPOFF_HOURS + ZONE_ROWS * HOURS
CATEGORIES = WEEKDAY_HOURS + DAYS * HOURS

SIDE_FACTS, BETWEEN_FACTS = 5, 3

PICKUP, DROPOFF = PLACES[PICKUP_ZONE], PLACES[DROPOFF_ZONE]
TIME, MILES, ATTRIBUTES = PLACES[PICKUP_TIME], PLACES[DISTANCE], PLACES[PASSENGERS]


class DenseTables(NamedTuple):
    """Tables of the columns of a `DenseTripEncoder`, by zone, pair and category.

    Parameters
    ----------
    sides
        Facts of a zone, shape (ZONE_ROWS, SIDE_FACTS).
    between
        Facts of a pair of zones, shape (ZONE_ROWS², BETWEEN_FACTS); the first is the distance of
        the centroids.
    learned
        Mean duration, mean logarithm of the pace and that pace, shape (CATEGORIES, 3).
    holidays
        Whether a day is one, by its number since 1970.
    clip
        Longest distance in miles.
    knows_time, knows_distance, attributes
        Content of the recipe; the last is the number of attributes.
    width
        Number of columns.
    """

    sides: npt.NDArray[np.float64]
    between: npt.NDArray[np.float64]
    learned: npt.NDArray[np.float64]
    holidays: npt.NDArray[np.uint8]
    clip: float
    knows_time: bool
    knows_distance: bool
    attributes: int
    width: int


class SparseTables(NamedTuple):
    """Tables of the columns of a `OneHotTripEncoder`.

    Parameters
    ----------
    pairs
        Column of each pair of zones, -1 for a pair that was not seen; square.
    first
        Number of these columns.
    clip, knows_time, knows_distance, attributes
        See `DenseTables`.
    """

    pairs: npt.NDArray[np.int32]
    first: int
    clip: float
    knows_time: bool
    knows_distance: bool
    attributes: int
