"""The assets that DAGs publish and wait for, each declared once."""

from __future__ import annotations

from airflow.sdk import Asset

TRAINING_SET = Asset(
    name="training_set",
    uri="trip-duration://products/training_set",
    group="trip-duration",
    extra={"what": "Encoded trips, ready to train on"},
)

#: Every month of every service is a partition: ``green|2024-01``.
MONTHS = Asset(
    name="months",
    uri="trip-duration://products/months",
    group="trip-duration",
    extra={"what": "Published months that keep their contract"},
)
