"""The search for the best settings of one family."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.exceptions import ConvergenceWarning

from trip_duration.errors import TripDurationError
from trip_duration.models.catalogue import XGBOOST, ModelFamily, get_family
from trip_duration.models.estimators import make_booster, make_sklearn
from trip_duration.models.evaluation import measure
from trip_duration.models.search import MAXIMUM_ROUNDS, SearchRequest, Trial, TuningResult
from trip_duration.models.spaces import Setting, plain, to_hyperopt
from trip_duration.training_set.types import TrainingSet

logger = logging.getLogger(__name__)

OnTrial = Callable[[Trial], None]

#: What a fit can throw because of its settings or its data; anything else is a defect.
_TRIAL_FAILURES = (ValueError, ArithmeticError, MemoryError, xgb.core.XGBoostError)


def ignore_trial(trial: Trial) -> None:
    """Do nothing with a trial."""


class NoTrialSucceededError(TripDurationError):
    """Every trial of a search failed."""


def tune(
    family_name: str,
    training_set: TrainingSet,
    request: SearchRequest,
    on_trial: OnTrial = ignore_trial,
) -> TuningResult:
    """Search the family's space for the settings with the lowest validation RMSE.

    Parameters
    ----------
    on_trial
        Called after each trial, for progress and tracking.

    Raises
    ------
    InvalidInputError
        If the family is unknown.
    NoTrialSucceededError
        If no trial could be fitted.
    """
    started = time.monotonic()
    search = _Search(get_family(family_name), training_set, request, on_trial)
    search.run()
    return TuningResult(
        family=family_name,
        best=search.best(),
        trials=tuple(search.trials),
        seconds=time.monotonic() - started,
    )


class _Search:
    """The state of one search: hyperopt proposes, we fit, remember and report."""

    def __init__(
        self,
        family: ModelFamily,
        training_set: TrainingSet,
        request: SearchRequest,
        on_trial: OnTrial,
    ) -> None:
        self.family = family
        self.training_set = training_set
        self.request = request
        self.on_trial = on_trial
        self.trials: list[Trial] = []
        self._by_settings: dict[str, Trial] = {}

    def run(self) -> None:
        import hyperopt

        suggest = {
            "tpe": hyperopt.tpe.suggest,
            "random": hyperopt.rand.suggest,
            "anneal": hyperopt.anneal.suggest,
        }[self.request.search_algorithm]
        # With every trial failed hyperopt raises; `best` says why they did.
        with contextlib.suppress(hyperopt.exceptions.AllTrialsFailed):
            hyperopt.fmin(
                self._objective,
                to_hyperopt(self.family.space),
                algo=suggest,
                max_evals=self.request.max_evaluations,
                timeout=self.request.time_budget_seconds or None,
                rstate=np.random.default_rng(self.request.random_state),
                trials=hyperopt.Trials(),
                show_progressbar=False,
                verbose=False,
                return_argmin=False,
            )

    def best(self) -> Trial:
        succeeded = [trial for trial in self.trials if trial.metrics]
        if not succeeded:
            raise NoTrialSucceededError(
                f"Every one of {len(self.trials)} trials of {self.family.name}",
                f"failed; the last with: {self.trials[-1].error}",
                "Check the training set and the search space.",
            )
        return min(succeeded, key=_validation_rmse)

    def _objective(self, point: Mapping[str, Any]) -> dict[str, Any]:
        settings = plain(self.family.space, point)
        key = json.dumps(settings, sort_keys=True)
        if key not in self._by_settings:
            trial = self._by_settings[key] = self._evaluate(settings)
            self.trials.append(trial)
            self.on_trial(trial)
        metrics = self._by_settings[key].metrics
        return {"status": "ok", "loss": metrics.rmse} if metrics else {"status": "fail"}

    def _evaluate(self, settings: Mapping[str, Setting]) -> Trial:
        started, clock = time.time(), time.monotonic()
        outcome: dict[str, Any]
        try:
            outcome = self._fit(settings)
        except _TRIAL_FAILURES as error:
            logger.warning("A trial of %s failed with %s: %s", self.family.name, settings, error)
            outcome = {"metrics": None, "error": f"{type(error).__name__}: {error}"}
        return Trial(
            number=len(self.trials),
            settings=settings,
            started=started,
            seconds=time.monotonic() - clock,
            **outcome,
        )

    def _fit(self, settings: Mapping[str, Setting]) -> dict[str, Any]:
        splits = self.training_set.layout_for(self.family.layout)
        actual = self.training_set.validation_minutes
        if self.family.name == XGBOOST:
            booster = make_booster(
                self.family,
                settings,
                rounds=MAXIMUM_ROUNDS,
                early_stopping_rounds=self.request.early_stopping_rounds,
                threads=self.request.threads,
                random_state=self.request.random_state,
            ).fit(splits.train, self.training_set.train_minutes, (splits.validation, actual))
            return {
                "metrics": measure(actual, booster.predict(splits.validation)),
                "rounds": booster.best_rounds_,
                "curve": tuple(booster.curve_),
            }
        estimator = make_sklearn(self.family, settings, random_state=self.request.random_state)
        with warnings.catch_warnings():
            # The number of iterations is itself searched: validation judges what it was worth.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(splits.train, self.training_set.train_minutes)
        return {"metrics": measure(actual, estimator.predict(splits.validation))}


def _validation_rmse(trial: Trial) -> float:
    return trial.metrics.rmse if trial.metrics else float("inf")
