"""Searches that are interrupted and begun again."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from model_loop.models import fitting
from model_loop.models.catalogue import XGBOOST
from model_loop.models.journal import TrialJournal
from model_loop.models.search import SearchRequest, Trial, TuningResult
from model_loop.models.termination import EarlyTermination
from model_loop.models.tuning import tune
from model_loop.objects.reference import ObjectReference
from model_loop.objects.store import read_object, write_object
from model_loop.training_set.types import TrainingSet

KILLS = 10
REQUEST = SearchRequest(
    max_evaluations=12,
    threads=1,
    early_termination=EarlyTermination("median", delay_evaluations=1),
)


class FolderStore:
    """Values as files: what Airflow's ``task_state_store`` is to a task, across processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Any:
        """The value of a key, or None."""
        path = self.folder / key
        return json.loads(path.read_text()) if path.exists() else None

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value, whole or not at all; a second value is an error of the search."""
        path, partial = self.folder / key, self.folder / f".{key}"
        assert key.startswith("resumed") or not path.exists(), f"{key} was evaluated twice"
        partial.write_text(json.dumps(value))
        partial.rename(path)


def search(
    family: str,
    training_set: TrainingSet,
    folder: Path,
    request: SearchRequest = REQUEST,
    on_trial: Callable[[Trial], None] = lambda _trial: None,
) -> TuningResult:
    """Tune with a journal in a folder."""
    journal = TrialJournal(FolderStore(folder), family, training_set.digest, request)
    return tune(family, training_set, request, on_trial, journal)


def search_stored(family: str, training_set: ObjectReference, folder: Path) -> None:
    """The same in a process of its own, which reads the training set from storage."""
    search(family, read_object(training_set), folder)


def steps_of(folder: Path) -> list[Path]:
    """Everything that a search has kept: trials that wait for others, and those that ended."""
    return [*folder.glob("paused-*"), *folder.glob("trial-*")]


def found_by(result: TuningResult) -> tuple[list[Trial], Trial]:
    """Return the trials of a search and the best of them, however long they took."""

    def timeless(trial: Trial) -> Trial:
        return dataclasses.replace(trial, started=0.0, seconds=0.0)

    return [timeless(trial) for trial in result.trials], timeless(result.best)


@pytest.mark.parametrize("family", [XGBOOST, "ensemble.RandomForestRegressor"])
def test_ten_kills_change_nothing(
    family: str, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """A search that is killed ten times evaluates nothing twice and finds the same."""
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
    began = time.monotonic()
    expected = search(family, sample_training_set, undisturbed)
    # Of a step, on average: longer waits would let the search end before it was killed ten times.
    seconds = (time.monotonic() - began) / len(steps_of(undisturbed))
    assert len(steps_of(undisturbed)) > 2 * KILLS
    moments = random.Random(0)  # noqa: S311 - not a secret
    # XGBoost's threads do not survive a fork of a process that has used them; the server has not.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([tune.__module__, __name__])
    stored = write_object(sample_training_set, UPath(tmp_path), "training_set")
    killed = 0
    while killed < KILLS:
        before = len(steps_of(disturbed))
        process = server.Process(target=search_stored, args=(family, stored, disturbed))
        process.start()
        # Some time into the next trial, however long those take.
        deadline = time.monotonic() + 60
        wanted = before + 1
        while len(steps_of(disturbed)) < wanted and time.monotonic() < deadline:
            assert process.is_alive()
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, seconds))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        killed += 1
    resumed = search(family, sample_training_set, disturbed)
    assert found_by(resumed) == found_by(expected)
    assert len(list(disturbed.glob("trial-*"))) == len(expected.trials)


def test_a_finished_search_evaluates_nothing(
    sample_training_set: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleared task hears of all its trials again, as they ended, and fits none of them."""
    ended: list[Trial] = []
    first = search("linear_model.Lasso", sample_training_set, tmp_path, on_trial=ended.append)
    monkeypatch.setattr(fitting, "Fit", None)
    seen: list[Trial] = []
    again = search("linear_model.Lasso", sample_training_set, tmp_path, on_trial=seen.append)
    assert found_by(again) == found_by(first)
    assert seen == ended
    assert first.predicted is not None
    assert again.predicted is None, "another process has fitted the best trial"


