"""The search for the best settings of one family."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from trip_duration.errors import TripDurationError
from trip_duration.models import fitting
from trip_duration.models.catalogue import ModelFamily, get_family
from trip_duration.models.evaluation import measure
from trip_duration.models.journal import ForgetfulStore, TrialJournal
from trip_duration.models.search import SearchRequest, Trial, TuningResult
from trip_duration.models.spaces import Setting, grid, plain, to_hyperopt
from trip_duration.models.termination import Terminator
from trip_duration.training_set.types import TrainingSet

logger = logging.getLogger(__name__)

OnTrial = Callable[[Trial], None]

#: What a fit can throw because of its settings or its data; anything else is a defect.
_TRIAL_FAILURES = (ValueError, TypeError, ArithmeticError, MemoryError, xgb.core.XGBoostError)


def ignore_trial(trial: Trial) -> None:
    """Do nothing with a trial."""


class NoTrialSucceededError(TripDurationError):
    """Every trial of a search failed."""


def tune(
    family: str | ModelFamily,
    training_set: TrainingSet,
    request: SearchRequest,
    on_trial: OnTrial = ignore_trial,
    journal: TrialJournal | None = None,
) -> TuningResult:
    """Search the family's space for the settings with the best primary metric on validation.

    Parameters
    ----------
    family
        Its name, or one that is not in the catalogue.
    on_trial
        Called after each trial, for progress and tracking; on resuming also for those that ended
        before.
    journal
        Keeps every trial as it ends. A search that is begun again with the same journal evaluates
        only what is not in it, and finds what it would have found in one go: what is proposed
        depends on the seed and on the trials so far, and on nothing else.

    Raises
    ------
    InvalidInputError
        If the family is unknown.
    NoTrialSucceededError
        If no trial could be fitted.
    """
    started = time.monotonic()
    known = get_family(family) if isinstance(family, str) else family
    if journal is None:
        journal = TrialJournal(ForgetfulStore(), known.name, training_set.digest, request)
    search = _Search(known, training_set, request, on_trial, journal)
    search.run()
    return TuningResult(
        family=known.name,
        best=search.best(),
        trials=tuple(search.trials),
        seconds=time.monotonic() - started,
    )


class _Search:
    """The state of one search: something proposes, we fit, remember and report."""

    def __init__(
        self,
        family: ModelFamily,
        training_set: TrainingSet,
        request: SearchRequest,
        on_trial: OnTrial,
        journal: TrialJournal,
    ) -> None:
        self.family = family
        self.request = request
        self.on_trial = on_trial
        self.journal = journal
        self.trials: list[Trial] = []
        self._ended = {_key(trial.settings): trial for trial in journal.load()}
        if self._ended:
            logger.info("%s: resuming after %d trials", family.name, len(self._ended))
        self._by_settings: dict[str, Trial] = {}
        self._terminator = Terminator(request.early_termination)
        self._data = fitting.prepare(family, fitting.FitData.of(training_set, family), request)

    def run(self) -> None:
        """Propose settings until the search is over."""
        if self.request.search_algorithm == "grid":
            self._run_grid()
        else:
            self._run_hyperopt()

    def best(self) -> Trial:
        """The trial with the best primary metric."""
        finished = [
            (trial, trial.metrics) for trial in self.trials if trial.metrics and trial.finished
        ]
        if not finished:
            raise NoTrialSucceededError(
                f"Every one of {len(self.trials)} trials of {self.family.name}",
                f"failed; the last with: {self.trials[-1].error}",
                "Check the training set and the search space.",
            )
        return min(finished, key=lambda one: self.request.loss(one[1]))[0]

    def _run_grid(self) -> None:
        deadline = time.monotonic() + (self.request.time_budget_seconds or float("inf"))
        for point in grid(self.family.space, self.request.max_evaluations):
            if time.monotonic() >= deadline or self._is_stuck():
                return
            self._trial(point)

    def _run_hyperopt(self) -> None:
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
                early_stop_fn=lambda _trials: (self._is_stuck(), []),
                show_progressbar=False,
                verbose=False,
                return_argmin=False,
            )

    def _objective(self, point: Mapping[str, Any]) -> dict[str, Any]:
        trial = self._trial(plain(self.family.space, point))
        if trial.metrics:
            # That of a trial that was given up is known to be worse than what it was compared with.
            return {"status": "ok", "loss": self.request.loss(trial.metrics)}
        return {"status": "fail"}

    def _trial(self, settings: Mapping[str, Setting]) -> Trial:
        """The trial with these settings; those that come again are not evaluated again."""
        key = _key(settings)
        if key not in self._by_settings:
            trial = self._ended.get(key)
            if trial is None:
                trial = self._evaluate(settings)
                self.journal.record(trial)
            self._by_settings[key] = trial
            self.trials.append(trial)
            self._terminator.add(trial.curve)
            self.on_trial(trial)
        return self._by_settings[key]

    def _is_stuck(self) -> bool:
        """Whether too many trials in a row were no better than the best."""
        patience = self.request.patience_evaluations
        if not patience or not any(trial.finished for trial in self.trials):
            return False
        return len(self.trials) - 1 - self.trials.index(self.best()) >= patience

    def _evaluate(self, settings: Mapping[str, Setting]) -> Trial:
        started, clock = time.time(), time.monotonic()
        watch = fitting.Watch(self.family, settings, self._terminator)
        outcome: dict[str, Any]
        try:
            fitted = fitting.fit(self.family, settings, self._data, self.request, watch)
            metrics = measure(self._data.validation_minutes, fitted.predicted)
            outcome = {"metrics": metrics, "rounds": fitted.rounds}
        except _TRIAL_FAILURES as error:
            logger.warning("A trial of %s failed with %s: %s", self.family.name, settings, error)
            outcome = {"metrics": None, "error": f"{type(error).__name__}: {error}"}
        return Trial(
            number=len(self.trials),
            settings=settings,
            started=started,
            seconds=time.monotonic() - clock,
            curve=tuple(watch.curve),
            steps=tuple(watch.steps),
            stopped=watch.stopped,
            **outcome,
        )


def _key(settings: Mapping[str, Setting]) -> str:
    return json.dumps(settings, sort_keys=True)
