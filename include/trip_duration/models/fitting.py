"""One fit, watched while it grows."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost as xgb
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning

from trip_duration.models.boosting import binned
from trip_duration.models.catalogue import XGBOOST, ModelFamily
from trip_duration.models.estimators import make_booster, make_sklearn
from trip_duration.models.search import MAXIMUM_ROUNDS, SearchRequest
from trip_duration.models.spaces import Settings
from trip_duration.models.termination import Terminator
from trip_duration.training_set.types import Matrix, Minutes, TrainingSet


@dataclass(frozen=True)
class FitData:
    """What a search learns from and judges by.

    Parameters
    ----------
    train, validation
        Design matrices of shape (trips, columns).
    train_minutes, validation_minutes
        Durations, each of shape (trips,).
    binned
        Both matrices in XGBoost's own form; see `prepare`.
    """

    train: Matrix
    train_minutes: Minutes
    validation: Matrix
    validation_minutes: Minutes
    binned: tuple[xgb.DMatrix, xgb.DMatrix] | None = None

    @classmethod
    def of(cls, training_set: TrainingSet, family: ModelFamily) -> Self:
        """The part of a training set that suits a family."""
        splits = training_set.layout_for(family.layout)
        return cls(
            splits.train,
            training_set.train_minutes,
            splits.validation,
            training_set.validation_minutes,
        )


@dataclass(frozen=True)
class Fitted:
    """What a fit came to.

    Parameters
    ----------
    predicted
        Minutes of the validation trips, as far as the fit came.
    rounds
        Boosting rounds at the lowest validation error, where the family has any.
    """

    predicted: Minutes
    rounds: int | None = None


class Watch:
    """Writes down the learning curve of a fit, and says when to give it up.

    Parameters
    ----------
    family, settings
        What is fitted.
    terminator
        Decides by the curves of earlier trials.
    """

    def __init__(self, family: ModelFamily, settings: Settings, terminator: Terminator) -> None:
        self.curve: list[float] = []
        self.steps: list[int] = []
        self.stopped: str | None = None
        self._terminator = terminator
        self._interval = 1.0
        if family.resource is not None:
            self._interval = family.resource.steps_in_interval(settings)

    @property
    def next_step(self) -> int:
        """The step (round, tree or iteration) that ends the present interval."""
        # The product of two decimal fractions may lie a rounding error above a whole number.
        return math.ceil((len(self.curve) + 1) * self._interval - 1e-9)

    def report(self, step: int, error: float) -> bool:
        """Take the validation error after a step; return whether to give the fit up."""
        grown = False
        while self.next_step <= step:
            # A large step may end several intervals.
            self.curve.append(error)
            self.steps.append(step)
            grown = True
        if grown:
            self.stopped = self._terminator.reason(self.curve)
        return self.stopped is not None


ErrorOf = Callable[[Minutes], float]


def prepare(family: ModelFamily, data: FitData, request: SearchRequest) -> FitData:
    """Make once what all fits of a family share: XGBoost's own form of the matrices."""
    if family.name != XGBOOST:
        return data
    train = binned(data.train, data.train_minutes, request.threads)
    validation = binned(data.validation, data.validation_minutes, request.threads, train)
    return dataclasses.replace(data, binned=(train, validation))


def fit(
    family: ModelFamily,
    settings: Settings,
    data: FitData,
    request: SearchRequest,
    watch: Watch,
) -> Fitted:
    """Fit settings on the train trips, watching the error of the validation trips.

    Raises
    ------
    ValueError, ArithmeticError, MemoryError, xgboost.core.XGBoostError
        If the estimator does not take the settings or the data.
    """
    if family.name == XGBOOST:
        return _fit_booster(family, settings, data, request, watch)
    estimator = make_sklearn(family, settings, random_state=request.random_state)
    grow = _GROWERS[family.resource.grows] if family.resource else _fit_at_once
    with warnings.catch_warnings():
        # The number of iterations is itself searched: validation judges what it was worth.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = grow(estimator, data, watch, _error_of(data.validation_minutes, request))
    return Fitted(predicted)


