"""Settings of the dataset of trips, which stand among those of the loop."""

from __future__ import annotations

from typing import cast

from pydantic import Field

from model_loop.settings import Settings, get_settings
from model_loop.settings.part import Part, names


class TripPart(Part):
    """Months that models learn from, bounds of trips, and generated months.

    Those of the loop that stand here too have the defaults and texts of trips.
    """

    source: str = Field(
        default="sample",
        title="Source of the months",
        description="sample (generated trips, always labelled so), tlc (TLC's own site), "
        "a folder, or the s3:// or https:// address of a folder. Without a login: that belongs "
        "into ~/.netrc or the environment.",
    )
    variant: str = Field(
        default="green",
        validation_alias=names("variant", "service"),
        title="Variant",
        description="Variant that commands mean where none is named, and that the prediction "
        "server answers for at its root: green, yellow or fhvhv, or the key of another dataset's.",
    )

    train_months: str = Field(
        default="2024-01", title="Train months", description="Months to learn from, as 2024-01."
    )
    validation_months: str = Field(
        default="2024-02",
        title="Validation months",
        description="Months to tune on; they follow the train months.",
    )
    test_months: str = Field(
        default="2024-03",
        title="Test months",
        description="Months that tuning never sees; they follow the validation months.",
    )
    minimum_duration: float = Field(
        default=1.0,
        ge=0,
        title="Shortest trip (minutes)",
        description="Shorter trips are left out.",
    )
    maximum_duration: float = Field(
        default=60.0, gt=0, title="Longest trip (minutes)", description="Longer trips are left out."
    )
    sample_trips_per_month: int = Field(
        default=20_000,
        ge=100,
        title="Sample trips per month",
        description="Size of a generated month, when the source is `sample`.",
    )
    sample_seed: int = Field(
        default=42,
        ge=0,
        title="Sample seed",
        description="Seed of the generated months, when the source is `sample`.",
    )
    dashboard_zone_file: str = Field(
        default="",
        title="Zone file",
        description="GeoJSON of the taxi zones in degrees, each with its LocationID, for the map "
        "of the dashboard; empty for circles alone.",
    )


class TripSettings(TripPart, Settings):
    """All settings of an installation that holds this dataset."""


def get_trip_settings() -> TripSettings:
    """Return the settings of this process; see `model_loop.settings.get_settings`."""
    return cast("TripSettings", get_settings())
