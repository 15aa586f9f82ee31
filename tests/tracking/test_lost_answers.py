"""Requests that the server has acted upon, and whose answer never came: MLflow sends them again."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import mlflow
import pytest
from tests.production.faults.relay import HOST, Network, Relay
from tests.servers import free_port

from model_loop.models.search import ErrorMetrics, SearchRequest, Trial
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import IDENTITY_TAG, Tracker
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.types import TrainingSet

pytestmark = pytest.mark.integration

TRIAL = Trial(0, {"alpha": 0.1}, ErrorMetrics(5.0, 25.0, 3.0, 0.6, 0.5, 0.4), 1_700_000_000.0, 1.5)


@pytest.fixture
def relay(tracker: Tracker) -> Iterator[Relay]:
    """A network in which answers can be lost."""
    network = Network()
    port = int(tracker.tracking_uri.rpartition(":")[2])
    yield network.lead("mlflow", free_port(), port)
    network.close()


@pytest.fixture
def lossy(tracker: Tracker, relay: Relay) -> Tracker:
    """The same server, through that network."""
    name = tracker.client.get_experiment(tracker.experiment_id).name
    return Tracker(f"http://{HOST}:{relay.door}", name)


def test_a_run_is_begun_once(lossy: Tracker, relay: Relay) -> None:
    """One of the two that the server has begun stays."""
    relay.lose = b"runs/create"
    run_id = lossy.open_run("lossy/1", "one", {})
    assert relay.broken
    condition = f"tags.`{IDENTITY_TAG}` = 'lossy/1'"
    found = lossy.client.search_runs([lossy.experiment_id], condition)
    assert [run.info.run_id for run in found] == [run_id]


def test_what_a_killed_process_began_twice_is_one_run_later(lossy: Tracker, relay: Relay) -> None:
    """Whoever goes on with a run that there is twice takes the one that everybody takes."""
    for _ in range(2):
        lossy.client.create_run(lossy.experiment_id, tags={IDENTITY_TAG: "lossy/2"})
    before = lossy.find_run("lossy/2")
    assert before is not None
    assert lossy.open_run("lossy/2", "two", {}) == before.info.run_id
    condition = f"tags.`{IDENTITY_TAG}` = 'lossy/2'"
    assert len(lossy.client.search_runs([lossy.experiment_id], condition)) == 1
    assert not relay.broken


def test_a_trial_is_logged_once(lossy: Tracker, relay: Relay) -> None:
    """Although the server has begun two runs of it."""
    family = lossy.open_run("lossy/3", "family", {})
    relay.lose = b"runs/create"
    with TrialLogger(lossy, family, {}) as log:
        log(TRIAL)
        log(dataclasses.replace(TRIAL, number=1))
    assert relay.broken
    found = lossy.client.search_runs([lossy.experiment_id], f"tags.mlflow.parentRunId = '{family}'")
    assert Counter((run.data.tags["trial"], run.info.status) for run in found) == {
        ("0", "FINISHED"): 1,
        ("1", "FINISHED"): 1,
    }


def test_a_version_is_registered_once(
    lossy: Tracker, relay: Relay, sample_training_set: TrainingSet
) -> None:
    """Although the server has made two of it."""
    request = SearchRequest(max_evaluations=1, threads=1)
    family = "linear_model.LinearRegression"
    tuned = tune(family, sample_training_set, request)
    model = train(tuned, sample_training_set, request).model
    run_id = lossy.open_run("lossy/4", "family", {})
    relay.lose = b"model-versions/create"
    example = sample_training_set.example_rows
    registered = register_model(lossy, run_id, model, name="lossy", example=example, tags={})
    assert relay.broken
    found = lossy.client.search_model_versions("name = 'lossy'")
    assert [int(version.version) for version in found] == [registered.version]
    # What somebody else registers of the same run is theirs.
    (version,) = found
    assert version.source
    mlflow.set_tracking_uri(lossy.tracking_uri)
    mlflow.register_model(version.source, "theirs")
    again = register_model(lossy, run_id, model, name="lossy", example=example, tags={})
    assert again.version == registered.version
    for name in ("lossy", "theirs"):
        assert len(lossy.client.search_model_versions(f"name = '{name}'")) == 1
