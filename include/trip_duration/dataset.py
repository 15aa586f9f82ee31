"""The dataset of trips that TLC publishes: how long a trip will take."""

from __future__ import annotations

from types import MappingProxyType

from model_loop.datasets.dataset import Dataset, Extensions, Target, Variant
from trip_duration.columns import TRIP_COLUMNS, TRIP_READER, UNIT
from trip_duration.recipes import DEFAULT_RECIPE, RECIPES
from trip_duration.services import DURATION, MOMENTS, OUTCOME_COLUMNS, PICKUP_TIME, SERVICES
from trip_duration.values import TIME_ZONE

TRIPS = Dataset(
    name="trips",
    title="NYC taxi trips",
    target=Target(DURATION, UNIT, "duration"),
    columns=TRIP_COLUMNS,
    moments=MOMENTS,
    recipes=RECIPES,
    default_recipe=DEFAULT_RECIPE,
    variants=MappingProxyType(
        {
            # The names of models in registries since the first version.
            name: Variant(name, service.title, f"trip_duration_{name}")
            for name, service in SERVICES.items()
        }
    ),
    reader=TRIP_READER,
    outcomes=OUTCOME_COLUMNS,
    time=PICKUP_TIME,
    time_zone=TIME_ZONE,
    partition="month",
    rows=("trips", "trip"),
    extensions=Extensions(
        slices="trip_duration.slices:slices_of",
        outcome_bands="trip_duration.slices:duration_bands",
        baselines="trip_duration.baselines:best_pair_rule",
        error_tables="trip_duration.slices:errors_by_zone",
    ),
)
