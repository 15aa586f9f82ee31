"""Errors of predictions on rows that a model has never seen, overall and by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.pipeline import Pipeline

from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Target
from model_loop.models.class_metrics import decide, log_losses, measure_classes
from model_loop.models.classification.clusters import clusters_of
from model_loop.models.classification.resampling import metric_intervals
from model_loop.models.outcomes import parts_of_classifier, predict_outcomes, threshold_of
from model_loop.models.search import ErrorMetrics, Metrics
from model_loop.models.slices import Cut, Slicing, slicing_of
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet


def measure_outcomes(
    actual: Targets, predicted: npt.ArrayLike, target: Target, threshold: float | None = None
) -> Metrics:
    """Compare predicted with true outcomes: numbers, or probabilities with classes.

    Parameters
    ----------
    actual
        Numbers, or codes of classes, shape (rows,).
    predicted
        See `models.outcomes`.
    threshold
        Probability from which on a row is called positive. By default the declared threshold, that
        of the declared cost, or a half.
    """
    if target.is_classified:
        threshold = threshold_of(target) if threshold is None else threshold
        return measure_classes(actual, predicted, threshold)
    return measure(actual, predicted)


def measure(actual: Targets, predicted: npt.ArrayLike) -> ErrorMetrics:
    """Compare predicted with actual targets, each of shape (rows,).

    Raises
    ------
    ValueError
        If a prediction is not finite.
    """
    predictions = np.asarray(predicted, dtype=np.float64)
    mse = float(mean_squared_error(actual, predictions))
    mae = float(mean_absolute_error(actual, predictions))
    spread = actual - np.mean(actual)
    with np.errstate(divide="ignore", invalid="ignore"):
        # If all targets are the same, there is no spread to compare with.
        rae = float(np.float64(mae) / np.abs(spread).mean())
        rse = float(np.float64(mse) / np.square(spread).mean())
    return ErrorMetrics(
        rmse=mse**0.5, mse=mse, mae=mae, r2=float(r2_score(actual, predictions)), rae=rae, rse=rse
    )


@dataclass(frozen=True)
class Evaluation:
    """Errors and predictions of a model on rows that it has never seen.

    Parameters
    ----------
    metrics
        Errors of all rows.
    naive
        Errors of always saying the median of the targets that were learned from, or the shares of
        their classes.
    slices
        Errors by part of the rows; see `errors_by_slice`.
    predictions
        ``actual`` and ``predicted`` target of each row; of several classes ``predicted_0`` and so
        on, the probability of each code.
    tables
        Further tables of the dataset's own, by name; see `Extensions.error_tables`.
    cuts
        The rules by which the rows were cut into slices, so that later ones can be cut likewise.
    intervals
        Of classes, the interval of each metric with 95 % confidence, by resampling whole groups,
        or days; see `classification.resampling`.
    """

    metrics: Metrics
    naive: Metrics
    slices: pd.DataFrame
    predictions: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name the number of rows as today: versions before 0.2 have written it as `trips`."""
        object.__setattr__(self, "slices", self.slices.rename(columns={"trips": "rows"}))


def evaluate(model: Pipeline, training_set: TrainingSet) -> Evaluation | None:
    """Judge a model on the test rows of its training set; None where there are none."""
    rows, learned = training_set.test_rows, training_set.train_validation_target
    if rows.empty:
        return None
    actual, target = training_set.test_target, training_set.dataset.target
    predicted = predict_outcomes(model, training_set.test_inputs, target)
    threshold, intervals = HALF, dict[str, tuple[float, float]]()
    if target.is_classified:
        threshold = parts_of_classifier(model.steps[-1][1]).threshold
        clusters = clusters_of(rows, training_set.dataset)
        intervals = metric_intervals(actual, predicted, clusters, threshold=threshold)
    slicing = slicing_of(training_set)
    further = training_set.dataset.extensions.load("error_tables")
    return Evaluation(
        metrics=measure_outcomes(actual, predicted, target, threshold),
        naive=measure_outcomes(actual, naive_outcomes(learned, len(actual), target), target),
        slices=errors_by_slice(
            rows, actual, predicted, slicing, described=True, threshold=threshold
        ),
        predictions=predictions_of(actual, predicted),
        tables=further(rows, actual, predicted) if further else {},
        cuts=slicing.cuts,
        intervals=intervals,
    )


