"""Fields that a form does not show, because there is only one value that they could have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.datasets.dataset import Dataset
from model_loop.settings import get_settings


def default_variant(dataset: Dataset) -> str:
    """Return the key of the variant where nobody names one: that of the settings, or the first."""
    named = get_settings().variant
    return named if named in dataset.variants else next(iter(dataset.variants))


def variant_conf(dataset: Dataset, key: str) -> dict[str, str]:
    """Return the field of a form that names a variant; nothing where there is one variant."""
    return {dataset.variant_field.name: key} if len(dataset.variants) > 1 else {}


def completed_form(dataset: Dataset, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a form with the variant and the recipe, also where it shows neither."""
    key = params.get(dataset.variant_field.name) or default_variant(dataset)
    return {"recipe": dataset.default_recipe, **params, "service": key}
