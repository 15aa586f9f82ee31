"""Reasons of a prediction: how much each column of the row adds to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from model_loop.datasets.classes import Label
from model_loop.datasets.dataset import Dataset, Target
from model_loop.scoring.assumptions import time_text
from model_loop.scoring.rows import Rows

#: Name in answers and in scored files.
REASONS = "reasons"
#: Contributions of an answer that are named; the others are given as their sum.
NAMED = 5
#: Share of the largest amount from which the others are named in words.
_SHOWN = 1e-3


class Contributions(NamedTuple):
    """Amounts that the columns of rows add to their predictions, in the unit of the target.

    Parameters
    ----------
    base
        Amount that they are added to; of classes one for each row, shape (rows,).
    added
        Amounts, shape (rows, columns of the table); with `base` they add up to the prediction.
    average
        Whether `base` is the average prediction of the rows that the version has learned from;
        otherwise it is an intercept, or a mean with intercepts.
    unit
        Unit of the amounts where it is not the target's: ``log-odds`` or ``probability``.
    answered
        Whether they add up to the answer in that unit; otherwise the answer is calibrated
        afterwards, by a curve.
    outputs
        Codes of the classes for which the amounts count, shape (rows,): of two the positive one, of
        several ones the predicted one. None of numbers.
    blended
        Whether they are weighted means of those of the members of a blend.
    """

    base: float | npt.NDArray[np.float64]
    added: npt.NDArray[np.float64]
    average: bool
    unit: str = ""
    answered: bool = True
    outputs: npt.NDArray[np.int64] | None = None
    blended: bool = False

    @property
    def method(self) -> str:
        """The method, in words."""
        if self.blended:
            return "weighted mean of the contributions to what each member of the blend predicts"
        if self.average:
            return "SHAP values of the trees; the sum begins at the average prediction"
        return "coefficient times value; the sum begins at the intercept"


Explain = Callable[[Rows], Contributions]
"""Computes the contributions to the predictions of rows; it may run in several threads at once."""


class Contribution(Struct, kw_only=True):
    """Amount that a column of the row adds to the prediction."""

    column: Annotated[str, Meta(description="Name of the column in requests.")]
    title: Annotated[str, Meta(description="Name of the column for people.")]
    value: Annotated[float | str | bool | None, Meta(description="Value in the row.")]
    unit: Annotated[str, Meta(description="Unit of the value.")]
    added: Annotated[float, Meta(description="Amount, in the unit of the prediction.")]


class Reasons(Struct, kw_only=True):
    """Reasons of a prediction, which is the sum of `base`, the amounts added, and `others`."""

    base: Annotated[
        float,
        Meta(description="Amount at which the sum begins, in the unit of the prediction."),
    ]
    average: Annotated[
        bool,
        Meta(
            description="Whether `base` is the average prediction of the rows that the version has "
            "learned from, as of trees; otherwise it is the intercept of a linear model, or the "
            "weighted mean with one of a blend."
        ),
    ]
    strongest: Annotated[
        list[Contribution],
        Meta(description="The columns that add or take most, the strongest first."),
    ]
    others: Annotated[float, Meta(description="Sum of the amounts of all other columns.")]


class ClassReasons(Reasons, kw_only=True):
    """Reasons of a class: `base`, the amounts added, and `others` make its log-odds in sum."""

    label: Annotated[
        Label,
        Meta(
            description="Class for which the amounts count: the positive one of two, the predicted "
            "one of several, whose log-odds are relative to those of the others."
        ),
    ]
    unit: Annotated[
        str,
        Meta(
            description="Unit of the amounts: log-odds; probability, of forests, which add up "
            "probabilities."
        ),
    ]
    calibrated: Annotated[
        bool,
        Meta(
            description="Whether the sum is that of the answer; otherwise its probability is "
            "calibrated afterwards, by a curve."
        ),
    ]


def strongest_reasons(
    dataset: Dataset,
    cells: Sequence[Any],
    prediction: float,
    found: Contributions,
    number: int,
    most: int = NAMED,
) -> Reasons:
    """Name the strongest contributions to the prediction of a row.

    Parameters
    ----------
    cells
        Values of the row.
    prediction
        Prediction, of a number; the sum of the contributions to a class is in a unit of its own.
    number
        Its number among the rows of the contributions.
    most
        Contributions that are named.
    """
    added = found.added[number]
    order = np.argsort(-np.abs(added), kind="stable")[:most]
    strongest = [
        _told(dataset, place, cells[place], float(added[place]))
        for place in order.tolist()
        if added[place]
    ]
    named = sum(one.added for one in strongest)
    if found.outputs is not None:
        return ClassReasons(
            base=float(np.ravel(found.base)[number]),
            average=found.average,
            strongest=strongest,
            others=float(added.sum()) - named,
            label=dataset.target.labels.labels[found.outputs[number]],
            unit=found.unit,
            calibrated=found.answered,
        )
    base = float(found.base)
    others = prediction - base - named
    return Reasons(base=base, average=found.average, strongest=strongest, others=others)


def reasons_of_rows(
    explain: Explain, dataset: Dataset, rows: Rows, predicted: npt.NDArray[np.float64]
) -> list[Reasons]:
    """Compute the reasons of the predictions of rows; see `strongest_reasons`."""
    found = explain(rows)
    return [
        strongest_reasons(dataset, cells, prediction, found, number)
        for number, (cells, prediction) in enumerate(
            zip(rows.tolist(), predicted.tolist(), strict=True)
        )
    ]


def reasons_in_words(target: Target, answered: Mapping[str, Any]) -> str:
    """Return the reasons of an answer in a sentence; empty where it has none.

    `` From 14.2 min on average: Distance = 700 mi adds 4.1, Airline = EV subtracts 0.6;
    others -0.1.``
    """
    if (told := answered.get(REASONS)) is None:
        return ""
    kind = ClassReasons if target.is_classified else Reasons
    reasons: Reasons = msgspec.convert(told, kind)
    begin = "on average" if reasons.average else "of the intercept"
    parts = ", ".join(
        f"{in_words(one)} {'adds' if one.added > 0 else 'subtracts'} {abs(one.added):.3g}"
        for one in reasons.strongest
    )
    base = target.with_unit(f"{reasons.base:.4g}")
    if isinstance(reasons, ClassReasons):
        base = f"{reasons.base:.4g} {reasons.unit} of {reasons.label}"
    size = max(abs(reasons.base), *(abs(one.added) for one in reasons.strongest), 0.0)
    # Less than the digits that are shown is rounding.
    others = f"; others {reasons.others:+.2g}" if abs(reasons.others) > size * _SHOWN else ""
    later = ""
    if isinstance(reasons, ClassReasons) and not reasons.calibrated:
        later = "; the sum is calibrated afterwards"
    return f" From {base} {begin}: {parts or 'no column adds anything'}{others}{later}."


def in_words(contribution: Contribution) -> str:
    """Return the column of a contribution with its value and unit: ``Distance = 700 mi``."""
    value, unit = contribution.value, contribution.unit
    if value is None:
        return f"{contribution.title} is unknown"
    if isinstance(value, bool):
        return f"{contribution.title} = {'yes' if value else 'no'}"
    told = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{contribution.title} = {told} {unit}".rstrip()


def _told(dataset: Dataset, place: int, cell: Any, added: float) -> Contribution:  # noqa: ANN401 - a number or a text
    column, value = dataset.columns[place], cell
    # Only NaN differs from itself.
    if value is None or value != value:  # noqa: PLR0124 - see above
        value = None
    elif column.kind == "time":
        value = time_text(value)
    elif column.kind == "yes_no":
        value = bool(value)
    return Contribution(
        column=column.field,
        title=(column.title or column.name).removesuffix(f" ({column.unit})"),
        value=value,
        unit=column.unit,
        added=added,
    )
