"""Tables of what a fitted encoder would compute, made by the encoder's own functions."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from trip_duration import geometry
from trip_duration.compiled import flat
from trip_duration.compiled.flat import DenseTables, SparseTables
from trip_duration.recipes import get_recipe
from trip_duration.training_set.encoders.columns import holidays_between
from trip_duration.training_set.encoders.dense import CODES, DenseTripEncoder
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder
from trip_duration.values import FIRST_YEAR, LAST_YEAR

_Codes = npt.NDArray[np.int64]


def dense_tables(encoder: DenseTripEncoder) -> DenseTables:
    """Tables of a fitted dense encoder."""
    recipe = get_recipe(encoder.recipe)
    pickup, dropoff = _pairs()
    facts = [values.astype(np.float64) for values in geometry.features(pickup, dropoff).values()]
    sides = np.column_stack(facts[: flat.SIDE_FACTS])
    between = np.column_stack(facts[2 * flat.SIDE_FACTS :])
    return DenseTables(
        sides=np.ascontiguousarray(sides[:: flat.ZONE_ROWS]),
        between=between,
        learned=_learned(encoder, knows_time=recipe.knows_time),
        holidays=_holidays(),
        clip=_clip(encoder.clip_distance),
        knows_time=recipe.knows_time,
        knows_distance=recipe.knows_distance,
        attributes=len(recipe.attributes),
        width=len(encoder.get_feature_names_out()),
    )


def sparse_tables(encoder: OneHotTripEncoder) -> SparseTables:
    """Tables of a fitted one-hot encoder."""
    recipe = get_recipe(encoder.recipe)
    return SparseTables(
        pairs=encoder.table_,
        first=len(encoder.pairs_),
        clip=_clip(encoder.clip_distance),
        knows_time=recipe.knows_time,
        knows_distance=recipe.knows_distance,
        attributes=len(recipe.attributes),
    )


def _clip(miles: float | None) -> float:
    return np.inf if miles is None else float(miles)


def _pairs() -> tuple[_Codes, _Codes]:
    zones = np.arange(flat.ZONE_ROWS)
    return np.repeat(zones, len(zones)), np.tile(zones, len(zones))


def _learned(encoder: DenseTripEncoder, *, knows_time: bool) -> npt.NDArray[np.float64]:
    """Means of every category, shape (CATEGORIES, 3)."""
    categories = _categories(knows_time=knows_time)
    found = np.zeros((flat.CATEGORIES, 3))
    # Each kind of category is a column of its own; shorter ones are filled up and cut off again.
    codes = np.zeros((max(map(len, categories)), len(categories)), dtype=np.int64)
    for which, kind in enumerate(categories):
        codes[: len(kind), which] = kind
    durations = encoder.durations_.transform(codes)
    paces = None if encoder.paces_ is None else encoder.paces_.transform(codes)
    first = 0
    for which, kind in enumerate(categories):
        part = slice(first, first + len(kind))
        found[part, 0] = durations[: len(kind), which]
        if paces is not None:
            found[part, 1] = paces[: len(kind), which]
            found[part, 2] = np.exp(paces[: len(kind), which])
        first = part.stop
    return found


def _categories(*, knows_time: bool) -> list[_Codes]:
    """Codes of every category of each kind, in the encoder's order and that of the tables."""
    zones, (pickup, dropoff) = np.arange(flat.ZONE_ROWS), _pairs()
    plain = [zones, zones, pickup * CODES + dropoff]
    if not knows_time:
        return plain

    def by_hour(count: int) -> _Codes:
        parts = np.arange(count)[:, np.newaxis] * CODES + np.arange(flat.HOURS)
        return parts.ravel()

    return [*plain, *map(by_hour, (flat.ZONE_ROWS, flat.ZONE_ROWS, flat.DAYS))]


@functools.cache
def _holidays() -> npt.NDArray[np.uint8]:
    days = holidays_between(FIRST_YEAR, LAST_YEAR).astype(np.int64)
    known = np.zeros(days[-1] + 1, dtype=np.uint8)
    known[days] = 1
    return known
