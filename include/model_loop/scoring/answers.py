"""The answer to a row, the same from every entrance."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from model_loop.datasets.dataset import Moment
from model_loop.datasets.reading import Row
from model_loop.scoring.assumptions import tell_assumed
from trip_duration.columns import UNIT

#: Names of the parts of an answer, in JSON and as columns of a file that was scored.
PREDICTION, UNIT_NAME, IDENTIFIER, VERSION = (
    "prediction",
    "unit",
    "prediction_id",
    "model_version",
)
ASSUMED = "assumed"


class Answer(Struct, kw_only=True):
    """The answer to one row."""

    prediction: float
    unit: str = UNIT
    prediction_id: str
    model_version: int
    moment: Moment
    minutes: Annotated[float, Meta(description="The same as `prediction`, by its older name.")]
    assumed: (
        Annotated[
            dict[str, Any],
            Meta(description="What the request has left out and was assumed, by field."),
        ]
        | UnsetType
    ) = UNSET


def answered(prediction: Any, version: Any) -> dict[str, Any]:  # noqa: ANN401 - values or columns
    """Return what the log holds of an answer, by the names that an answer has."""
    return {PREDICTION: prediction, UNIT_NAME: UNIT, VERSION: version}


def answer_of(
    row: Row, prediction: float, prediction_id: str, version: int, moment: Moment
) -> Answer:
    """Return an answer; values that were left out and assumed stand under `assumed`."""
    return Answer(
        prediction=prediction,
        prediction_id=prediction_id,
        model_version=version,
        moment=moment,
        minutes=prediction,
        assumed=tell_assumed(row) if row.assumed else UNSET,
    )
