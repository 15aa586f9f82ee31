"""The answer to a row, the same from every entrance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from model_loop.datasets.classes import Classes, Label
from model_loop.datasets.dataset import Dataset, Moment, Target
from model_loop.datasets.reading import Row
from model_loop.intervals.grid import LEVEL
from model_loop.scoring.assumptions import tell_assumed
from model_loop.scoring.limits import CLASSES, NO_LIMITS, PROBABILITIES, THRESHOLD, Limits
from model_loop.scoring.notices import Notice
from model_loop.scoring.outcomes import Outcome
from model_loop.scoring.reasons import ClassReasons, Reasons

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
            Meta(description="Values that the request left out and that were assumed, by field."),
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
            Meta(description="Amounts that the columns add to the prediction, on request."),
        ]
        | UnsetType
    ) = UNSET


class ClassAnswer(Struct, kw_only=True):
    """The answer to one row: the predicted class, with the probability of each class."""

    prediction: Annotated[Label, Meta(description="Label of the predicted class.")]
    unit: str = ""
    prediction_id: str
    model_version: int
    lower: Annotated[float | None, Meta(description="Null: a class has no limits.")] = None
    upper: Annotated[float | None, Meta(description="Null: a class has no limits.")] = None
    level: Annotated[
        float | None,
        Meta(
            description="Percentage of rows whose true class is among `classes`; null without them."
        ),
    ] = None
    moment: Moment
    probabilities: Annotated[
        dict[str, float], Meta(description="Probability of each class, by its label.")
    ]
    threshold: (
        Annotated[
            float,
            Meta(
                description="Probability of the positive class from which it is the prediction, of "
                "two classes."
            ),
        ]
        | UnsetType
    ) = UNSET
    classes: (
        Annotated[
            list[Label],
            Meta(
                description="Classes among which the true one is at the `level`, the likeliest "
                "first, of several classes."
            ),
        ]
        | UnsetType
    ) = UNSET
    assumed: (
        Annotated[
            dict[str, Any],
            Meta(description="Values that the request left out and that were assumed, by field."),
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
            ClassReasons,
            Meta(description="Amounts that the columns add to the prediction, on request."),
        ]
        | UnsetType
    ) = UNSET


@functools.cache
def answer_type(target: Target, name: str = "Answer") -> type[Answer | ClassAnswer]:
    """Return the type of the answers about a target, with its unit and its older name.

    Parameters
    ----------
    name
        Name of the schema.
    """
    base: type[Answer | ClassAnswer] = ClassAnswer if target.is_classified else Answer
    fields: list[Any] = [("unit", str, target.unit)]
    if target.classes is not None:
        fields.append((PREDICTION, label_type(target)))
    if target.former:
        same = Meta(description="The same as `prediction`, by its older name.")
        fields.append((target.former, Annotated[float, same]))
    about: dict[str, Any] = {"__doc__": base.__doc__}
    kind: Any = defstruct(name, fields, bases=(base,), kw_only=True, namespace=about)
    made: type[Answer | ClassAnswer] = kind
    return made


def label_type(target: Target) -> Any:  # noqa: ANN401 - a type
    """Return the type of the labels of a target: one of them, where they are known."""
    if target.classes is None:
        return Label
    return Literal[target.classes.labels]


def actual_name(target: Target) -> str:
    """Return the name of a true value in requests and in the log."""
    return f"{ACTUAL}_{target.former}" if target.former else ACTUAL


def answered(target: Target, prediction: Any, version: Any) -> dict[str, Any]:  # noqa: ANN401 - values or columns
    """Return what the log holds of an answer, by the names that an answer has."""
    named = {PREDICTION: prediction, UNIT_NAME: target.unit, VERSION: version}
    return {**named, target.former: prediction} if target.former else named


Make = Callable[..., Answer | ClassAnswer]
"""Makes an answer of row, prediction, id, version, moment, notices and limits.

The prediction is a number, or the outcome of a class.
"""


def answer_maker(dataset: Dataset) -> Make:
    """Return a function that makes the answers about rows of a dataset.

    Values that were left out and assumed stand under `assumed`.
    """
    kind: Any = answer_type(dataset.target)
    if dataset.target.is_classified:
        return _answering_classes(dataset)
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


def _answering_classes(dataset: Dataset) -> Make:
    kind: Any = answer_type(dataset.target)

    def make(
        row: Row,
        outcome: Outcome,
        prediction_id: str,
        version: int,
        moment: Moment,
        notices: tuple[Notice, ...] = (),
        limits: Limits = NO_LIMITS,
    ) -> ClassAnswer:
        answer: ClassAnswer = kind(
            prediction=outcome.label,
            prediction_id=prediction_id,
            model_version=version,
            level=limits.level,
            moment=moment,
            probabilities=outcome.probabilities,
            threshold=UNSET if outcome.threshold is None else outcome.threshold,
            classes=UNSET if outcome.classes is None else outcome.classes,
            assumed=tell_assumed(dataset, row) if row.assumed else UNSET,
            notices=[*notices] or UNSET,
        )
        return answer

    return make


def logged_answer(target: Target, answered: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the log holds of an answer in JSON; see `logged`."""
    if not target.is_classified:
        return (answered[PREDICTION],)
    label, probabilities = answered[PREDICTION], answered[PROBABILITIES]
    classes = target.labels
    counted = classes.texts[1] if classes.is_binary else str(label)
    return probabilities[counted], label, probabilities


def class_in_words(classes: Classes, answered: Mapping[str, Any]) -> str:
    """Return the predicted class of an answer with its probability.

    ``1 (the probability of 1 is 73 %, and from 50 % on it is the answer)``, ``late (62 %; at 90 %
    one of late, early)``.
    """
    label, probabilities = answered[PREDICTION], answered[PROBABILITIES]
    if classes.is_binary:
        positive, threshold = classes.texts[1], answered[THRESHOLD]
        return (
            f"{label} (the probability of {positive} is {_percent(probabilities[positive])}, and "
            f"from {_percent(threshold)} on it is the answer)"
        )
    others = ""
    if (held := answered.get(CLASSES)) is not None:
        alone = "no other class" if len(held) == 1 else f"one of {', '.join(map(str, held))}"
        others = f"; at {answered[LEVEL]:g} % {alone}"
    return f"{label} ({_percent(probabilities[str(label)])}{others})"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
