"""The answer to a row, the same from every entrance."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from model_loop.datasets.dataset import Dataset, Moment, Target
from model_loop.datasets.reading import Row
from model_loop.scoring.assumptions import tell_assumed
from model_loop.scoring.limits import NO_LIMITS, Limits
from model_loop.scoring.notices import Notice
from model_loop.scoring.reasons import Reasons

#: Names of the parts of an answer, in JSON and as columns of a file that was scored.
PREDICTION, UNIT_NAME, IDENTIFIER, VERSION = (
    "prediction",
    "unit",
    "prediction_id",
    "model_version",
)
ASSUMED, NOTICES = "assumed", "notices"
#: Name of a true value.
ACTUAL = "actual"


class Answer(Struct, kw_only=True):
    """The answer to one row."""

    prediction: float
    unit: str = ""
    prediction_id: str
    model_version: int
    lower: Annotated[
        float | None,
        Meta(description="Lower limit of the interval, in the unit; null where it has none."),
    ] = None
    upper: Annotated[
        float | None,
        Meta(description="Upper limit of the interval, in the unit; null where it has none."),
    ] = None
    level: Annotated[
        float | None,
        Meta(
            description="Percentage of true values that such intervals hold; null of a version "
            "that was registered before there were intervals."
        ),
    ] = None
    moment: Moment
    assumed: (
        Annotated[
            dict[str, Any],
            Meta(description="What the request has left out and was assumed, by field."),
        ]
        | UnsetType
    ) = UNSET
    notices: (
        Annotated[
            list[Notice],
            Meta(description="Values that are unlike all that the version has learned from."),
        ]
        | UnsetType
    ) = UNSET
    reasons: (
        Annotated[
            Reasons,
            Meta(
                description="What the columns add to the prediction, where reasons are asked for."
            ),
        ]
        | UnsetType
    ) = UNSET


@functools.cache
def answer_type(target: Target, name: str = "Answer") -> type[Answer]:
    """Return the type of the answers about a target, with its unit and its older name.

    Parameters
    ----------
    name
        Name of the schema.
    """
    fields: list[Any] = [("unit", str, target.unit)]
    if target.former:
        same = Meta(description="The same as `prediction`, by its older name.")
        fields.append((target.former, Annotated[float, same]))
    about: dict[str, Any] = {"__doc__": Answer.__doc__}
    kind: Any = defstruct(name, fields, bases=(Answer,), kw_only=True, namespace=about)
    made: type[Answer] = kind
    return made


def actual_name(target: Target) -> str:
    """Return the name of a true value in requests and in the log."""
    return f"{ACTUAL}_{target.former}" if target.former else ACTUAL


def answered(target: Target, prediction: Any, version: Any) -> dict[str, Any]:  # noqa: ANN401 - values or columns
    """Return what the log holds of an answer, by the names that an answer has."""
    named = {PREDICTION: prediction, UNIT_NAME: target.unit, VERSION: version}
    return {**named, target.former: prediction} if target.former else named


Make = Callable[..., Answer]
"""Makes an answer of row, prediction, id, version, moment, notices and limits."""


def answering(dataset: Dataset) -> Make:
    """Return a function that makes the answers about rows of a dataset.

    Values that were left out and assumed stand under `assumed`.
    """
    kind: Any = answer_type(dataset.target)
    former = dataset.target.former

    def make(
        row: Row,
        prediction: float,
        prediction_id: str,
        version: int,
        moment: Moment,
        notices: tuple[Notice, ...] = (),
        limits: Limits = NO_LIMITS,
    ) -> Answer:
        older = {former: prediction} if former else {}
        lower, upper, level = limits
        answer: Answer = kind(
            prediction=prediction,
            prediction_id=prediction_id,
            model_version=version,
            lower=lower,
            upper=upper,
            level=level,
            moment=moment,
            assumed=tell_assumed(dataset, row) if row.assumed else UNSET,
            notices=[*notices] or UNSET,
            **older,
        )
        return answer

    return make
