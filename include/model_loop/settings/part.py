"""Base class of all parts of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, SettingsConfigDict

ENVIRONMENT_PREFIX = "MODEL_LOOP_"


def default_state() -> Path:
    """The state folder below the folder that one is in."""
    return Path.cwd() / ".state"


def split_list(text: str) -> list[str]:
    """Split words that are separated by commas; blanks around them and empty ones go."""
    return [word.strip() for word in text.split(",") if word.strip()]


def names(name: str, *former: str) -> AliasChoices:
    """Return the environment variables of a setting that has had other names: the first counts."""
    return AliasChoices(*(f"{ENVIRONMENT_PREFIX}{it.upper()}" for it in (name, *former)))


class Part(BaseSettings):
    """Some settings, each read from an environment variable."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, populate_by_name=True, extra="ignore"
    )
