"""The form of the DAG that predicts a few trips."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from model_loop.datasets.columns import Column
from model_loop.orchestration.forms.fields import (
    ANY_MOMENT,
    FormFields,
    Section,
    choice_field,
    service_field,
    version_field,
)
from trip_duration.columns import TRIP_COLUMNS, TRIP_READER
from trip_duration.services import MOMENTS
from trip_duration.zone_names import zone_labels


def prediction_form() -> FormFields:
    """Fields of the DAG that predicts a few trips: one for each column, or a list."""
    return {
        **{column.field: _field(column) for column in TRIP_COLUMNS},
        **version_form(),
        "inputs": Param(
            None,
            type=["null", "array"],
            items={"type": "object"},
            minItems=1,
            title="Several trips",
            description="In place of the fields above, a list for programs: "
            '[{"PULocationID": 239, "DOLocationID": 236, "trip_distance": 1.98}, '
            '{"PULocationID": 170, "DOLocationID": 65, "trip_distance": 6.54}].',
            section=Section.LIST,
        ),
    }


def version_form() -> FormFields:
    """Fields that say which model predicts."""
    return {
        "service": service_field(Section.MODEL),
        "version": version_field(Section.MODEL, "the champion"),
        "moment": choice_field(
            ANY_MOMENT,
            {ANY_MOMENT: "the earliest that has what it needs", **{one: one for one in MOMENTS}},
            "Moment",
            "Which champion answers: the one for rides that are booked, or the one for trips that "
            "have ended, which knows the metered distance. A version that is named goes first.",
            section=Section.MODEL,
        ),
    }


def _field(column: Column) -> Param:
    """Return the field of a column; empty where a value is assumed, or may be unknown."""
    schema: dict[str, Any] = {
        "title": column.title,
        "description": column.description,
        "section": Section.TRIP,
    }
    if column.name in TRIP_READER.codes:
        labels = sorted(zone_labels().items(), key=lambda zone: zone[1])
        return Param(
            column.example,
            type="integer",
            enum=[number for number, _ in labels],
            values_display={str(number): label for number, label in labels},
            **schema,
        )
    if column.kind == "time":
        return Param(None, type=["null", "string"], format="date-time", **schema)
    default = None if column.default else column.example
    schema |= {"minimum": int(column.lowest), "maximum": int(column.highest)}
    return Param(default, type=["null", "number"], **schema)