def test_a_deadly_trial_is_not_begun_for_ever(
    sample_training_set: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that twice took the process with them are pruned, and the search goes on."""
    family, deadly = "linear_model.Lasso", 3
    begun: list[float] = []
    fit = fitting.Fit.advance

    def die(self: fitting.Fit, *arguments: Any, **options: Any) -> None:
        begun.append(0.0)
        if begun.count(0.0) > deadly:
            raise KeyboardInterrupt
        fit(self, *arguments, **options)

    monkeypatch.setattr(fitting.Fit, "advance", die)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(family, sample_training_set, tmp_path)
        begun[:] = [0.0] * deadly
    monkeypatch.undo()
    found = search(family, sample_training_set, tmp_path)
    (failed,) = (trial for trial in found.trials if trial.error)
    assert failed.number == deadly
    assert "killed its process 2 times" in str(failed.error)
    assert found.best.finished


@pytest.mark.parametrize("changes", [{"random_state": 1}, {"primary_metric": "mae"}])
def test_other_searches_have_journals_of_their_own(
    changes: dict[str, Any], sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """Trials of another seed or metric are not taken for this search's."""
    search("linear_model.Lasso", sample_training_set, tmp_path)
    kept = len(list(tmp_path.glob("trial-*")))
    other = dataclasses.replace(REQUEST, **changes)
    tuned = search("linear_model.Lasso", sample_training_set, tmp_path, other)
    assert len(list(tmp_path.glob("trial-*"))) == kept + len(tuned.trials)


@pytest.mark.parametrize("damage", [{}, {"number": 3, "metrics": {"rmse": 1.0}}, "text", [1]])
def test_a_trial_that_cannot_be_read_is_evaluated_again(
    sample_training_set: TrainingSet, damage: Any
) -> None:
    """A journal of another version, or a damaged one, costs a trial and not the search."""
    store = MemoryStore()
    first = _search_in(store, sample_training_set)
    for key in [key for key in store.values if key.startswith("trial")][:4]:
        store.values[key] = damage
    assert found_by(_search_in(store, sample_training_set)) == found_by(first)


class MemoryStore:
    """Values in memory."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """The value of a key, or None."""
        return self.values.get(key)

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value."""
        self.values[key] = value


class DyingStore(MemoryStore):
    """Values in memory; takes its process with it before more steps are kept than allowed."""

    allowed = 0

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value, or die: the step is lost, as if the kill had come during it."""
        if key.startswith(("paused", "trial")):
            if not self.allowed:
                raise KeyboardInterrupt
            self.allowed -= 1
        super().set(key, value)


def test_a_kill_after_every_step_changes_nothing(sample_training_set: TrainingSet) -> None:
    """A process that keeps a single step blames no trial that another one was not fitting."""
    family = "ensemble.RandomForestRegressor"
    expected = _search_in(MemoryStore(), sample_training_set, family)
    store, kills = DyingStore(), 0
    while True:
        store.allowed = 1
        try:
            resumed = _search_in(store, sample_training_set, family)
        except KeyboardInterrupt:
            kills += 1
        else:
            break
    assert found_by(resumed) == found_by(expected)
    assert any(trial.stopped for trial in resumed.trials)
    assert kills == sum(key.startswith(("paused", "trial")) for key in store.values) - 1


def _search_in(
    store: MemoryStore, training_set: TrainingSet, family: str = "linear_model.Lasso"
) -> TuningResult:
    journal = TrialJournal(store, family, training_set.digest, REQUEST)
    return tune(family, training_set, REQUEST, journal=journal)
