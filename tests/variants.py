"""Variants of the dataset of trips that tests make up, so that each has a registered model."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

from model_loop.datasets.dataset import Variant
from model_loop.datasets.registry import use_dataset
from trip_duration.dataset import TRIPS


def made_up(key: str) -> str:
    """Let this process know a variant of trips; return its key."""
    variant = Variant(key, key, f"trip_duration_{key}")
    use_dataset(
        dataclasses.replace(TRIPS, name=f"trips {key}", variants=MappingProxyType({key: variant}))
    )
    return key
