"""The assets that DAGs publish and wait for, each declared once for every dataset."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from airflow.sdk import Asset

from model_loop.datasets.dataset import Dataset, StoredNames


@dataclass(frozen=True)
class DatasetAssets:
    """The assets of a dataset.

    Parameters
    ----------
    training_set
        The newest training set.
    partitions
        Partitions that keep their contract; each is a partition of the asset: ``flights|2024-01``.
    published
        Partitions that a source has published, anew or for the first time; fetched by nobody yet.
        Its state store holds what was announced, and what was trained on.
    drift
        The answering model has become worse, or its requests differ from its training data.
    """

    training_set: Asset
    partitions: Asset
    published: Asset
    drift: Asset


def assets_of(dataset: Dataset) -> DatasetAssets:
    """Return the assets of a dataset."""
    return _assets(dataset.names, dataset.rows[0])


@functools.lru_cache(maxsize=128)
def _assets(names: StoredNames, rows: str) -> DatasetAssets:
    def asset(name: str, room: str, description: str) -> Asset:
        return Asset(
            name=f"{names.asset_prefix}{name}",
            uri=f"{names.address}/{room}/{name}",
            group=names.group,
            extra={"what": description},
        )

    many = names.partitions
    return DatasetAssets(
        asset("training_set", "products", f"Encoded {rows}, ready to train on"),
        asset(many, "products", f"Published {many} that keep their contract"),
        asset(f"published_{many}", "sources", f"{many.capitalize()} that a source has published"),
        asset("drift", "monitoring", "Reasons to train again"),
    )
