"""What monitoring reads from a real MLflow server."""

from __future__ import annotations

import pytest
from tests.variants import made_up

from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.monitoring.health.stored import champion_of, end_of
from model_loop.monitoring.performance import ReferenceErrors
from model_loop.monitoring.tested import find_reference
from model_loop.tracking.actions import Action
from model_loop.tracking.models import log_model_report
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(sample_training_set: TrainingSet) -> TrainedModel:
    """A model with its evaluation on the test month."""
    request = SearchRequest(max_evaluations=1, threads=1)
    return train(
        tune("linear_model.LinearRegression", sample_training_set, request),
        sample_training_set,
        request,
    )


@pytest.fixture
def promoter(tracker: Tracker, sample_training_set: TrainingSet, trained: TrainedModel) -> Promoter:
    """A service with a version that was trained here, and one that was not."""
    promoter = Promoter(Tracker(tracker.tracking_uri, "monitoring"), made_up("watched"), "ended")
    if promoter.tracker.find_run("watched/model") is None:
        tags = training_set_tags(sample_training_set)
        run_id = promoter.tracker.open_run("watched/model", "model", tags)
        assert trained.test
        promoter.tracker.log(run_id, metrics=trained.test.named("test"))
        log_model_report(promoter.tracker, run_id, trained, sample_training_set)
        other = promoter.tracker.open_run("watched/elsewhere", "elsewhere", {})
        bare = promoter.tracker.open_run("watched/bare", "bare", {})
        promoter.tracker.log(bare, metrics={"test_rmse": 5.0, "test_mae": 3.0})
        client = promoter.tracker.client
        client.create_registered_model(promoter.name)
        for one in (run_id, other, bare):
            client.create_model_version(promoter.name, f"runs:/{one}/model", one)
    return promoter


def test_the_reference_is_the_error_on_the_test_months(
    promoter: Promoter, trained: TrainedModel
) -> None:
    """Of all trips and by slice, as the run of the version tells."""
    found = find_reference(promoter.tracker, promoter.name, 1)
    assert trained.test
    assert trained.evaluation
    assert (found.rmse, found.mae) == (trained.test.rmse, trained.test.mae)
    wanted = trained.evaluation.slices
    large = wanted[wanted["rows"] >= 200]
    assert 0 < len(large) < len(wanted)
    assert found.slices == pytest.approx(
        dict(zip(zip(large["slice"], large["value"], strict=True), large["rmse"], strict=True))
    )
    assert find_reference(promoter.tracker, promoter.name, 2) == ReferenceErrors(2)
    assert find_reference(promoter.tracker, promoter.name, 3) == ReferenceErrors(
        3, 5.0, 3.0, metrics={"test_rmse": 5.0, "test_mae": 3.0}
    )


def test_the_age_of_the_champion_and_of_its_data(promoter: Promoter) -> None:
    """Before there is one, of one that was trained here, and of one that was not."""
    assert champion_of(promoter.versions).version is None
    for version in (1, 2):
        promoter.act(Action("promote", promoter.service, version), f"watched/{version}")
    elsewhere = champion_of(promoter.versions)
    assert (elsewhere.version, elsewhere.newest_month) == (2, None)
    entry = promoter.act(Action("rollback", promoter.service, why="errors"), "watched/back")
    found = champion_of(promoter.versions)
    assert (found.version, found.enabled) == (1, True)
    assert found.newest_month == "2024-02"
    assert found.learned_until == end_of("2024-02", TRIPS)
    assert found.promoted == entry.at
    assert found.registered is not None
    assert found.registered <= entry.at
