"""The assets that DAGs publish and wait for, each declared once."""

from __future__ import annotations

from airflow.sdk import Asset

TRAINING_SET = Asset(
    name="training_set",
    uri="trip-duration://products/training_set",
    group="trip-duration",
    extra={"what": "Encoded trips, ready to train on"},
)


def months_of(service: str) -> Asset:
    """The months of a service that were checked; each month is a partition: ``green|2024-01``."""
    return Asset(
        name=f"{service}_months",
        uri=f"trip-duration://products/months/{service}",
        group="trip-duration",
        extra={"what": "Published months that keep their contract"},
    )
