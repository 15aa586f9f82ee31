"""What the training DAGs leave on a real MLflow server, by the functions of their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model_loop.errors import ReportedError, StoredObjectError
from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.models.search import ErrorMetrics, Trial
from model_loop.orchestration.forms import training_form
from model_loop.orchestration.steps import training
from model_loop.settings import get_settings
from model_loop.tracking.deployments import registered_name
from model_loop.tracking.intervals import find_intervals
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

RUN: Any = SimpleNamespace(dag_id="xgboost_training", run_id="one")


@pytest.fixture
def here(tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    """Settings that name the server; the tracker of the experiment that the tasks write to."""
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracker.tracking_uri)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}")
    get_settings.cache_clear()
    yield Tracker(tracker.tracking_uri, "trip-duration")
    get_settings.cache_clear()


class Nothing:
    """A state of a task that keeps nothing."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - as a store has it
        """Nothing."""
        return default

    def set(self, key: str, value: Any) -> None:
        """Forget it."""

    def delete(self, key: str) -> None:
        """There is nothing."""


def test_a_family_run_says_all_that_a_fit_needs(
    here: Tracker, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """Searched settings, fixed ones, and the rounds that tuning found."""
    product = TrainingSetStore(f"file://{tmp_path}").publish(sample_training_set)
    params = {name: field.resolve() for name, field in training_form(TRIPS).items()}
    params |= {"max_evaluations": 1, "early_stopping_rounds": 5}
    tuned = training.tune_family(XGBOOST, product, "parent", params, RUN, Nothing())
    run = here.find_run(f"{RUN.dag_id}/{RUN.run_id}/{XGBOOST}")
    assert run is not None
    logged = {**get_family(XGBOOST).fixed, **tuned.best.settings, "rounds": tuned.best.rounds}
    assert run.data.params == {name: str(value) for name, value in logged.items()}
    assert get_family(XGBOOST).fixed
    assert tuned.best.rounds


def test_a_version_has_its_intervals(
    here: Tracker, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """They lie beside it as data, and what they hold on test rows are metrics of its run."""
    product = TrainingSetStore(f"file://{tmp_path}").publish(sample_training_set)
    params = {name: field.resolve() for name, field in training_form(TRIPS).items()}
    params |= {"max_evaluations": 1}
    run: Any = SimpleNamespace(dag_id="sklearn_training", run_id="intervals")
    family = "linear_model.LinearRegression"
    tuned = training.tune_family(family, product, "parent", params, run, Nothing())
    trained = training.train_family(tuned, product, params)
    result = training.register_family(trained, product, params, run)
    assert trained.calibration is not None
    name = registered_name(sample_training_set.variant)
    found = find_intervals(here, name, result["version"])
    assert found == trained.calibration.intervals
    logged = here.client.get_run(result["run_id"]).data.metrics
    assert logged.items() >= dict(trained.calibration.metrics).items()
    assert "interval_coverage_90_test" in logged
    here.client.log_text(result["run_id"], '{"format": "intervals/9"}', "intervals.json")
    with pytest.raises(StoredObjectError, match="The intervals of version"):
        find_intervals(here, name, result["version"])


def test_what_failed_does_not_run_for_ever(here: Tracker) -> None:
    """The families that nobody ended are ended as failed; those that ended stay as they are."""
    parent = here.open_run("dag/run", "run", {})
    done, failed = (
        here.open_run(f"dag/run/{name}", name, {}, parent_run_id=parent) for name in ("a", "b")
    )
    here.close_run(done)
    begun = here.open_run("dag/run/b/0", "trial 0", {"trial": "0"}, parent_run_id=failed)
    with pytest.raises(ReportedError, match="has no results"):
        training.close_run(parent, None, {"service": "green"})
    states = {run: here.client.get_run(run).info for run in (parent, done, failed, begun)}
    assert [states[run].status for run in (parent, done, failed)] == [
        "FAILED",
        "FINISHED",
        "FAILED",
    ]
    # A trial that had only begun is logged when the family is tried again.
    assert states[begun].lifecycle_stage == "deleted"
    again = here.open_run("dag/run/b", "b", {}, parent_run_id=parent)
    assert again == failed
    with TrialLogger(here, again, {}) as log:
        log(Trial(0, {"alpha": 1.0}, ErrorMetrics(1, 1, 1, 1, 1, 1), 1_700_000_000.0, 1.0))
    (trial,) = here._children(again)
    assert trial.info.status == "FINISHED"


def test_a_run_with_results_ends_well(here: Tracker) -> None:
    """Nothing fails."""
    parent = here.open_run("dag/well", "run", {})
    training.close_run(parent, {"families": []}, {"service": "green"})
    assert here.client.get_run(parent).info.status == "FINISHED"
