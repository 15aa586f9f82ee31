"""The final fit: the best settings, on train and validation together, as one object."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from model_loop.datasets.dataset import Target
from model_loop.errors import optional
from model_loop.models.blend import Blend
from model_loop.models.boosting import BoosterClassifier, BoosterRegressor
from model_loop.models.calibrating import (
    Calibration,
    calibrate_model,
    residuals_of,
    searched_residuals,
)
from model_loop.models.catalogue import XGBOOST, ModelFamily, get_family
from model_loop.models.classification.decision import Decision
from model_loop.models.classification.finishing import finish_classifier, measure_decision
from model_loop.models.estimators import Regressor, make_booster, make_sklearn
from model_loop.models.evaluation import Evaluation, evaluate
from model_loop.models.explanation import Explanation, explain
from model_loop.models.outcomes import learned_target
from model_loop.models.progress import step
from model_loop.models.search import (
    MAXIMUM_ROUNDS,
    Metrics,
    SearchRequest,
    TuningResult,
    metric_title,
)
from model_loop.models.selection import selector
from model_loop.training_set.matrices import Matrix
from model_loop.training_set.sampling import learned_sample, rows_of
from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A model that takes raw columns and returns the target.

    Parameters
    ----------
    tuned
        Result of the search.
    model
        Encoder and estimator together.
    seconds
        Time of the fit.
    evaluation
        Evaluation on the test rows; None where there are none.
    explanation
        Explanation on a sample of the test rows; None where there are none, or where it could not
        be made.
    calibration
        Intervals; None where they could not be made, and of models of earlier versions.
    decision
        Calibration, threshold and class sets of a classifier; None of a regressor.
    rows
        Number of rows that it was fitted on; None of models of earlier versions.
    blend
        Members of a blend; None of another model.
    """

    tuned: TuningResult
    model: Pipeline
    seconds: float
    evaluation: Evaluation | None
    explanation: Explanation | None
    calibration: Calibration | None = None
    decision: Decision | None = None
    rows: int | None = None
    blend: Blend | None = None

    @property
    def test(self) -> Metrics | None:
        """Errors on the test rows; None where there are none."""
        return self.evaluation.metrics if self.evaluation else None


class FitElsewhere(Protocol):
    """Fits a booster on other machines."""

    def fit(
        self,
        estimator: BoosterRegressor | BoosterClassifier,
        matrix: Matrix,
        targets: npt.NDArray[Any],
    ) -> bool:
        """Fit on rows with their numbers or labels; return False to have it done here."""


def train(
    tuned: TuningResult,
    training_set: TrainingSet,
    request: SearchRequest,
    family: ModelFamily | None = None,
    *,
    calibrated: bool = True,
    elsewhere: FitElsewhere | None = None,
) -> TrainedModel:
    """Fit the best settings on train and validation, and judge the result on the test rows.

    The number of boosting rounds is the one that tuning found: no row that the model learns from
    decides when it stops.

    Parameters
    ----------
    family
        Tuned family, where it is not in the catalogue.
    calibrated
        Whether the model gets intervals, or its calibration and threshold. They take one more fit,
        on the train rows alone, where the search has not handed on what its best trial predicts.
    elsewhere
        Fits XGBoost on other machines, where the table is large enough for that.
    """
    target = training_set.dataset.target
    family = tuned.family_of(family or get_family(tuned.family, target.kind))
    started = time.monotonic()
    splits = training_set.layout_for(family.layout)
    sample = None
    if family.is_sampled and splits.targets is None:
        sample = learned_sample(training_set, request.sample_rows, request.random_state)
    matrix, steps = rows_of(splits.train_validation, sample), [("encode", splits.encoder)]
    if tuned.columns is not None:
        keep = selector(tuned.columns, splits.encoder.get_feature_names_out())
        matrix = keep.transform(matrix)
        steps.append(("select", keep))
    estimator: Any = _estimator(family, tuned, request, target)
    rows, columns = matrix.shape
    noun = training_set.dataset.rows[0]
    drawn = "" if sample is None else f" (a sample of {training_set.rows['all']:,})"
    fitting = f"{family.name}: fitting on {rows:,} {noun}{drawn}, {columns:,} columns"
    with step(fitting), warnings.catch_warnings():
        # A fit need not converge, as in tuning: validation has chosen the number of iterations.
        warnings.simplefilter("ignore", ConvergenceWarning)
        learned = rows_of(np.concatenate(training_set.targets_for(family.layout)), sample)
        labels = learned_target(learned, target)
        boosted = elsewhere if family.name == XGBOOST else None
        if boosted is None or not boosted.fit(estimator, matrix, labels):
            estimator.fit(matrix, labels)
    seconds = time.monotonic() - started
    model = Pipeline([*steps, ("estimate", estimator)])
    if calibrated:
        # Those that the search has not handed on are predicted here: a blend is chosen by them.
        with optional("What the best trial predicts"):
            searched = searched_residuals(tuned, training_set, request, family)
            tuned = replace(tuned, predicted=searched.predicted)
    trained = finish(model, tuned, seconds, training_set, request, family, calibrated=calibrated)
    return replace(trained, rows=rows)


def finish(
    fitted: Pipeline,
    tuned: TuningResult,
    seconds: float,
    training_set: TrainingSet,
    request: SearchRequest,
    family: ModelFamily,
    *,
    calibrated: bool = True,
) -> TrainedModel:
    """Calibrate, judge and explain a model that was fitted on train and validation; see `train`.

    Parameters
    ----------
    fitted
        Encoder and fitted estimator together.
    seconds
        Time of the fit.
    """
    model, target, noun = fitted, training_set.dataset.target, training_set.dataset.rows[0]
    decision = None
    if calibrated and target.is_classified:
        with step(f"{family.name}: calibrating probabilities"):
            residuals = residuals_of(model, tuned, training_set, request, family)
            model, decision = finish_classifier(
                model, residuals, training_set, family.layout, seed=request.random_state
            )
    with step(f"{family.name}: judging on {len(training_set.test_rows):,} test {noun}"):
        evaluation = evaluate(model, training_set)
    if evaluation:
        error = target.with_unit(f"{getattr(evaluation.metrics, target.main_metric):.3f}")
        logger.info("%s: test %s %s", family.name, metric_title(target.main_metric), error)
    if evaluation and decision:
        columns = evaluation.predictions.drop(columns="actual").to_numpy(dtype=np.float64)
        measured = columns[:, 0] if target.labels.is_binary else columns
        metrics = measure_decision(decision, training_set.test_target, measured, "test")
        decision = replace(decision, metrics=metrics)
    explanation = None
    with optional("The explanation"), step(f"{family.name}: explaining some test {noun}"):
        explanation = explain(fitted, training_set, random_state=request.random_state)
    calibration = None
    if calibrated and not target.is_classified:
        with optional("The intervals"), step(f"{family.name}: calibrating intervals"):
            calibration = calibrate_model(model, tuned, training_set, request, family)
    return TrainedModel(tuned, model, seconds, evaluation, explanation, calibration, decision)


def _estimator(
    family: ModelFamily, tuned: TuningResult, request: SearchRequest, target: Target
) -> Regressor:
    if family.name == XGBOOST:
        rounds = tuned.best.rounds or MAXIMUM_ROUNDS
        return make_booster(family, tuned.best.settings, request, rounds=rounds, target=target)
    return make_sklearn(family, tuned.best.settings, random_state=request.random_state)
