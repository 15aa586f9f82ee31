"""Answers of the server as values with names and types.

A newer server may say more than these know, and its further fields are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

Label = str | int | float | bool

Answered = TypeVar("Answered")


def read_answer(kind: type[Answered], given: Mapping[str, Any]) -> Answered:
    """Return an answer of a type, with the fields that the type has."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # the types of this module
    return kind(**{name: value for name, value in given.items() if name in names})


@dataclass(frozen=True)
class Prediction:
    """The answer to one row.

    Parameters
    ----------
    prediction, unit
        Number with its unit, or label of a class.
    prediction_id
        Id for sending its true value.
    model_version, moment
        Version that has answered, and the moment it knows the row at.
    lower, upper, level
        Interval that holds `level` % of the true values; None where there is none.
    probabilities, threshold, classes
        Of classes: the probability of each, the threshold of two, and the classes among which the
        true one is.
    assumed, notices
        Values that were left out and assumed, and values that the version has not learned from.
    reasons
        Amount that each column adds, if it was requested.
    """

    prediction: Label
    prediction_id: str
    model_version: int
    moment: str
    unit: str = ""
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    probabilities: Mapping[str, float] | None = None
    threshold: float | None = None
    classes: Sequence[Label] | None = None
    assumed: Mapping[str, Any] = field(default_factory=dict)
    notices: Sequence[Mapping[str, Any]] = ()
    reasons: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ModelsAnswer:
    """The versions that answer.

    Parameters
    ----------
    service
        Key of the variant.
    enabled
        Whether anything answers.
    answering
        Champion of the earliest moment; None where there is none.
    moments, versions
        Champion of each moment, and each version with its alias, share and readiness.
    """

    service: str
    enabled: bool
    answering: int | None
    moments: Mapping[str, Mapping[str, Any]]
    versions: Sequence[Mapping[str, Any]]


#: States of a batch; the last three are final.
BatchStage = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class BatchStatus:
    """State of a file that is scored.

    Parameters
    ----------
    id
        Id of the batch.
    state
        One of `BatchStage`.
    rows
        Number of rows of the file; None until they were counted.
    read, predicted, rejected
        Number of rows that were read, and of those that were predicted or could not be.
    model_version
        Version that predicts; None until it is chosen.
    created, expires
        Seconds since 1970: when it was accepted, and from when it is removed.
    error
        Why it has failed: given, rule and remedy.
    """

    id: str
    state: BatchStage
    rows: int | None = None
    read: int = 0
    predicted: int = 0
    rejected: int = 0
    model_version: int | None = None
    created: float = 0.0
    expires: float | None = None
    error: Mapping[str, str] | None = None

    @property
    def is_final(self) -> bool:
        """True if nothing changes any more."""
        return self.state in {"done", "failed", "cancelled"}
