"""One fit, which can be watched, paused and pruned while it grows."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost as xgb
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from threadpoolctl import threadpool_limits

from model_loop.datasets.classes import TWO
from model_loop.datasets.dataset import Target
from model_loop.models.boosting import binned
from model_loop.models.catalogue import XGBOOST, ModelFamily
from model_loop.models.class_metrics import log_losses
from model_loop.models.estimators import Regressor, make_booster, make_sklearn
from model_loop.models.outcomes import by_code
from model_loop.models.search import MAXIMUM_ROUNDS, SearchRequest
from model_loop.models.selection import score_columns, selector
from model_loop.models.spaces import Settings
from model_loop.training_set.matrices import Matrix, Targets
from model_loop.training_set.sampling import rows_of, train_sample, validation_sample
from model_loop.training_set.types import TrainingSet


@dataclass(frozen=True)
class FitData:
    """Train and validation data of a search.

    Parameters
    ----------
    train, validation
        Design matrices of shape (rows, columns).
    train_target, validation_target
        Targets, each of shape (rows,).
    binned
        Both matrices in XGBoost's own form; see `prepare`.
    columns
        Scores of the columns and which were kept; None where all are.
    folds
        Folds of a cross-validation, which judge in the place of the validation data; see
        `TrainingSet.folds`.
    target
        The target: whether targets are numbers or codes of classes.
    """

    train: Matrix
    train_target: Targets
    validation: Matrix
    validation_target: Targets
    binned: tuple[xgb.DMatrix, xgb.DMatrix] | None = None
    columns: pd.DataFrame | None = None
    folds: tuple[FitData, ...] = ()
    target: Target = field(default_factory=lambda: Target(""))

    @property
    def judged_target(self) -> Targets:
        """Targets that fits are judged by, in the order of their predictions."""
        return np.concatenate([each.validation_target for each in self.folds or (self,)])

    @classmethod
    def of(
        cls,
        training_set: TrainingSet,
        family: ModelFamily,
        request: SearchRequest,
        *,
        train_rows: int = 0,
        judged_rows: int = 0,
        columns: pd.DataFrame | None = None,
    ) -> Self:
        """The part of a training set that suits a family, with the columns that are asked for.

        Parameters
        ----------
        train_rows, judged_rows
            Most train and validation rows, drawn evenly from each day and class; 0 for all. Folds
            are of few rows, and are taken whole. Where layouts have only some validation rows in
            common, these judge all families.
        columns
            Scores of the columns, where they have been chosen before.

        Raises
        ------
        InvalidInputError
            If the family cannot learn from what the training set's encoding makes.
        """
        family.require_readable(training_set.request.encoding)
        splits, seed = training_set.layout_for(family.layout), request.random_state
        train_target, validation_target = training_set.targets_for(family.layout)
        learned = judged = None
        if splits.targets is None:
            learned = train_sample(training_set, train_rows, seed)
            judged = training_set.compared
            if judged is None:
                judged = validation_sample(training_set, judged_rows, seed)
        whole = cls(
            rows_of(splits.train, learned),
            rows_of(train_target, learned),
            rows_of(splits.validation, judged),
            rows_of(validation_target, judged),
            target=training_set.dataset.target,
        )
        folds = training_set.folds.get(family.layout, ())
        return dataclasses.replace(
            whole.selected(request, splits.train_encoder.get_feature_names_out(), columns),
            folds=tuple(
                cls(
                    fold.train,
                    fold.train_target,
                    fold.validation,
                    fold.validation_target,
                    target=training_set.dataset.target,
                ).selected(request, np.array(fold.names, dtype=object))
                for fold in folds
            ),
        )

    def selected(
        self,
        request: SearchRequest,
        names: npt.NDArray[np.object_],
        columns: pd.DataFrame | None = None,
    ) -> Self:
        """Return the data with the columns that are asked for, by the train rows alone."""
        rule, seed = request.feature_selection, request.random_state
        if columns is None:
            columns = score_columns(rule, self.train, self.train_target, names, seed)
        if columns is None:
            return self
        keep = selector(columns, names)
        train, validation = keep.transform(self.train), keep.transform(self.validation)
        return dataclasses.replace(self, train=train, validation=validation, columns=columns)


@dataclass(frozen=True)
class Fitted:
    """Result of a fit.

    Parameters
    ----------
    predicted
        Outcomes of the validation rows as predicted, as far as the fit came; see `models.outcomes`.
    rounds
        Boosting rounds at the lowest validation error, where the family has any.
    """

    predicted: Targets
    rounds: int | None = None


def prepare(family: ModelFamily, data: FitData, request: SearchRequest) -> FitData:
    """Make once what all fits of a family share: XGBoost's own form of the matrices."""
    if family.name != XGBOOST:
        return data
    if data.folds:
        folds = tuple(prepare(family, fold, request) for fold in data.folds)
        return dataclasses.replace(data, folds=folds)
    bins: Any = family.fixed.get("max_bin")
    train = binned(data.train, data.train_target, request.threads, bins=bins)
    validation = binned(data.validation, data.validation_target, request.threads, train, bins)
    return dataclasses.replace(data, binned=(train, validation))


