"""The form of the DAG that predicts a few trips."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.fields import (
    ANY_MOMENT,
    Form,
    Section,
    choice_field,
    service_field,
    version_field,
)
from model_loop.trips.services import MOMENTS
from model_loop.trips.zone_names import zone_labels

#: The first of the course project's two default inputs.
_FROM, _TO = 239, 236


def prediction_form() -> Form:
    """Fields of the DAG that predicts a few trips."""
    return {
        "pickup_zone": _zone(_FROM, "From", "Where the trip begins: borough and taxi zone."),
        "dropoff_zone": _zone(_TO, "To", "Where it ends."),
        "trip_distance": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Distance (miles)",
            description="Metered miles. Left empty, a champion answers that does without; a "
            "version that is named takes the typical distance between the two zones.",
            section=Section.TRIP,
        ),
        "pickup_at": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="When",
            description="When the trip begins. Left empty, now.",
            section=Section.TRIP,
        ),
        "passenger_count": Param(
            1,
            type=["null", "integer"],
            minimum=1,
            maximum=9,
            title="Passengers",
            description="How many; may be left empty.",
            section=Section.TRIP,
        ),
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


def version_form() -> Form:
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


def _zone(default: int, title: str, description: str) -> Param:
    labels = sorted(zone_labels().items(), key=lambda zone: zone[1])
    return Param(
        default,
        type="integer",
        enum=[number for number, _ in labels],
        values_display={str(number): label for number, label in labels},
        title=title,
        description=description,
        section=Section.TRIP,
    )
