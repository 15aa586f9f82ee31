"""The form and the step of the DAG `prediction`: a few trips, for a person or over REST."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from trip_duration.errors import InvalidInputError
from trip_duration.settings import get_settings
from trip_duration.trips.services import SERVICES
from trip_duration.trips.zone_names import zone_labels

if TYPE_CHECKING:
    from trip_duration.scoring.questions import Answer
    from trip_duration.tracking.promotion import Promoter

_TRIP = "Trip"
_MODEL = "Model"
_LIST = "Several trips"

#: The form's fields that make one trip.
_FIELDS = ("pickup_zone", "dropoff_zone", "trip_distance", "pickup_at", "passenger_count")
#: The first of the course project's two default inputs.
_FROM, _TO = 239, 236

logger = logging.getLogger(__name__)


def prediction_form() -> dict[str, Param]:
    """Fields of the DAG that predicts a few trips."""
    return {
        "pickup_zone": _zone(_FROM, "From", "Where the trip begins: borough and taxi zone."),
        "dropoff_zone": _zone(_TO, "To", "Where it ends."),
        "trip_distance": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Distance (miles)",
            description="Left empty, the typical distance between the two zones.",
            section=_TRIP,
        ),
        "pickup_at": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="When",
            description="When the trip begins. Left empty, now.",
            section=_TRIP,
        ),
        "passenger_count": Param(
            1,
            type=["null", "integer"],
            minimum=1,
            maximum=9,
            title="Passengers",
            description="How many; may be left empty.",
            section=_TRIP,
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
            section=_LIST,
        ),
    }


def version_form() -> dict[str, Param]:
    """Fields that say which model predicts."""
    return {
        "service": Param(
            get_settings().service,
            type="string",
            enum=list(SERVICES),
            values_display={name: service.title for name, service in SERVICES.items()},
            title="Service",
            description="Whose model predicts.",
            section=_MODEL,
        ),
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="Number in the registry. Left empty, the champion.",
            section=_MODEL,
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
        section=_TRIP,
    )


def predict(params: Mapping[str, Any]) -> dict[str, Any]:
    """Predict the trips of the list, or the one of the form."""
    questions = _questions(params)
    from dataclasses import asdict

    from trip_duration.scoring.predictor import choose_version, load_predictor
    from trip_duration.scoring.questions import answer

    promoter = promoter_of(params["service"])
    predictor = load_predictor(promoter, choose_version(promoter, params["version"]))
    answers = answer(predictor, questions)
    summaries = [_summary(one) for one in answers]
    for summary in summaries:
        logger.info("%s", summary)
    return {
        "model": predictor.version.name,
        "model_version": predictor.version.number,
        # Of a list, the log has them: the result stays small enough for REST.
        **({"summary": summaries[0]} if params["inputs"] is None else {}),
        "predictions": [asdict(one) for one in answers],
    }


def _questions(params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    inputs, most = params["inputs"], get_settings().prediction_inputs
    if inputs is None:
        return [{name: params[name] for name in _FIELDS}]
    if len(inputs) > most:
        raise InvalidInputError(
            f"The list of {len(inputs)} trips",
            f"is longer than the {most} that one run takes",
            "Write them into a CSV or Parquet file and run the DAG batch_scoring, or send several "
            "lists.",
        )
    return list(inputs)


def _summary(found: Answer) -> str:
    names, distance = zone_labels(), ""
    if found.trip_distance is not None:
        kind = ", the typical distance" if found.typical_distance else ""
        distance = f" ({found.trip_distance:g} miles{kind})"
    time = f" on {found.pickup_at[:16].replace('T', ' at ')}" if found.pickup_at else ""
    return (
        f"About {found.minutes:.1f} minutes from {names[found.pickup_zone]} to "
        f"{names[found.dropoff_zone]}{distance}{time}, says version {found.model_version}."
    )


def promoter_of(service: str) -> Promoter:
    """The versions of a service."""
    from trip_duration.tracking.promotion import Promoter
    from trip_duration.tracking.runs import Tracker

    settings = get_settings()
    return Promoter(Tracker(settings.tracking_uri, f"{settings.experiment}-promotion"), service)
