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

#: A month that its source has published, anew or for the first time; fetched by nobody yet. Its
#: state store holds what was announced, and what was trained on.
PUBLISHED_MONTHS = Asset(
    name="published_months",
    uri="trip-duration://sources/published_months",
    group="trip-duration",
    extra={"what": "Months that a source has published"},
)

#: The answering model has become worse, or its requests differ from its training data.
DRIFT = Asset(
    name="drift",
    uri="trip-duration://monitoring/drift",
    group="trip-duration",
    extra={"what": "Reasons to train again"},
)
