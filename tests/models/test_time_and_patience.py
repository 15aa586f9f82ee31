"""Searches that end before all trials were made: by a time budget, or by patience."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from model_loop.models.catalogue import FAMILIES, Resource
from model_loop.models.fitting import Fit
from model_loop.models.journal import TrialJournal
from model_loop.models.search import SearchAlgorithm, SearchRequest, Trial, TuningResult
from model_loop.models.spaces import Categorical, Integer, Real
from model_loop.models.termination import Curve, EarlyTermination, Terminator
from model_loop.models.tuning import tune
from model_loop.training_set.types import TrainingSet

#: A family whose fits take milliseconds, some of them too short for a look on their way.
SMALL = dataclasses.replace(
    FAMILIES["ensemble.GradientBoostingRegressor"],
    space={
        "n_estimators": Integer(1, 12),
        "learning_rate": Real(0.1, 1.0, log=True),
        # Trials of depth 0 fail.
        "max_depth": Categorical((1, 0, 2)),
    },
    resource=Resource("stages", 1),
)
#: The same where every trial can be fitted: a search of one trial that fails has no best.
SOUND = dataclasses.replace(SMALL, space={**SMALL.space, "max_depth": Categorical((1, 2))})
HALVING = SearchRequest(
    max_evaluations=10,
    search_algorithm="grid",
    threads=1,
    early_termination=EarlyTermination("truncation", delay_evaluations=1),
)


def test_a_trial_that_was_given_up_never_wins(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However low its error was when it was pruned: it is no error of a whole fit."""
    compare = Terminator.compare

    def give_up_the_best(self: Terminator, number: int, curve: Curve) -> str | None:
        others = [self.score(known) for key, known in self._curves.items() if key != number]
        if others and self.score(curve) <= min(others):
            return "the best is given up"
        return compare(self, number, curve)

    monkeypatch.setattr(Terminator, "compare", give_up_the_best)
    tuned = tune(SOUND, sample_training_set, HALVING)
    given_up = [trial for trial in tuned.trials if trial.stopped and trial.metrics]
    assert tuned.best.finished
    assert min(trial.metrics.rmse for trial in given_up if trial.metrics) < tuned.validation.rmse


def test_a_cohort_is_halved(sample_training_set: TrainingSet) -> None:
    """Of fits that have the same length, half go on at each look, and one comes to its end."""
    same = {
        **SOUND.space,
        "n_estimators": Categorical((12,)),
        "learning_rate": Real(0.1, 1.0, log=True),
    }
    family = dataclasses.replace(SOUND, space=same)
    request = dataclasses.replace(HALVING, search_algorithm="random", max_evaluations=8)
    tuned = tune(family, sample_training_set, request)
    lengths = sorted(len(trial.curve) for trial in tuned.trials)
    assert [trial.finished for trial in tuned.trials].count(True) < len(tuned.trials) / 2
    assert lengths[len(lengths) // 2] < lengths[-1] / 2


class FalseClock:
    """Seconds that pass only while something is fitted, and at one moment that a test chooses.

    Parameters
    ----------
    jump_at
        At so many looks at the clock, a thousand seconds pass.
    """

    def __init__(self, jump_at: int | None = None) -> None:
        self.now, self.looks, self.jump_at = 0.0, itertools.count(1), jump_at
        self.jumped = False

    def __call__(self) -> float:
        """Tell the time."""
        if next(self.looks) == self.jump_at:
            self.now, self.jumped = self.now + 1_000, True
        return self.now


class Killed(BaseException):
    """What takes a process with it."""


class DeadlyStore:
    """Values in memory, and the death of the process that writes to them, once.

    Parameters
    ----------
    at
        The write that kills, from 0; none with None.
    after
        Whether it kills after the value was kept.
    """

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.values: dict[str, str] = {}
        self.writes, self.at, self.after = 0, at, after

    def get(self, key: str) -> Any:
        """The value of a key, or None."""
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value, or die."""
        dies, self.writes = self.writes == self.at, self.writes + 1
        if dies and not self.after:
            raise Killed
        assert key.startswith("resumed") or key not in self.values, f"{key} was evaluated twice"
        self.values[key] = json.dumps(value)
        if dies:
            raise Killed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[FalseClock]:
    """A clock on which a second passes for each interval that a fit grows by."""
    told, advance = FalseClock(), Fit.advance

    def grow(fit: Fit, *arguments: Any, **options: Any) -> None:
        before = len(fit.curve)
        advance(fit, *arguments, **options)
        told.now += len(fit.curve) - before

    monkeypatch.setattr(Fit, "advance", grow)
    monkeypatch.setattr(time, "monotonic", told)
    yield told
    monkeypatch.undo()


def search(store: DeadlyStore, training_set: TrainingSet, request: SearchRequest) -> TuningResult:
    """Tune with a journal in a store."""
    return tune(
        SMALL,
        training_set,
        request,
        journal=TrialJournal(store, SMALL.name, training_set.digest, request),
    )


def found(tuned: TuningResult) -> tuple[Trial, ...]:
    """The trials and the best, without when they were made."""
    return tuple(
        dataclasses.replace(trial, started=0.0, seconds=0.0)
        for trial in (*tuned.trials, tuned.best)
    )


@pytest.mark.parametrize("algorithm", ["tpe", "anneal", "grid"])
def test_time_may_be_up_at_any_moment(
    algorithm: SearchAlgorithm, sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the time is up, the search ends with the best of what it has."""
    request = SearchRequest(
        max_evaluations=3, search_algorithm=algorithm, time_budget_seconds=100, threads=1
    )
    ended: list[int] = []
    for moment in itertools.count(1):
        clock = FalseClock(jump_at=moment)
        monkeypatch.setattr(time, "monotonic", clock)
        tuned = tune(SOUND, sample_training_set, request)
        monkeypatch.undo()
        if not clock.jumped:
            break
        assert tuned.best.finished
        ended.append(len(tuned.trials))
    assert sorted(set(ended)) == list(range(1, len(tuned.trials) + 1))


@pytest.mark.parametrize(
    "limits",
    [
        {"patience_evaluations": 3},
        {"time_budget_seconds": 7.0},
        {"search_algorithm": "tpe", "max_evaluations": 6, "time_budget_seconds": 5.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_kill_at_any_write_changes_nothing(
    limits: dict[str, Any],
    after: bool,  # noqa: FBT001 - pytest passes by name
    sample_training_set: TrainingSet,
    clock: FalseClock,
) -> None:
    """A search that is killed when it writes and begun again ends at the same trial."""
    request = dataclasses.replace(HALVING, **limits)
    undisturbed = DeadlyStore()
    expected = search(undisturbed, sample_training_set, request)
    if request.time_budget_seconds:
        assert len(expected.trials) < request.max_evaluations
    for moment in range(undisturbed.writes):
        store = DeadlyStore(moment, after=after)
        with pytest.raises(Killed):
            search(store, sample_training_set, request)
        clock.now += 5_000
        resumed = search(store, sample_training_set, request)
        assert found(resumed) == found(expected), f"killed at write {moment}"
