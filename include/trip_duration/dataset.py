"""The dataset of trips that TLC publishes: how long a trip will take."""

from __future__ import annotations

from types import MappingProxyType

from model_loop.datasets.columns import Scale
from model_loop.datasets.dataset import (
    Dataset,
    Extensions,
    StoredNames,
    Target,
    Variant,
    VariantField,
)
from trip_duration.columns import TRIP_COLUMNS, TRIP_READER, UNIT
from trip_duration.recipes import DEFAULT_RECIPE, RECIPES
from trip_duration.services import DURATION, MOMENTS, OUTCOME_COLUMNS, PICKUP_TIME, SERVICES
from trip_duration.values import TIME_ZONE

TRIPS = Dataset(
    name="trips",
    title="NYC taxi trips",
    target=Target(
        DURATION,
        UNIT,
        "duration",
        former="minutes",
        above=0.0,
        highest=1_440.0,
        scale=Scale(2.0, 60.0),
    ),
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
    logged_in_columns=True,
    notes=(
        "Zones are TLC's, 1 to 265 (264 is unknown, 265 is outside of the city), by number or by "
        "name; one that the model has not learned from counts as the average. Times without an "
        "offset are those of New York's clocks, with one they are converted. Distances are in "
        "miles, 0 or more. `passenger_count`, `vendor_id` and `trip_type` may be left out; a time "
        "that is left out is now. There is one champion for rides that are `booked`, which does "
        "without the metered distance, and one for trips that have `ended`; a request names the "
        "`moment`, or is answered by the earliest champion that has all the values it needs. Where "
        "that of ended trips has to answer without a distance, the typical one between the zones "
        "is taken. The answer tells under `assumed` what was taken for a value that was left out. "
        "Each value may come under TLC's own name instead of ours, and a number as text. Other "
        "fields of TLC, such as `fare_amount`, are not read; an unknown name is refused."
    ),
    # January is published by the first of April.
    published_after=2,
    extensions=Extensions(
        slices="trip_duration.slices:slices_of",
        outcome_bands="trip_duration.slices:duration_bands",
        baselines="trip_duration.baselines:best_pair_rule",
        error_tables="trip_duration.slices:errors_by_zone",
        computed="trip_duration.typical:compute",
        compiled="trip_duration.compiled:FORMS",
        judged="trip_duration.judged:JudgedDurations.of",
        training_set_options="trip_duration.training_set.request:TrainingSetRequest",
        form_rules="trip_duration.cleaning_rules:CleaningRules",
        as_trained="trip_duration.training_set.encoders.columns:as_trained",
        preparation="trip_duration.training_set.preparation:MonthPreparation",
        partition_log="trip_duration.tracked_months:log_partition",
        data_tests="trip_duration.training_set.data_tests:DATA_TESTS",
        judged_rows="trip_duration.judging:judged_rows",
        published_labels="trip_duration.label_matching:find_labels",
        published_rows="trip_duration.monitored_months:rows_of",
        published="trip_duration.source.published:find_version",
        newest_known="trip_duration.source.published:newest_configured",
        retrained_on="trip_duration.source.published:retrained_on",
        products="trip_duration.monitored_months:products",
        choices="trip_duration.zone_names:zone_choices",
        summary="trip_duration.answers:in_words",
        pages="trip_duration.dashboard:TripPages",
    ),
    variant_field=VariantField("service", "Service", "Whose trips: green, yellow or fhvhv."),
    # Names since the first version.
    stored_names=StoredNames(
        "", "", "trip-duration:/", "trip-duration", "months", "least_trips", "trip-duration"
    ),
    named_sources=("sample", "tlc"),
)