def naive_outcomes(learned: Targets, rows: int, target: Target) -> Targets:
    """Return what a rule without any column says of each row: the median, or the classes' shares.

    Parameters
    ----------
    learned
        Targets that the rule learns from.
    """
    if not target.is_classified:
        return np.full(rows, np.median(learned))
    number = len(target.labels.labels)
    shares = np.bincount(learned.astype(np.int64), minlength=number) / len(learned)
    return np.full(rows, shares[1]) if target.labels.is_binary else np.tile(shares, (rows, 1))


def predictions_of(
    actual: Targets, predicted: Targets, dtype: type[np.floating[Any]] = np.float32
) -> pd.DataFrame:
    """Return outcomes and predictions of rows as a frame, in single precision by default."""
    each = {"predicted": predicted}
    if predicted.ndim > 1:
        each = {f"predicted_{code}": predicted[:, code] for code in range(predicted.shape[1])}
    return pd.DataFrame({"actual": actual, **each}, dtype=dtype)


def predicted_of(predictions: pd.DataFrame) -> Targets:
    """Return the predictions of a frame; see `predictions_of`."""
    names = [name for name in predictions.columns if name.startswith("predicted")]
    found: Targets = predictions[names].to_numpy(dtype=np.float64)
    return found[:, 0] if names == ["predicted"] else found


def errors_by_slice(
    rows: pd.DataFrame,
    actual: Targets,
    predicted: Targets,
    slicing: Slicing,
    *,
    described: bool = False,
    threshold: float | None = None,
) -> pd.DataFrame:
    """Compute errors by slice.

    Slices that the rows do not tell, because the recipe has no such column, are left out.

    Parameters
    ----------
    described
        Add slices by the actual target, for a description alone. Nothing is judged by them: they
        are chosen by the outcome, so that a model that predicts the mean of what can happen looks
        biased in each of them, and one that knows more does not look better in all.
    threshold
        As of `measure_outcomes`.

    Returns
    -------
    pandas.DataFrame
        ``slice``, ``value``, number of ``rows``, ``rmse`` and ``mae`` in the unit of the target,
        and ``bias``: the mean of predicted less actual. Of classes ``log_loss`` and ``accuracy``,
        and of two ``recall``, ``precision``, the ``share`` of positive rows, and ``bias``: the mean
        probability less it.
    """
    if slicing.dataset.target.is_classified:
        return _classes_by_slice(rows, actual, predicted, slicing, threshold)
    errors = pd.DataFrame({"error": predicted - actual})
    errors["squared"], errors["absolute"] = errors.error**2, errors.error.abs()
    slices = slicing.slices(rows)
    if described:
        slices |= slicing.outcome_bands(actual)
    parts = [pd.DataFrame(columns=["slice", "value", "rows", "rmse", "mae", "bias"])]
    for name, values in slices.items():
        found = errors.groupby(pd.Series(values), observed=True).agg(
            rows=("error", "size"),
            rmse=("squared", "mean"),
            mae=("absolute", "mean"),
            bias=("error", "mean"),
        )
        found["rmse"] **= 0.5
        found.insert(0, "value", found.index.astype(str))
        found.insert(0, "slice", name)
        parts.append(found)
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _classes_by_slice(
    rows: pd.DataFrame,
    actual: Targets,
    predicted: Targets,
    slicing: Slicing,
    threshold: float | None,
) -> pd.DataFrame:
    default = threshold_of(slicing.dataset.target)
    decided = decide(predicted, default if threshold is None else threshold)
    errors = pd.DataFrame(
        {"log_loss": log_losses(actual, predicted), "accuracy": decided == actual.astype(int)}
    )
    means = {"log_loss": ("log_loss", "mean"), "accuracy": ("accuracy", "mean")}
    if predicted.ndim == 1:
        # Means leave out rows that are not counted: those of the other class, and other answers.
        errors["recall"] = np.where(actual == 1, decided, np.nan)
        errors["precision"] = np.where(decided == 1, actual, np.nan)
        errors["share"], errors["bias"] = actual, predicted - actual
        means |= {name: (name, "mean") for name in ("recall", "precision", "share", "bias")}
    parts = [pd.DataFrame(columns=["slice", "value", "rows", *means])]
    for name, values in slicing.slices(rows).items():
        by_value = errors.groupby(pd.Series(values), observed=True)
        table = by_value.agg(rows=("log_loss", "size"), **means)
        table.insert(0, "value", table.index.astype(str))
        table.insert(0, "slice", name)
        parts.append(table)
    return pd.concat(parts[1:] or parts, ignore_index=True)
