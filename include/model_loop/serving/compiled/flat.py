"""Models as flat arrays: what an encoder would compute as tables, and trees as nodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY
from model_loop.scoring.rows import PLACES
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    LAST_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
)

#: A node of a tree. A right child follows the left one. A feature f is written as ~f where a
#: missing value goes to the left. A leaf is its own left child, with a threshold that nothing
#: exceeds.
NODE = np.dtype([("threshold", "<f4"), ("feature", "<i4"), ("left", "<i4")])

#: Trees that are walked side by side.
SIDE_BY_SIDE = 16
#: Rows that are led through the same trees before the next trees are looked at.
ROWS_TOGETHER = 64

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


class Trees(NamedTuple):
    """An ensemble of regression trees: ``base + scale * sum of the leaves``.

    Parameters
    ----------
    nodes, values
        Nodes and values of all trees; values count at the leaves.
    roots
        Number of each tree's first node.
    depths
        Depth of the deepest of each SIDE_BY_SIDE trees.
    base, scale
        Start of the sum, and factor of the leaves.
    single
        Whether leaves are summed in single precision, one after another from the base, as XGBoost
        does.
    absent
        Value of a column of a sparse matrix without an entry.
    """

    nodes: npt.NDArray[np.void]
    values: npt.NDArray[np.float64]
    roots: npt.NDArray[np.int32]
    depths: npt.NDArray[np.int32]
    base: float
    scale: float
    single: bool
    absent: float


class Linear(NamedTuple):
    """A linear model: weights of shape (columns,), and what they are added to."""

    weights: npt.NDArray[np.float64]
    base: float