def _error_of(actual: Minutes, request: SearchRequest) -> ErrorOf:
    def rmse(predicted: Minutes) -> float:
        return float(np.sqrt(np.square(predicted - actual).mean()))

    def mae(predicted: Minutes) -> float:
        return float(np.abs(predicted - actual).mean())

    return mae if request.curve_metric == "mae" else rmse


def _fit_booster(
    family: ModelFamily,
    settings: Settings,
    data: FitData,
    request: SearchRequest,
    watch: Watch,
) -> Fitted:
    train, validation = data.binned or (data.train, data.validation)
    booster = make_booster(family, settings, request, rounds=MAXIMUM_ROUNDS).fit(
        train,
        data.train_minutes,
        (validation, data.validation_minutes),
        on_round=watch.report,
    )
    return Fitted(booster.predict(data.validation), booster.best_rounds_)


def _fit_at_once(
    estimator: Any,  # noqa: ANN401 - any of scikit-learn's
    data: FitData,
    watch: Watch,  # noqa: ARG001 - there is nothing to see before the end
    error_of: ErrorOf,  # noqa: ARG001 - as above
) -> Minutes:
    estimator.fit(data.train, data.train_minutes)
    predicted: Minutes = estimator.predict(data.validation)
    return predicted


def _fit_trees(
    estimator: Any,  # noqa: ANN401 - a forest of scikit-learn's
    data: FitData,
    watch: Watch,
    error_of: ErrorOf,
) -> Minutes:
    """Add trees to a forest; scikit-learn draws the same trees as it would at once."""
    wanted, trees = estimator.n_estimators, 0
    rows = _as_trees_read(data.validation)
    total = np.zeros(len(data.validation_minutes))
    while trees < wanted and not watch.stopped:
        upto = min(watch.next_step, wanted)
        estimator.set_params(n_estimators=upto, warm_start=True)
        estimator.fit(data.train, data.train_minutes)
        for tree in estimator.estimators_[trees:]:
            total += tree.predict(rows, check_input=False)
        trees = upto
        watch.report(trees, error_of(total / trees))
    return total / trees


def _fit_stages(
    estimator: Any,  # noqa: ANN401 - GradientBoostingRegressor
    data: FitData,
    watch: Watch,
    error_of: ErrorOf,
) -> Minutes:
    """Boost, adding up the predictions of the stages on the way."""
    rows = _as_trees_read(data.validation)
    predicted = np.zeros(len(data.validation_minutes))

    def monitor(stage: int, model: Any, _local: Mapping[str, Any]) -> bool:  # noqa: ANN401 - scikit-learn's
        nonlocal predicted
        if stage == 0:
            predicted = model.init_.predict(rows).astype(np.float64)
        predicted += model.learning_rate * model.estimators_[stage, 0].predict(
            rows, check_input=False
        )
        return watch.report(stage + 1, error_of(predicted))

    estimator.fit(data.train, data.train_minutes, monitor=monitor)
    return predicted


def _fit_iterations(
    estimator: Any,  # noqa: ANN401 - Lasso
    data: FitData,
    watch: Watch,
    error_of: ErrorOf,
) -> Minutes:
    """Go on from the coefficients so far, until they no longer change."""
    wanted, iterations = estimator.max_iter, 0
    predicted = np.zeros(len(data.validation_minutes))
    while iterations < wanted and not watch.stopped:
        further = min(watch.next_step, wanted) - iterations
        estimator.set_params(max_iter=further, warm_start=True)
        estimator.fit(data.train, data.train_minutes)
        predicted = estimator.predict(data.validation)
        iterations += further
        watch.report(iterations, error_of(predicted))
        if estimator.n_iter_ < further:
            break
    return predicted


def _as_trees_read(matrix: Matrix) -> Matrix:
    """The form in which scikit-learn's trees read rows, so that not each of them converts it."""
    if isinstance(matrix, csr_matrix):
        return matrix.astype(np.float32)
    return np.ascontiguousarray(matrix, dtype=np.float32)


_GROWERS = {"trees": _fit_trees, "stages": _fit_stages, "iterations": _fit_iterations}
