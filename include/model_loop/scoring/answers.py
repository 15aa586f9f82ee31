"""The answer to a row, the same from every entrance."""

from __future__ import annotations

from typing import Any

from model_loop.datasets.reading import Row
from model_loop.scoring.assumptions import tell_assumed
from model_loop.trips.columns import UNIT
from model_loop.trips.services import Moment

#: Names of the parts of an answer, in JSON and as columns of a file that was scored.
PREDICTION, UNIT_NAME, IDENTIFIER, VERSION = (
    "prediction",
    "unit",
    "prediction_id",
    "model_version",
)
ASSUMED = "assumed"


def answered(prediction: Any, version: Any) -> dict[str, Any]:  # noqa: ANN401 - values or columns
    """Return what the log holds of an answer, by the names that an answer has."""
    return {PREDICTION: prediction, UNIT_NAME: UNIT, VERSION: version}


def answer_of(
    row: Row, prediction: float, prediction_id: str, version: int, moment: Moment
) -> dict[str, Any]:
    """Return an answer as JSON.

    `minutes` is its name of before 0.2. What was left out and assumed is told under `assumed`.
    """
    told: dict[str, Any] = {
        PREDICTION: prediction,
        UNIT_NAME: UNIT,
        IDENTIFIER: prediction_id,
        VERSION: version,
        "moment": moment,
        "minutes": prediction,
    }
    if row.assumed:
        told[ASSUMED] = tell_assumed(row)
    return told
