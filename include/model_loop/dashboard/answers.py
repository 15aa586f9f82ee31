"""Answers of the playground: every version that is ready, with an interval and reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_loop.charts import figures
from model_loop.charts.formatting import percent, short
from model_loop.dashboard.page_data import PageSources
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import RefusedRowsError, Row
from model_loop.errors import InvalidInputError
from model_loop.scoring.assumptions import compute_missing, tell_assumed
from model_loop.scoring.outcomes import DecisionRules, Outcome, answers_of_rows
from model_loop.scoring.reasons import ClassReasons, in_words, strongest_reasons
from model_loop.scoring.rows import as_rows
from model_loop.tracking.deployments import PARTS, Part, alias_of

if TYPE_CHECKING:
    from model_loop.intervals.calibrated import Intervals
    from model_loop.serving.models.manager import ActiveModels
    from model_loop.serving.models.predictor import ServedVersion
    from model_loop.serving.models.traffic import Read


def answers_of(
    sources: PageSources, live: ActiveModels, read: Read, level: float
) -> list[dict[str, Any]]:
    """Predict a row by each version, with the limits of its interval of a level.

    Each version reads the row by the declaration that it was trained on.

    Raises
    ------
    RefusedRowsError
        If the declaration of the champion refuses the row, or no version is ready.
    """
    known = sources.look("registry")
    read(sources.dataset)
    found = []
    for alias, (part, moment, predictor) in _ready(live).items():
        answer = {
            "alias": alias,
            "part": part,
            "moment": moment,
            "version": predictor.version,
        }
        dataset = predictor.dataset(sources.declared)
        try:
            (row, *_) = read(dataset)
        except RefusedRowsError as error:
            found.append({**answer, "why": f"It cannot read this: {error.given} {error.rule}."})
            continue
        if lacking := predictor.lacking(dataset.columns, [row], computed=True):
            found.append({**answer, "why": f"It needs {lacking}."})
            continue
        complete = _complete(dataset, predictor, row)
        predicted = predictor.predict(as_rows(dataset, [complete.cells]))
        version = known.registry.version(predictor.version)
        intervals, deciding = predictor.intervals, predictor.deciding
        (prediction,), (limits,) = answers_of_rows(
            deciding, intervals, dataset, level, predicted, [complete.cells], predictor.correction
        )
        found.append(
            {
                **answer,
                "family": short(version.family) if version else "",
                **_told(prediction, deciding),
                "unit": dataset.target.unit,
                "assumed": tell_assumed(dataset, complete) if complete.assumed else {},
                **limits._asdict(),
                "how": _origin(dataset, intervals, level)
                if deciding is None
                else _decided(deciding, level),
            }
        )
    return found


def _told(prediction: float | Outcome, deciding: DecisionRules | None) -> dict[str, Any]:
    """Return a prediction, and of a class the probabilities and how it was decided."""
    if deciding is None or not isinstance(prediction, Outcome):
        return {"prediction": prediction}
    return {
        "prediction": prediction.label,
        "probabilities": prediction.probabilities,
        "threshold": prediction.threshold,
        "classes": prediction.classes,
        "positive": deciding.classes.texts[1] if deciding.classes.is_binary else None,
    }


def _decided(deciding: DecisionRules, level: float) -> str:
    """Say from which probability on a class is the answer, or what its set of classes holds for."""
    if deciding.classes.is_binary:
        threshold = percent(deciding.threshold)
        return f"From a probability of {threshold} on, the answer is {deciding.classes.texts[1]}."
    if not deciding.has_sets:
        return "The likeliest class is the answer."
    return f"In {level:g} % of the cases, such a set holds the true class."


def reasons_of(sources: PageSources, live: ActiveModels, alias: str, read: Read) -> dict[str, Any]:
    """Explain a version's prediction of a row, with a figure; ``why`` says why it cannot be."""
    if alias not in (there := _ready(live)):
        return {"why": f"There is no {alias}."}
    predictor, words = there[alias][-1], sources.words
    dataset = predictor.dataset(sources.declared)
    (row, *_) = read(dataset)
    cells = _complete(dataset, predictor, row).cells
    rows = as_rows(dataset, [cells])
    try:
        found = predictor.explain(rows)
    except InvalidInputError as error:
        return {"why": f"{error.given} {error.rule}."}
    (predicted,) = predictor.predict(rows).tolist()
    told = strongest_reasons(dataset, cells, predicted, found, 0, most=len(cells))
    parts = [(in_words(one), one.added) for one in told.strongest]
    average = f"average {words.row}" if told.average else "intercept"
    title, unit, method = words.axis(words.target), words.unit, found.method
    if isinstance(told, ClassReasons):
        title, unit = f"{words.target} = {told.label} ({told.unit})", told.unit
        method += "" if told.calibrated else "; the sum is calibrated afterwards"
    return {
        "base": told.base,
        "average": average,
        "unit": unit,
        "method": method,
        "features": parts,
        "figure": figures.inert(figures.force(told.base, parts, average=average, title=title)),
    }


def _complete(dataset: Dataset, predictor: ServedVersion, row: Row) -> Row:
    """Return a row with what a version needs and can be computed."""
    lacking = predictor.lacking(dataset.columns, [row])
    return compute_missing(dataset, [row])[0] if lacking else row


def _ready(live: ActiveModels) -> dict[str, tuple[Part, Moment, ServedVersion]]:
    """The versions that are ready by their alias, those of the earliest moment first."""
    return {
        alias_of(part, moment, tuple(live.sides)): (part, moment, predictor)
        for moment, side in live.sides.items()
        for part in PARTS
        if (predictor := getattr(side, part)) is not None
    }


def _origin(dataset: Dataset, intervals: Intervals | None, level: float) -> str:
    """Say what the limits of a version hold for, and from which rows they are."""
    if intervals is None:
        return "It was registered before there were intervals: train a new version."
    return (
        f"{level:g} % of the true values lie between, by {intervals.rows:,} {dataset.rows[0]} "
        "that the model had not learned from."
    )
