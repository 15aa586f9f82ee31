"""Which sources a form may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.settings import get_settings, split_list
from model_loop.trips.source.allowed import require_allowed_source


def source_of(params: Mapping[str, Any]) -> str:
    """Where a form wants its months from, if callers may name that.

    Raises
    ------
    InvalidInputError
        If the operator has not allowed it.
    """
    return require_allowed_source(params["source"], listed_sources())


def listed_sources() -> list[str]:
    """What the settings allow forms to name as source."""
    settings = get_settings()
    return [settings.source, settings.storage_root, *split_list(settings.allowed_sources)]
