"""The step of the DAG `prediction`: a few trips, for a person or over REST."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model_loop.errors import InvalidInputError
from model_loop.orchestration.loading import load
from model_loop.orchestration.promotion import moment_of_form, versions_of
from model_loop.orchestration.requests import who_asked
from model_loop.settings import get_settings
from model_loop.trips.zone_names import zone_labels

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.scoring.predictor import Version
    from model_loop.scoring.questions import Answer, Answered

#: The form's fields that make one trip.
_FIELDS = ("pickup_zone", "dropoff_zone", "trip_distance", "pickup_at", "passenger_count")

logger = logging.getLogger(__name__)


def predict(params: Mapping[str, Any], dag_run: DagRunProtocol) -> dict[str, Any]:
    """Predict the trips of the list, or the one of the form."""
    questions = _questions(params)

    from model_loop.scoring.predictor import find_predictor
    from model_loop.scoring.questions import answer, columns_given

    versions = versions_of(params["service"])
    predictor = find_predictor(
        versions,
        columns_given(questions),
        number=params["version"],
        moment=moment_of_form(params),
        load=load,
    )
    started = time.perf_counter()
    answered = answer(predictor, questions)
    latency = 1_000 * (time.perf_counter() - started)
    _log(predictor.version, answered, who_asked(dag_run), latency)
    summaries = [_summary(one) for one in answered.answers]
    for summary in summaries:
        logger.info("%s", summary)
    return {
        "model": predictor.version.name,
        "model_version": predictor.version.number,
        "moment": versions.moment(predictor.version.number),
        # Of a list, the log has them: the result stays small enough for REST.
        **({"summary": summaries[0]} if params["inputs"] is None else {}),
        "predictions": [asdict(one) for one in answered.answers],
    }


def _log(version: Version, answered: Answered, caller: str, latency_ms: float) -> None:
    """Note the answers where those of the server are; a log that is away fails no answer."""
    from sqlalchemy.exc import SQLAlchemyError

    from model_loop.serving.answers import log_answers
    from model_loop.serving.standalone import make_log

    try:
        logged = log_answers(make_log(get_settings()), version, answered, caller, latency_ms)
    except SQLAlchemyError as error:
        logger.warning("The request log does not answer: %s", error)
        logged = False
    if not logged:
        logger.warning("%d predictions are not in the request log", len(answered.answers))


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
