"""The search for the best settings of one family."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import xgboost as xgb

from model_loop.errors import ModelLoopError
from model_loop.models import fitting
from model_loop.models.catalogue import ModelFamily, get_family, suited
from model_loop.models.evaluation import measure_outcomes
from model_loop.models.journal import ForgetfulStore, TrialJournal
from model_loop.models.proposals import is_small, known_in_advance, propose
from model_loop.models.search import SampledSearch, SearchRequest, Trial, TuningResult
from model_loop.models.spaces import Settings
from model_loop.models.termination import Terminator
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)

OnTrial = Callable[[Trial], None]

#: Most trials that are compared with each other at their first look; their fits wait in memory.
COHORT = 20
#: Best trials of a sample that are fitted again on more rows.
FINALISTS = 3
#: A trial that was being fitted when its process was killed so often is not begun again.
DEADLY = 2

#: Errors of a fit that its settings or its data can cause; any other is a defect.
_TRIAL_FAILURES = (ValueError, TypeError, ArithmeticError, MemoryError, xgb.core.XGBoostError)


def ignore_trial(trial: Trial) -> None:
    """Do nothing with a trial."""


class NoTrialSucceededError(ModelLoopError):
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
    outcome, target = training_set.dataset.target, training_set.train_target
    request.require_for(outcome)
    known = get_family(family, outcome.kind) if isinstance(family, str) else family
    known = suited(known, len(target), float(target.std()))
    if journal is None:
        journal = TrialJournal(ForgetfulStore(), known.name, training_set.digest, request)
    search = _Search(known, training_set, request, on_trial, journal)
    search.run()
    search.judge_again()
    return TuningResult(
        family=known.name,
        best=search.best(),
        trials=tuple(search.trials),
        seconds=time.monotonic() - started,
        columns=search.columns,
        fixed=known.fixed,
        predicted=search.predicted,
        sampled=search.sampled,
    )


@dataclass(frozen=True)
class _Waiting:
    """A trial that waits until the others of its cohort have come as far.

    Parameters
    ----------
    trial
        The trial so far.
    fit
        To go on with; None where another process has begun it.
    """

    trial: Trial
    fit: fitting.Fit | None


class _Search:
    """The state of one search: something proposes, we fit, remember and report.

    Settings that are known in advance, because they do not depend on any outcome, are fitted as a
    cohort: all of them to the first look of the early termination, those that it lets go on twice
    as far, and so on (successive halving; Jamieson and Talwalkar, 2016).
    """

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
        if journal.begun:
            logger.info("%s: going on where the search was interrupted", family.name)
        self._by_settings: dict[str, Trial] = {}
        self._numbers: dict[str, int] = {}
        #: Number and predictions of the best trial that this process has fitted to its end.
        self._best_fit: tuple[Trial, Targets] | None = None
        projected = family.resource is not None and family.resource.projected
        self._terminator = Terminator(request.early_termination, projected=projected)
        self._training_set = training_set
        #: The best trials as judged again, and what that has told.
        self.sampled: SampledSearch | None = None
        self._data = self._data_of(request.sample_rows, request.sample_rows)
        self._out_of_time = False
        # Preparing the matrices does not count towards the time of the trials.
        journal.clock.set(0.0)

    def run(self) -> None:
        """Propose settings until the search is over."""
        space, request = self.family.space, self.request
        known = known_in_advance(space, request)
        for first in range(0, len(known), COHORT):
            self._run_cohort(known[first : first + COHORT])
        all_known = request.search_algorithm == "grid" or is_small(space, request)
        if not all_known and not self._is_over():
            propose(space, request, self._loss, request.max_evaluations, self._is_over)
        self.trials.sort(key=lambda trial: trial.number)

    def judge_again(self) -> None:
        """Fit the best trials of a sample on more rows, and judge them by all rows to compare by.

        Nothing is done where the trials have seen what they would see.
        """
        sample, layout = self._data, self.family.layout
        train = len(self._training_set.targets_for(layout)[0])
        validation = len(self._training_set.judged_target(layout))
        again = min(self.request.finalist_rows(self.family) or train, train)
        seen = len(sample.train_target), len(sample.validation_target)
        own_sample = self._training_set.layout_for(layout).targets is not None
        if sample.folds or own_sample or seen == (again, validation):
            return
        finished = [trial for trial in self.trials if trial.finished]
        finalists = sorted(finished, key=self._rank)[:FINALISTS]
        if not finalists:
            return
        logger.info(
            "%s: judging the best %d trials again, fitted on %s rows instead of %s",
            self.family.name,
            len(finalists),
            f"{again:,}",
            f"{seen[0]:,}",
        )
        self._data, self._best_fit = self._data_of(again, 0, sample.columns), None
        self.journal = self.journal.of_finalists()
        judged = tuple(map(self._judge_again, finalists))
        sound = [trial for trial in judged if trial.finished]
        if not sound:
            raise NoTrialSucceededError(
                f"Every one of the best {len(judged)} trials of {self.family.name}",
                f"failed on {again:,} rows; the last with: {judged[-1].error}",
                "Give it more memory, or set fewer sample rows.",
            )
        best = min(sound, key=self._rank)
        regret = self._rank(sound[0])[0] - self._rank(best)[0]
        self.sampled = SampledSearch(*seen, again, judged, regret)

    def _judge_again(self, trial: Trial) -> Trial:
        known = self.journal.ended(trial.number)
        if known is not None:
            return known
        blank = Trial(trial.number, trial.settings, None, time.time(), 0.0)
        judged, _ = self._evaluate(_Waiting(blank, None), fitting.never)
        self.journal.record(judged)
        return judged

    def _data_of(
        self, train_rows: int, judged_rows: int, columns: pd.DataFrame | None = None
    ) -> fitting.FitData:
        """Return the data of fits on so many rows at most, 0 for all."""
        data = fitting.FitData.of(
            self._training_set,
            self.family,
            self.request,
            train_rows=train_rows,
            judged_rows=judged_rows,
            columns=columns,
        )
        return fitting.prepare(self.family, data, self.request)

    @property
    def columns(self) -> pd.DataFrame | None:
        """Scores of the columns and which were kept; None where all are."""
        return self._data.columns

    def best(self) -> Trial:
        """The trial with the best primary metric, judged again where trials saw a sample."""
        judged = self.sampled.finalists if self.sampled else self.trials
        finished = [trial for trial in judged if trial.finished]
        if not finished:
            raise NoTrialSucceededError(
                f"Every one of {len(self.trials)} trials of {self.family.name}",
                f"failed; the last with: {self.trials[-1].error}",
                "Check the training set and the search space.",
            )
        return min(finished, key=self._rank)

    @property
    def predicted(self) -> Targets | None:
        """Predictions of the best trial for the judged rows; None if it was fitted elsewhere."""
        if self._best_fit is None or self._best_fit[0].number != self.best().number:
            return None
        return self._best_fit[1]

    def _rank(self, trial: Trial) -> tuple[float, int]:
        """Return the place of a finished trial among others: the lowest is the best."""
        assert trial.metrics is not None
        return self.request.loss(trial.metrics), trial.number

    def _loss(self, settings: Settings) -> float | None:
        """Return the loss of settings; None if they failed, or if the search ended before them."""
        self._run_cohort([settings])
        trial = self._by_settings.get(_key(settings))
        # The error of a pruned trial is known to be worse than the one that it was compared with.
        return self.request.loss(trial.metrics) if trial and trial.metrics else None

    def _run_cohort(self, cohort: Sequence[Settings]) -> None:
        """Evaluate settings together; those that come again are not evaluated again."""
        # A single fit is compared with those that have ended, and need not wait for any.
        rung = self._terminator.first_look if len(cohort) > 1 else None
        waiting: list[_Waiting] = []
        for settings in cohort:
            if self._is_over():
                break
            key, number = _key(settings), len(self._numbers)
            if key not in self._numbers:
                self._numbers[key] = number
                blank = Trial(number, settings, None, time.time(), 0.0)
                waiting += self._reach(_Waiting(blank, None), rung)
        while waiting and rung is not None:
            kept = self._keep_the_promising(waiting, rung)
            rung = 2 * rung if len(kept) > 1 else None
            waiting = [further for one in kept for further in self._reach(one, rung)]

    def _keep_the_promising(self, waiting: list[_Waiting], rung: int) -> list[_Waiting]:
        """Those that the early termination lets go on, the most promising first."""
        kept = []
        for one in sorted(waiting, key=self._place):
            reason = self._terminator.compare(one.trial.number, one.trial.outlook[:rung])
            if reason is None:
                kept.append(one)
                continue
            stopped = self.journal.ended(one.trial.number)
            if stopped is None:
                stopped = dataclasses.replace(one.trial, stopped=reason)
                self.journal.record(stopped)
            self._end(stopped)
        logger.info(
            "%s: %d of %d trials go on after interval %d",
            self.family.name,
            len(kept),
            len(waiting),
            rung,
        )
        return kept

    def _reach(self, one: _Waiting, rung: int | None) -> list[_Waiting]:
        """Evaluate a trial to a rung, or to its end, which takes it out of those that wait."""
        number = one.trial.number
        # A trial that waited here counts as waiting, whatever became of it before a kill: what is
        # decided meanwhile depends on those that have ended.
        paused = None if rung is None else self.journal.paused(number, rung)
        ended = None if paused else self.journal.ended(number)
        if ended is not None:
            self._end(ended)
            return []
        if paused is not None:
            reached = _Waiting(paused, None)
        else:
            reached = _Waiting(*self._evaluate(one, self._decide(number, rung), rung))
            if reached.fit is None or reached.fit.ended or rung is None:
                self.journal.record(reached.trial)
                self._end(reached.trial)
                return []
            self.journal.pause(reached.trial, rung)
        self._terminator.add(number, reached.trial.outlook)
        return [reached]

    def _evaluate(
        self, one: _Waiting, decide: fitting.Decide, rung: int | None = None
    ) -> tuple[Trial, fitting.Fit | None]:
        """Fit a trial up to a rung, and return it with its fit; no fit if it failed."""
        trial, clock = one.trial, time.monotonic()
        killed = self.journal.resumed(trial)
        if killed >= DEADLY:
            error = f"killed its process {killed} times; it may need more memory than there is"
            return dataclasses.replace(trial, metrics=None, error=error), None
        try:
            fit = one.fit or self._fit_again(trial)
            fit.advance(decide, pause_at=rung)
            fitted = fit.fitted()
            metrics = measure_outcomes(
                self._data.judged_target, fitted.predicted, self._data.target
            )
        except _TRIAL_FAILURES as failure:
            logger.warning("%s failed with %s: %s", self.family.name, trial.settings, failure)
            error, seconds = f"{type(failure).__name__}: {failure}", time.monotonic() - clock
            return dataclasses.replace(trial, metrics=None, error=error, seconds=seconds), None
        evaluated = dataclasses.replace(
            trial,
            metrics=metrics,
            rounds=fitted.rounds,
            curve=tuple(fit.curve),
            steps=tuple(fit.steps),
            outlook=tuple(fit.outlook),
            stopped=fit.stopped,
            seconds=trial.seconds + time.monotonic() - clock,
        )
        best = self._best_fit
        if (
            fit.ended
            and evaluated.finished
            and (best is None or self._rank(evaluated) < self._rank(best[0]))
        ):
            self._best_fit = evaluated, fitted.predicted
        return evaluated, fit

    def _fit_again(self, trial: Trial) -> fitting.Fit:
        """A fit that has come as far as the trial had in another process."""
        fit = fitting.Fit(self.family, trial.settings, self._data, self.request)
        if trial.curve:
            with self.journal.clock.stopped():
                fit.advance(pause_at=len(trial.curve))
        return fit

    def _decide(self, number: int, rung: int | None) -> fitting.Decide:
        """Return the pruning rule of a fit: none before its rung, none while no trial has ended."""
        if rung is not None or not any(trial.finished for trial in self.trials):
            return fitting.never
        return lambda outlook: self._terminator.reason(number, outlook)

    def _end(self, trial: Trial) -> None:
        self._by_settings[_key(trial.settings)] = trial
        self.trials.append(trial)
        self._terminator.add(trial.number, trial.outlook, finished=trial.finished)
        self.on_trial(trial)

    def _place(self, waiting: _Waiting) -> tuple[float, int]:
        """The most promising first."""
        return self._terminator.score(waiting.trial.outlook), waiting.trial.number

    def _is_over(self) -> bool:
        """Return whether the search is over: the time is up, or too many trials were no better.

        However short the time, one trial is evaluated.
        """
        return bool(self._numbers) and (self._time_is_up() or self._patience_is_lost())

    def _time_is_up(self) -> bool:
        budget, number = self.request.time_budget_seconds, len(self._numbers)
        if not budget or self._out_of_time:
            return self._out_of_time
        self._out_of_time = self.journal.is_out_of_time(number, budget)
        late = not self._out_of_time and self.journal.clock.spent() >= budget
        if late and not self.journal.has_begun(number, self._terminator.first_look):
            self.journal.run_out_of_time(number, budget)
            self._out_of_time = True
        return self._out_of_time

    def _patience_is_lost(self) -> bool:
        patience = self.request.patience_evaluations
        if not patience or not any(trial.finished for trial in self.trials):
            return False
        # A trial that waits for others may still be the best.
        ended = {trial.number for trial in self.trials}
        in_a_row = next(number for number in range(len(ended) + 1) if number not in ended)
        return in_a_row - 1 - self.best().number >= patience


def _key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)
