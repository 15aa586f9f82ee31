"""Every knob of the package, in one typed place.

Each setting is read from the environment variable ``MODEL_LOOP_<NAME>``; its default is the
one most users want. The trigger forms take their defaults from here.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
from itertools import chain

from pydantic import AliasChoices, ValidationError

from model_loop.errors import InvalidInputError
from model_loop.settings.alerts import AlertSettings
from model_loop.settings.code import CodeSettings
from model_loop.settings.data import DataSettings
from model_loop.settings.local import LocalSettings
from model_loop.settings.monitoring import MonitoringSettings
from model_loop.settings.part import ENVIRONMENT_PREFIX, split_list
from model_loop.settings.renamed import refuse_former_names
from model_loop.settings.runner import RunnerSettings
from model_loop.settings.serving import ServingSettings
from model_loop.settings.training import TrainingSettings

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "all_settings", "get_settings", "split_list"]


# The last one's fields come first.
class Settings(
    AlertSettings,
    CodeSettings,
    LocalSettings,
    MonitoringSettings,
    RunnerSettings,
    ServingSettings,
    TrainingSettings,
    DataSettings,
):
    """The package's settings."""


#: Group of entry points that name the settings of datasets in Python: classes of `Part`.
ENTRY_POINTS = "model_loop.settings"


@functools.cache
def all_settings() -> type[Settings]:
    """Return the class of all settings: those of the loop, and those of installed datasets."""
    points = sorted(
        importlib.metadata.entry_points(group=ENTRY_POINTS),
        key=lambda entry_point: entry_point.name,
    )
    # The last one's fields come first.
    return type("AllSettings", (*(point.load() for point in points), Settings), {})


def _variables() -> set[str]:
    """Return the names of all settings, former ones among them, without the prefix."""
    fields = all_settings().model_fields
    aliases = (field.validation_alias for field in fields.values())
    former = (one.choices for one in aliases if isinstance(one, AliasChoices))
    return {
        *fields,
        *(str(name).removeprefix(ENVIRONMENT_PREFIX).lower() for name in chain(*former)),
    }


@functools.cache
def get_settings() -> Settings:
    """Return the settings of this process, read once from the environment.

    Raises
    ------
    InvalidInputError
        If a variable holds what its setting cannot be, or has a name of before version 0.2.
    """
    refuse_former_names(os.environ, _variables())
    try:
        return all_settings()()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise InvalidInputError(
            f"{ENVIRONMENT_PREFIX}{name.upper()} = {first.get('input')!r}",
            f"is not a valid value of this setting ({first['msg']})",
            "Correct the environment variable; docs/reference.md lists all of them.",
        ) from error