#: Function that returns the reason to prune a fit with such an expected error; None to go on.
Decide = Callable[[Sequence[float]], str | None]


def never(outlook: Sequence[float]) -> None:
    """Let a fit come to its end."""


class Fit:
    """One fit on the train rows, watching the error of the validation rows.

    Attributes
    ----------
    curve, steps
        Validation error after each interval of effort, and the rounds, stages or trees there.
    outlook
        Error that the fit is expected to come to, as seen from there.
    stopped
        Reason why the fit was pruned.
    ended
        Whether it has come to its end, or was pruned.
    """

    def __init__(
        self, family: ModelFamily, settings: Settings, data: FitData, request: SearchRequest
    ) -> None:
        self.curve: list[float] = []
        self.steps: list[int] = []
        self.outlook: list[float] = []
        self.stopped: str | None = None
        self.ended = False
        self._interval = 1.0
        if family.resource is not None:
            self._interval = family.resource.steps_in_interval(settings)
        self._growth = _growth(family, settings, data, request)

    @property
    def next_step(self) -> int:
        """The step (round, stage or tree) that ends the present interval."""
        # The product of two decimal fractions may lie a rounding error above a whole number.
        return math.ceil((len(self.curve) + 1) * self._interval - 1e-9)

    def advance(self, decide: Decide = never, *, pause_at: int | None = None) -> None:
        """Go on until the end, until `decide` gives a reason, or until so many intervals.

        Raises
        ------
        ValueError, ArithmeticError, MemoryError, xgboost.core.XGBoostError
            If the estimator does not take the settings or the data.
        """

        def halts(step: int, error: float, expected: float | None = None) -> bool:
            if self._take(step, error, error if expected is None else expected):
                if pause_at is not None and len(self.curve) >= pause_at:
                    return True
                self.stopped = decide(self.outlook)
            return self.stopped is not None

        with warnings.catch_warnings():
            # The number of iterations is itself searched: validation judges what it was worth.
            warnings.simplefilter("ignore", ConvergenceWarning)
            ended = self._growth.advance(halts)
        self.ended = ended or self.stopped is not None

    def _take(self, step: int, error: float, expected: float) -> bool:
        """Write down the error after a step; return whether that ends an interval."""
        grown = False
        while self.next_step <= step:
            # A large step may end several intervals.
            self.curve.append(error)
            self.steps.append(step)
            self.outlook.append(expected)
            grown = True
        return grown

    def fitted(self) -> Fitted:
        """Return the result of the fit so far."""
        return self._growth.fitted()


class Halts(Protocol):
    """Takes a step, the error after it and the error expected at the end; says whether to halt."""

    def __call__(self, step: int, error: float, expected: float | None = None) -> bool:
        """Return whether to halt."""


