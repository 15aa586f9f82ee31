"""Intervals of a model: from which rows, and what they hold on later ones.

The rows are those of validation, predicted by the best settings fitted on the train rows alone
(docs/decisions/0030): the search has fitted them so, and hands on what they predict. Where folds
choose, each row is predicted by a fit of other rows; where the split has a share of calibration,
the final model predicts it. The test rows are measured, and nothing is learned from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import ROWS_OF_GRID
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals, digest_of, part_of
from model_loop.intervals.scaling import CalibrationSettings, ScaledKind, sharper_intervals
from model_loop.intervals.scores import Numbers
from model_loop.models.evaluation import measure_outcomes
from model_loop.models.fitting import Fit, FitData, prepare
from model_loop.models.outcomes import predict_outcomes
from model_loop.training_set.frames import as_numbers

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from model_loop.datasets.dataset import Dataset, Target
    from model_loop.models.catalogue import ModelFamily
    from model_loop.models.search import SearchRequest, TuningResult
    from model_loop.training_set.encodings import Layout
    from model_loop.training_set.matrices import Targets
    from model_loop.training_set.types import TrainingSet

#: Days in which the weight of a row falls by half.
HALF_LIFE = 90.0
#: Levels that are measured.
LEVELS = (80.0, DEFAULT_LEVEL)
#: Share of the days of calibration, the first ones, whose intervals are measured on the others.
_EARLIER = 2 / 3
#: Rows of the other days below which a coverage says nothing.
_LATER_ROWS = 100


@dataclass(frozen=True)
class Calibration:
    """Intervals of a model, and what they hold.

    Parameters
    ----------
    intervals
        The intervals.
    metrics
        By name: coverage (a share), width and interval score of each level on the test rows, and
        coverage on the last days of the residuals by intervals of the days before them.
    """

    intervals: Intervals
    metrics: Mapping[str, float]


def calibrate_model(
    model: Pipeline,
    tuned: TuningResult,
    training_set: TrainingSet,
    request: SearchRequest,
    family: ModelFamily,
) -> Calibration:
    """Make the intervals of a model that was fitted on train and validation, and measure them."""
    residuals = residuals_of(model, tuned, training_set, request, family)
    intervals = intervals_of(residuals, training_set)
    metrics = _of_later_days(residuals, training_set)
    if len(training_set.test_rows):
        predicted = predict_outcomes(model, training_set.test_inputs, training_set.target)
        times = _times(training_set.test_rows, training_set)
        actual = training_set.test_target
        sizes = intervals.sizes(predicted, times, training_set.test_rows)
        metrics |= _measured(intervals, (predicted, times, sizes), actual, "test")
    return Calibration(intervals, metrics)


def residuals_of(
    model: Pipeline,
    tuned: TuningResult,
    training_set: TrainingSet,
    request: SearchRequest,
    family: ModelFamily,
) -> Residuals:
    """Return the residuals that the intervals of a model, or its calibration, are made of."""
    held = training_set.calibration_rows
    if held is not None:
        actual = held[training_set.target.name].to_numpy(dtype=np.float64)
        inputs = held[list(training_set.recipe.columns)]
        predicted = predict_outcomes(model, inputs, training_set.target)
        train, validation = training_set.targets_for(family.layout)
        learned = (train, validation, np.concatenate([train, validation]))
        judged, times = digest_of(training_set.test_target), _times(held, training_set)
        return Residuals("calibration", actual, predicted, _digests(*learned), judged, times)
    return searched_residuals(tuned, training_set, request, family)


def searched_residuals(
    tuned: TuningResult, training_set: TrainingSet, request: SearchRequest, family: ModelFamily
) -> Residuals:
    """Return the residuals of the rows that settings are chosen by, by the best trial."""
    actual = training_set.judged_target(family.layout)
    handed = _of_the_search(tuned, actual, training_set.target)
    if handed is None:
        most = request.finalist_rows(family)
        found = FitData.of(training_set, family, request, train_rows=most, columns=tuned.columns)
        data = prepare(family, found, request)
        fit = Fit(family, tuned.best.settings, data, request)
        fit.advance()
        handed = fit.fitted().predicted
    predicted = np.asarray(handed, dtype=np.float64)
    return residuals_by_search(training_set, family.layout, predicted)


def residuals_by_search(training_set: TrainingSet, layout: Layout, predicted: Targets) -> Residuals:
    """Return the residuals of the rows that settings are chosen by, as fits of others predict."""
    actual, judged = training_set.judged_target(layout), digest_of(training_set.test_target)
    train, _ = training_set.targets_for(layout)
    if training_set.folds:
        return Residuals("folds", actual, predicted, (), judged)
    times = training_set.judged_times
    return Residuals("validation", actual, predicted, _digests(train), judged, times)


def _of_the_search(tuned: TuningResult, actual: Targets, target: Target) -> Targets | None:
    """Return the predictions by which the search chose; None unless they have its very errors.

    Those of other rows, or of other settings, would calibrate a model that was not judged by them.
    """
    found = tuned.predicted
    if found is None or len(found) != len(actual):
        return None
    measured = measure_outcomes(actual, found, target)
    # A metric that is not defined is not equal to itself.
    same = all(
        value == before or value != value  # noqa: PLR0124 - as above
        for value, before in zip(astuple(measured), astuple(tuned.validation), strict=True)
    )
    return found if same else None


def intervals_of(residuals: Residuals, training_set: TrainingSet) -> Intervals:
    """Return intervals as they suit the dataset: its bounds, and the columns that requests bring.

    In sizes of errors, where the rows of the residuals are kept and that makes them sharper.
    """
    settings = settings_of(training_set)
    if (given := sizing_rows(residuals, training_set)) is None:
        return settings.calibrate(residuals)
    known, rows = given
    scaled = sharper_intervals(known, rows, kinds_of(training_set), settings)
    return scaled or settings.calibrate(residuals)


def settings_of(training_set: TrainingSet) -> CalibrationSettings:
    """Return the options of the intervals of a dataset."""
    dataset = training_set.dataset
    return CalibrationSettings(
        HALF_LIFE, dataset.time in training_set.recipe.columns, *bounds_of(dataset)
    )


def kinds_of(training_set: TrainingSet) -> dict[str, ScaledKind]:
    """Return how the sizes of errors read each column of the recipe but for times."""
    return {
        column.name: "category" if column.kind == "category" else "number"
        for column in training_set.dataset.columns
        if column.name in training_set.recipe.columns and column.kind != "time"
    }


def sizing_rows(
    residuals: Residuals, training_set: TrainingSet
) -> tuple[Residuals, pd.DataFrame] | None:
    """Return the residuals whose rows are kept, and these rows; None where there are none.

    Of folds there are none: their rows come in no order of time.
    """
    calibrating = residuals.part == "calibration"
    rows = training_set.calibration_rows if calibrating else training_set.validation_rows
    places = None if calibrating else training_set.validation_places
    if rows is None or residuals.times is None:
        return None
    if places is not None:
        residuals = part_of(residuals, places)
    # Training sets of earlier versions have samples without their places.
    if len(rows) != len(residuals.actual):
        return None
    return residuals, rows


def bounds_of(dataset: Dataset) -> tuple[float, float]:
    """Return the bounds of a true value: those that a file declares of its column go first."""
    target, declaration = dataset.target, dataset.declaration
    column = declaration.columns.get(target.name) if declaration else None
    lowest = column.constraints.minimum if column else None
    highest = column.constraints.maximum if column else None
    return (
        target.above if lowest is None else lowest,
        target.highest if highest is None else highest,
    )


def _of_later_days(residuals: Residuals, training_set: TrainingSet) -> dict[str, float]:
    """Measure intervals of the first days of residuals on those after them, if both suffice."""
    if residuals.times is None:
        return {}
    days = residuals.times // SECONDS_PER_DAY
    earlier = days < days.min() + _EARLIER * (days.max() + 1 - days.min())
    if earlier.sum() < ROWS_OF_GRID or (~earlier).sum() < _LATER_ROWS:
        return {}
    first, later = (part_of(residuals, rows) for rows in (earlier, ~earlier))
    intervals = settings_of(training_set).calibrate(first)
    return _measured(intervals, (later.predicted, later.times, None), later.actual, "validation")


def _measured(
    intervals: Intervals,
    asked: tuple[Numbers, Numbers | None, Numbers | None],
    actual: Targets,
    part: str,
) -> dict[str, float]:
    """Measure intervals of rows, given their predictions, times and sizes of errors."""
    found: dict[str, float] = {}
    for level in LEVELS:
        low, high = intervals.at(level).limits_of(*asked)
        held = measure_intervals(low, high, actual, level)
        values = {"coverage": held.coverage, "width": held.width, "score": held.score}
        found |= {
            f"interval_{name}_{level:g}_{part}": value
            for name, value in values.items()
            if np.isfinite(value)
        }
    return found


def _times(rows: pd.DataFrame, training_set: TrainingSet) -> Numbers | None:
    """Return the times of rows in seconds since 1970; None where a row has none."""
    time = training_set.dataset.time
    if time is None or time not in rows:
        return None
    times = as_numbers(rows[time])
    return times if np.isfinite(times).all() else None


def _digests(*rows: Targets) -> tuple[str, ...]:
    return tuple(map(digest_of, rows))
