"""Sources that a form may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.datasets.registry import dataset_of_variant
from model_loop.settings import get_settings, split_list
from model_loop.sources.allowed import require_allowed_source


def source_of(params: Mapping[str, Any]) -> str:
    """Return the source of a form, if callers may name it: that of the declaration always.

    Raises
    ------
    InvalidInputError
        If the operator has not allowed it.
    """
    source: str = params["source"]
    key = params.get("service")
    declared = dataset_of_variant(key).declaration if key else None
    if declared and source == str(declared.source):
        return source
    return require_allowed_source(source, listed_sources())


def listed_sources() -> list[str]:
    """Return the sources that the settings allow forms to name."""
    settings = get_settings()
    return [settings.source, settings.storage_root, *split_list(settings.allowed_sources)]