def project(alone: float, together: float, trees: int, planned: int) -> float:
    """The mean squared error that a forest will come to.

    A forest predicts the mean of its trees, which are drawn alike, so that its mean squared error
    is expected to be a + b / n for n trees (Louppe, "Understanding Random Forests", 2014, section
    4.2): a straight line over 1 / n, on which lie that of a single tree and that of those so far.

    Parameters
    ----------
    alone
        Mean squared error of a tree, on average over the trees so far.
    together
        Mean squared error of the mean of the trees so far.
    trees, planned
        Number of trees so far, and in the end.
    """
    if trees == 1:
        return together
    slope = (alone - together) / (1 - 1 / trees)
    return max(alone - slope + slope / planned, 0.0)


class _Growth(Protocol):
    """Step-by-step growth of a fit, one class for each kind of family."""

    def advance(self, halts: Halts) -> bool:
        """Grow until the end or until told to halt; return whether it is the end."""

    def fitted(self) -> Fitted:
        """Return the result so far."""


class _AtOnce:
    """Nothing can be seen of the fit before its end."""

    def __init__(self, estimator: Regressor, data: FitData) -> None:
        self.estimator, self.data = estimator, data

    def advance(self, halts: Halts) -> bool:  # noqa: ARG002 - it is never asked
        # Coordinate descent adds up single columns: the threads of BLAS end no sooner than one, and
        # take the core of the search beside it.
        alone = 1 if isinstance(self.estimator, Lasso) else None
        with threadpool_limits(alone, user_api="blas"):
            self.estimator.fit(self.data.train, self.data.train_target)
        return True

    def fitted(self) -> Fitted:
        return Fitted(_outcomes(self.estimator, self.data.validation, self.data.target))


class _Rounds:
    """XGBoost, round by round; of several folds together, stopped by the error of all of them."""

    def __init__(
        self, family: ModelFamily, settings: Settings, data: FitData, request: SearchRequest
    ) -> None:
        self.folds, self.patience = data.folds or (data,), request.early_stopping_rounds
        self.pooled = _pooled(self.folds, request)
        self.boosters = [
            make_booster(
                family, settings, request, rounds=MAXIMUM_ROUNDS, target=data.target
            ).set_params(early_stopping_rounds=MAXIMUM_ROUNDS)
            for _ in self.folds
        ]
        grown = []
        for booster, fold in zip(self.boosters, self.folds, strict=True):
            train, validation = fold.binned or (fold.train, fold.validation)
            judged = (validation, fold.validation_target)
            grown.append(booster.grow(train, fold.train_target, judged))
        self.rounds, self.curve = zip(*grown, strict=True), list[float]()

    def advance(self, halts: Halts) -> bool:
        for grown in self.rounds:
            self.curve.append(self.pooled([error for _, error in grown]))
            if halts(len(self.curve), self.curve[-1]):
                return False
            if len(self.curve) - self.best >= self.patience:
                return True
        return True

    @property
    def best(self) -> int:
        """Number of rounds with the lowest error."""
        return int(np.argmin(self.curve)) + 1

    def fitted(self) -> Fitted:
        predicted = []
        for booster, fold in zip(self.boosters, self.folds, strict=True):
            booster.best_rounds_ = self.best
            predicted.append(_outcomes(booster, fold.validation, fold.target))
        return Fitted(np.concatenate(predicted), self.best)


class _GrowingForest:
    """A forest, tree by tree; scikit-learn draws the same trees as it would at once."""

    def __init__(self, estimator: Any, data: FitData, error_of: ErrorOf) -> None:  # noqa: ANN401 - a forest of scikit-learn's
        self.estimator, self.data, self.error_of = estimator, data, error_of
        self.wanted, self.trees = estimator.n_estimators, 0
        self.rows = _as_trees_read(data.validation)
        self.total, self.squares = np.zeros(len(data.validation_target)), 0.0

    def advance(self, halts: Halts) -> bool:
        while self.trees < self.wanted:
            self.estimator.set_params(n_estimators=self.trees + 1, warm_start=True)
            self.estimator.fit(self.data.train, self.data.train_target)
            tree = self.estimator.estimators_[-1].predict(self.rows, check_input=False)
            self.trees += 1
            self.total += tree
            self.squares += self.error_of(tree) ** 2
            error = self.error_of(self.total / self.trees)
            expected = project(self.squares / self.trees, error**2, self.trees, self.wanted)
            if halts(self.trees, error, math.sqrt(expected)):
                return False
        return True

    def fitted(self) -> Fitted:
        return Fitted(self.total / self.trees)


