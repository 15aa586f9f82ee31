"""The assets that DAGs publish and wait for, each declared once."""

from __future__ import annotations

from airflow.sdk import Asset

TRAINING_SET = Asset(
    name="training_set",
    uri="trip-duration://products/training_set",
    group="trip-duration",
    extra={"what": "Encoded trips, ready to train on"},
)
