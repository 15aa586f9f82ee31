"""Fields that name partitions: months, weeks or days."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset


def partitions_field(dataset: Dataset, title: str, description: str, section: str) -> Param:
    """Return a field for a list of partitions, which may be empty."""
    return Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": dataset.partition_pattern},
        title=title,
        description=description,
        section=section,
    )