class _Stages:
    """Boosting of scikit-learn, adding up the predictions of the stages on the way."""

    def __init__(self, estimator: Any, data: FitData, error_of: ErrorOf) -> None:  # noqa: ANN401 - GradientBoostingRegressor
        self.estimator, self.data, self.error_of = estimator, data, error_of
        self.estimator.set_params(warm_start=True)
        self.rows = _as_trees_read(data.validation)
        self.predicted = np.zeros(len(data.validation_target))

    def advance(self, halts: Halts) -> bool:
        halted = False

        def monitor(stage: int, model: Any, _local: Mapping[str, Any]) -> bool:  # noqa: ANN401 - scikit-learn's
            nonlocal halted
            if stage == 0:
                self.predicted = model.init_.predict(self.rows).astype(np.float64)
            tree = model.estimators_[stage, 0]
            self.predicted += model.learning_rate * tree.predict(self.rows, check_input=False)
            halted = halts(stage + 1, self.error_of(self.predicted))
            return halted

        self.estimator.fit(self.data.train, self.data.train_target, monitor=monitor)
        return not halted

    def fitted(self) -> Fitted:
        return Fitted(self.predicted)


class _ClassTrees:
    """A forest of classifiers, tree by tree; see `_GrowingForest`.

    Its final log loss is not projected: that of few trees says little of it.
    """

    def __init__(self, estimator: Any, data: FitData, error_of: ErrorOf) -> None:  # noqa: ANN401 - a forest of scikit-learn's
        self.estimator, self.data, self.error_of = estimator, data, error_of
        self.wanted, self.trees = estimator.n_estimators, 0
        self.rows = _as_trees_read(data.validation)
        self.total: Any = 0.0

    def advance(self, halts: Halts) -> bool:
        while self.trees < self.wanted:
            self.estimator.set_params(n_estimators=self.trees + 1, warm_start=True)
            self.estimator.fit(self.data.train, self.data.train_target)
            self.trees += 1
            tree = self.estimator.estimators_[-1]
            self.total = self.total + tree.predict_proba(self.rows, check_input=False)
            if halts(self.trees, self.error_of(self._mean())):
                return False
        return True

    def _mean(self) -> Targets:
        classes = self.data.target.labels
        return by_code(self.total / self.trees, self.estimator.classes_, classes)

    def fitted(self) -> Fitted:
        return Fitted(self._mean())


class _ClassStages:
    """Boosting of scikit-learn's classifiers, adding up the stages on the scale of log-odds."""

    def __init__(self, estimator: Any, data: FitData, error_of: ErrorOf) -> None:  # noqa: ANN401 - GradientBoostingClassifier
        self.estimator, self.data, self.error_of = estimator, data, error_of
        self.estimator.set_params(warm_start=True)
        self.rows = _as_trees_read(data.validation)
        self.raw: Any = 0.0
        self.classes: npt.NDArray[np.float64] = np.zeros(0)

    def advance(self, halts: Halts) -> bool:
        halted = False

        def monitor(stage: int, model: Any, _local: Mapping[str, Any]) -> bool:  # noqa: ANN401 - scikit-learn's
            nonlocal halted
            if stage == 0:
                shares = model.init_.class_prior_
                start = np.log(shares) if len(shares) > TWO else np.log(shares[1:] / shares[:1])
                self.raw, self.classes = np.tile(start, (self.rows.shape[0], 1)), model.classes_
            steps = [
                tree.predict(self.rows, check_input=False) for tree in model.estimators_[stage]
            ]
            self.raw += model.learning_rate * np.column_stack(steps)
            halted = halts(stage + 1, self.error_of(self._probabilities()))
            return halted

        self.estimator.fit(self.data.train, self.data.train_target, monitor=monitor)
        return not halted

    def _probabilities(self) -> Targets:
        if self.raw.shape[1] == 1:
            positive = expit(self.raw)
            both = np.hstack([1.0 - positive, positive])
        else:
            both = softmax(self.raw, axis=1)
        return by_code(both, self.classes, self.data.target.labels)

    def fitted(self) -> Fitted:
        return Fitted(self._probabilities())


