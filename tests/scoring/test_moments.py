"""Files and forms are answered by the earliest champion whose columns they have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from tests.conftest import sample_request
from tests.serving.conftest import fit

from model_loop.cli.scoring import ScoreOptions, score
from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.orchestration.forms import batch_scoring_form, prediction_form
from model_loop.orchestration.steps import batch_scoring, prediction
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.training_set.preparation import build_training_set
from trip_duration.dataset import TRIPS
from trip_duration.services import MOMENTS
from trip_duration.typical import typical_distance

TRIP = {"pickup_zone": 74, "dropoff_zone": 166, "pickup_at": "2024-03-01T08:30:00"}
WITH_DISTANCE = {**TRIP, "trip_distance": 1.9}
#: The version that was trained with each recipe, in this order.
VERSIONS: dict[Moment, int] = {"booked": 1, "ended": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, sample_root: Path) -> str:
    """A registry with a version of each moment, none of which is champion."""
    folder = tmp_path_factory.mktemp("moments")
    uri, name = f"sqlite:///{folder / 'mlflow.db'}", "trip-duration-promotion"
    # Without one, MLflow writes into the folder that the tests run in.
    MlflowClient(uri).create_experiment(name, artifact_location=folder.as_uri())
    tracker = Tracker(uri, name)
    for recipe in ("booking", "rich"):
        training_set = build_training_set(sample_request(recipe), storage_root=str(sample_root))
        register_model(
            tracker,
            tracker.open_run(recipe, recipe, {}),
            fit("linear_model.LinearRegression", training_set),
            name="trip_duration_green",
            example=training_set.example_rows,
            tags=training_set_tags(training_set),
        )
    return tracker.tracking_uri


@pytest.fixture
def champions(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """The same, with its settings; a test makes champions of its own."""
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", store)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", str(tmp_path))
    monkeypatch.setenv("MODEL_LOOP_SERVING_FOLDER", str(tmp_path / "serving"))
    get_settings.cache_clear()
    tracker = Tracker(store, "trip-duration-promotion")
    for alias in tracker.client.get_registered_model("trip_duration_green").aliases:
        tracker.client.delete_registered_model_alias("trip_duration_green", alias)
    return tracker


def promote(tracker: Tracker, moment: Moment, identity: str) -> None:
    """Make the version of a moment its champion."""
    action = Action("promote", "green", VERSIONS[moment])
    Promoter(tracker, "green", moment).act(action, identity)


def predict(trip: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Answer of the DAG `prediction`."""
    params = {name: one.value for name, one in prediction_form(TRIPS).items()}
    run: Any = SimpleNamespace(
        dag_id="prediction",
        run_id="one",
        triggering_user_name="Ada",
        run_type=SimpleNamespace(value="manual"),
    )
    return prediction.predict({**params, "service": "green", "inputs": [trip], **fields}, run)


def test_the_answer_is_the_same_everywhere(
    champions: Tracker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Form, batch and command choose the champion by what a trip has, and say its moment."""
    promote(champions, "ended", "everywhere/ended")
    answered = predict(TRIP)
    assert (answered["model_version"], answered["moment"]) == (2, "ended")
    assert answered["predictions"][0]["assumed"]["trip_distance"] == typical_distance(74, 166)
    assert predict(WITH_DISTANCE)["model_version"] == 2
    promote(champions, "booked", "everywhere/booked")
    for trip in (TRIP, WITH_DISTANCE):
        answered = predict(trip)
        assert (answered["model_version"], answered["moment"]) == (1, "booked")
    for moment in MOMENTS:
        answered = predict(WITH_DISTANCE, moment=moment)
        assert (answered["model_version"], answered["moment"]) == (VERSIONS[moment], moment)
    assert "trip_distance" in predict(TRIP, version=2)["predictions"][0]["assumed"]

    source = tmp_path / "trips.csv"
    source.write_text(
        "PULocationID,DOLocationID,lpep_pickup_datetime\n74,166,2024-03-01 08:30:00\n"
    )
    params = {name: one.value for name, one in batch_scoring_form(TRIPS).items()}
    params |= {"service": "green", "input": str(source)}
    assert {chunk.job.version.number for chunk in batch_scoring.plan_chunks(params)} == {1}
    with pytest.raises(InvalidInputError, match="lacks trip_distance"):
        batch_scoring.plan_chunks({**params, "moment": "ended"})
    score(str(source), options=ScoreOptions(tracking_uri=champions.tracking_uri), as_json=True)
    assert '"model_version": 1' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("alias", "version"), [("champion", 1), ("champion_ended", 2), ("challenger_ended", None)]
)
def test_a_model_is_named_by_the_alias_of_its_moment(
    alias: str, version: int | None, champions: Tracker, tmp_path: Path, capsys: Any
) -> None:
    """As in MLflow: the version with the alias answers, or no version."""
    for moment in MOMENTS:
        promote(champions, moment, f"{alias}/{moment}")
    source = tmp_path / "trips.csv"
    source.write_text(
        "PULocationID,DOLocationID,lpep_pickup_datetime,trip_distance\n"
        "74,166,2024-03-01 08:30:00,1.9\n"
    )
    named = f"models:/trip_duration_green@{alias}"
    options = ScoreOptions(model=named, tracking_uri=champions.tracking_uri)
    if version is None:
        with pytest.raises(InvalidInputError, match="nothing has this alias now"):
            score(str(source), options=options)
        return
    score(str(source), options=options, as_json=True)
    assert f'"model_version": {version}' in capsys.readouterr().out
