"""Every knob of the package, in one typed place.

Each setting is read from the environment variable ``TRIP_DURATION_<NAME>``; its default is the
one most users want. The trigger forms take their defaults from here.
"""

from __future__ import annotations

import functools

from pydantic import ValidationError

from trip_duration.errors import InvalidInputError
from trip_duration.settings.alerts import AlertSettings
from trip_duration.settings.data import DataSettings
from trip_duration.settings.local import LocalSettings
from trip_duration.settings.monitoring import MonitoringSettings
from trip_duration.settings.part import ENVIRONMENT_PREFIX, split_list
from trip_duration.settings.serving import ServingSettings
from trip_duration.settings.training import TrainingSettings

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "get_settings", "split_list"]


# The last one's fields come first.
class Settings(
    AlertSettings,
    LocalSettings,
    MonitoringSettings,
    ServingSettings,
    TrainingSettings,
    DataSettings,
):
    """The package's settings."""


@functools.cache
def get_settings() -> Settings:
    """Return the settings of this process, read once from the environment.

    Raises
    ------
    InvalidInputError
        If a variable holds what its setting cannot be.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise InvalidInputError(
            f"{ENVIRONMENT_PREFIX}{name.upper()} = {first.get('input')!r}",
            f"is no value of this setting ({first['msg']})",
            "Correct the environment variable; docs/reference.md lists all of them.",
        ) from error