class _Folds:
    """The fits of all folds, step by step together; what is seen is the error of all of them."""

    def __init__(self, growths: Sequence[_Growth], pooled: Pooled) -> None:
        self.growths, self.pooled = growths, pooled

    def advance(self, halts: Halts) -> bool:
        while True:
            seen: list[tuple[int, float, float]] = []

            def note(step: int, error: float, expected: float | None = None) -> bool:
                seen.append((step, error, error if expected is None else expected))  # noqa: B023 - called in this round alone
                return True

            for growth in self.growths:
                growth.advance(note)
            if len(seen) < len(self.growths):
                # They have equally many steps, or none can be seen.
                return True
            steps, errors, expected = zip(*seen, strict=True)
            if halts(steps[0], self.pooled(errors), self.pooled(expected)):
                return False

    def fitted(self) -> Fitted:
        return Fitted(np.concatenate([growth.fitted().predicted for growth in self.growths]))


ErrorOf = Callable[[Targets], float]
Pooled = Callable[[Sequence[float]], float]


def _pooled(folds: Sequence[FitData], request: SearchRequest) -> Pooled:
    """Return the function that makes the error of all folds of that of each."""
    rows = np.array([len(fold.validation_target) for fold in folds])

    def pooled(errors: Sequence[float]) -> float:
        if len(errors) == 1:
            return errors[0]
        if request.curve_metric != "rmse":
            return float(np.average(errors, weights=rows))
        return math.sqrt(float(np.average(np.square(errors), weights=rows)))

    return pooled


def _growth(
    family: ModelFamily, settings: Settings, data: FitData, request: SearchRequest
) -> _Growth:
    if family.name == XGBOOST:
        return _Rounds(family, settings, data, request)
    if data.folds:
        growths = [_growth(family, settings, fold, request) for fold in data.folds]
        return _Folds(growths, _pooled(data.folds, request))
    estimator = make_sklearn(family, settings, random_state=request.random_state)
    error_of, classified = _error_of(data.validation_target, request), data.target.is_classified
    match family.resource.grows if family.resource else None:
        case "trees":
            return (_ClassTrees if classified else _GrowingForest)(estimator, data, error_of)
        case "stages":
            return (_ClassStages if classified else _Stages)(estimator, data, error_of)
        case _:
            return _AtOnce(estimator, data)


def _outcomes(estimator: Any, matrix: Matrix, target: Target) -> Targets:  # noqa: ANN401 - fitted on targets or codes
    """Return outcomes as an estimator predicts them that was fitted on numbers or codes."""
    if not target.is_classified:
        return np.asarray(estimator.predict(matrix), dtype=np.float64)
    return by_code(estimator.predict_proba(matrix), estimator.classes_, target.labels)


def _error_of(actual: Targets, request: SearchRequest) -> ErrorOf:
    def rmse(predicted: Targets) -> float:
        return float(np.sqrt(np.square(predicted - actual).mean()))

    def mae(predicted: Targets) -> float:
        return float(np.abs(predicted - actual).mean())

    def log_loss(predicted: Targets) -> float:
        return float(log_losses(actual, predicted).mean())

    if request.curve_metric == "log_loss":
        return log_loss
    return mae if request.curve_metric == "mae" else rmse


def _as_trees_read(matrix: Matrix) -> Matrix:
    """The form in which scikit-learn's trees read rows, so that not each of them converts it."""
    if isinstance(matrix, csr_matrix):
        return matrix.astype(np.float32)
    return np.ascontiguousarray(matrix, dtype=np.float32)
