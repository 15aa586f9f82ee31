"""The step of the DAG `prediction`: a few rows, for a person or over REST."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.orchestration.forms.prediction import EXPLAIN, field_of
from model_loop.orchestration.loading import load
from model_loop.orchestration.names import BATCH_SCORING, dag_id_of
from model_loop.orchestration.registry import moment_of_form, versions_of
from model_loop.orchestration.steps.requests import who_asked
from model_loop.scoring.limits import read_level
from model_loop.scoring.predictor import find_predictor
from model_loop.scoring.row_requests import given_columns, in_words, predict_rows
from model_loop.serving.compiled.compiler import explainer_for
from model_loop.serving.http.server import make_log
from model_loop.serving.request_log.further_answers import log_answers
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.datasets.dataset import Dataset
    from model_loop.datasets.reading import Row
    from model_loop.scoring.predictor import RegisteredVersion

logger = logging.getLogger(__name__)


def predict(params: Mapping[str, Any], dag_run: DagRunProtocol) -> dict[str, Any]:
    """Predict the rows of the list, or the one of the form."""
    # Errors that the caller has to correct are raised before anything is looked up.
    _require_short(dataset_of_variant(params["service"]), params["inputs"] or ())
    level = read_level(params["level"])
    versions = versions_of(params["service"])
    predictor = find_predictor(
        versions,
        lambda dataset: given_columns(dataset, _rows(dataset, params)),
        number=params["version"],
        moment=moment_of_form(params),
        load=load,
    )
    started = time.perf_counter()
    moment = versions.moment(predictor.version.number)
    dataset = predictor.version.dataset
    explain = explainer_for(predictor) if params[EXPLAIN] else None
    rows, answers = predict_rows(predictor, _rows(dataset, params), moment, level, explain)
    latency = 1_000 * (time.perf_counter() - started)
    _log(predictor.version, rows, answers, who_asked(dag_run), latency)
    summaries = [in_words(dataset, row, one) for row, one in zip(rows, answers, strict=True)]
    for summary in summaries:
        logger.info("%s", summary)
    return {
        "model": predictor.version.name,
        "model_version": predictor.version.number,
        "moment": moment,
        # The summaries of a list are in the log alone: the result stays small enough for REST.
        **({"summary": summaries[0]} if params["inputs"] is None else {}),
        "predictions": answers,
    }


def _log(
    version: RegisteredVersion,
    rows: Sequence[Row],
    answers: Sequence[Mapping[str, Any]],
    caller: str,
    latency_ms: float,
) -> None:
    """Note the answers where those of the server are; a log that is away fails no answer."""
    try:
        log = make_log(get_settings())
        logged = log_answers(log, version, rows, answers, caller, latency_ms)
    except SQLAlchemyError as error:
        logger.warning("The request log does not answer: %s", error)
        logged = False
    if not logged:
        logger.warning("%d predictions are not in the request log", len(answers))


def _rows(dataset: Dataset, params: Mapping[str, Any]) -> list[Row]:
    """Read the rows of the list, or the one of the form."""
    if params["inputs"] is None:
        # The form is that of the present declaration, and the version may have been trained on
        # another one: what that one does not read is refused.
        drawn = dataset_of_variant(params["service"])
        fields = {field_of(drawn, column): column.field for column in drawn.columns}
        given = {
            field: params[name] for name, field in fields.items() if params.get(name) is not None
        }
        return [dataset.reader.read_row(given, dataset.now)]
    return dataset.reader.read_rows(params["inputs"], dataset.now)


def _require_short(dataset: Dataset, inputs: Sequence[Any]) -> None:
    """Raise an error if a list has more rows than one run takes."""
    most = get_settings().prediction_inputs
    if len(inputs) > most:
        raise InvalidInputError(
            f"The list of {len(inputs)} {dataset.rows[0]}",
            f"is longer than the {most} that one run takes",
            "Write them into a CSV or Parquet file and run the DAG "
            f"{dag_id_of(dataset, BATCH_SCORING)}, or send several lists.",
        )
