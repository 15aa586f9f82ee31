"""Tracking, against a real MLflow server."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from sklearn.pipeline import Pipeline

from model_loop.errors import InvalidInputError
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.models.evaluation import measure
from model_loop.models.search import ErrorMetrics, SearchRequest, Trial
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.tracking.beside import Beside
from model_loop.tracking.deployments import registered_name
from model_loop.tracking.lines import installed_versions
from model_loop.tracking.models import ChampionErrors, champion_errors
from model_loop.tracking.registry import read_model, register_model, save_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.tracking.trials import CURVE_POINTS, TrialLogger
from model_loop.training_set.frames import as_numbers
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

GOOD = Trial(
    0,
    {"alpha": 0.1},
    ErrorMetrics(5.0, 25.0, 3.0, 0.6, 0.5, 0.4),
    1_700_000_000.0,
    1.5,
    2,
    (6.0, 5.0),
    (1, 2),
)
STOPPED = dataclasses.replace(GOOD, number=2, stopped="median: 6.000")
FAILED = Trial(1, {"alpha": -1.0}, None, 1_700_000_002.0, 0.1, error="ValueError: no")


@pytest.fixture(scope="module")
def model(sample_training_set: TrainingSet) -> Pipeline:
    """A trained model."""
    request = SearchRequest(max_evaluations=1, threads=1)
    tuned = tune("xgboost", sample_training_set, request)
    return train(tuned, sample_training_set, request).model


def test_a_run_is_opened_once(tracker: Tracker) -> None:
    """A retry goes on with the run that was begun, and may reopen one that had failed."""
    first = tracker.open_run("dag/run/1", "one", {"pipeline": "dag"})
    assert tracker.open_run("dag/run/1", "one", {}) == first
    assert tracker.open_run("dag/run/2", "two", {}) != first
    tracker.close_run(first, "FAILED")
    assert tracker.open_run("dag/run/1", "one", {}) == first
    assert tracker.client.get_run(first).info.status == "RUNNING"


def test_a_parameter_stays_as_it_was_logged(tracker: Tracker) -> None:
    """A number that is written otherwise is the same; another value is refused, as MLflow does."""
    run_id = tracker.open_run("dag/run/params", "one", {})
    tracker.log(run_id, params={"seconds": 0, "share": 0.5, "gate": True, "months": ["2024-01"]})
    tracker.log(run_id, params={"seconds": 0.0, "share": 0.5, "gate": True, "months": ["2024-01"]})
    tracker.log(run_id, params={"further": 1})
    logged = tracker.client.get_run(run_id).data.params
    assert logged == {
        "seconds": "0",
        "share": "0.5",
        "gate": "True",
        "months": "['2024-01']",
        "further": "1",
    }
    for other in ({"seconds": 1}, {"gate": False}, {"months": ["2024-02"]}):
        with pytest.raises(MlflowException, match="not allowed"):
            tracker.log(run_id, params=other)


def test_experiment_is_found_again(tracker: Tracker) -> None:
    """Two tasks of one experiment log into the same one."""
    assert Tracker(tracker.tracking_uri, "tests").experiment_id == tracker.experiment_id


def test_run_leads_back_to_its_data(
    tracker: Tracker, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """Tags and dataset inputs name the months, their digests and that they are sample data."""
    tags = training_set_tags(sample_training_set)
    run_id = tracker.open_run("lineage", "lineage", tags)
    tracker.log_training_set(run_id, sample_training_set)
    run = tracker.client.get_run(run_id)
    assert run.data.tags["data_source"] == "sample"
    assert run.data.tags["TRAIN_DATA"] == "2024-01"
    assert run.data.tags["training_set"] == sample_training_set.digest
    product = TrainingSetStore(str(tmp_path)).publish(sample_training_set)
    assert run.data.tags["training_set_key"] == product.key
    assert run.inputs is not None
    inputs = {each.dataset.name: each for each in run.inputs.dataset_inputs}
    assert set(inputs) == {"green_2024-01", "green_2024-02", "green_2024-03"}
    january = inputs["green_2024-01"]
    assert january.dataset.digest == sample_training_set.files[0].digest[:36]
    assert january.tags[0].value == "training"


def test_each_trial_is_a_child_run(tracker: Tracker) -> None:
    """A trial's settings, errors, curve and time are logged; a failed one as failed, with why."""
    family = tracker.open_run("family", "family", {})
    with TrialLogger(tracker, family, {"MODEL": "some"}) as log_trial:
        log_trial(GOOD)
        log_trial(FAILED)
        log_trial(STOPPED)
    runs = tracker.client.search_runs(
        [tracker.experiment_id], f"tags.mlflow.parentRunId = '{family}'"
    )
    good, failed, stopped = sorted(runs, key=lambda run: int(run.data.tags["trial"]))
    assert good.info.status == "FINISHED"
    assert good.data.params == {"alpha": "0.1"}
    assert good.data.metrics["validation_rmse"] == 5.0
    assert good.info.end_time - good.info.start_time == 1_500
    history = tracker.client.get_metric_history(good.info.run_id, "validation_curve")
    assert [point.value for point in history] == [6.0, 5.0]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["error"] == "ValueError: no"
    assert (stopped.info.status, stopped.data.tags["stopped"]) == ("KILLED", "median: 6.000")
    assert tracker.client.get_metric_history(stopped.info.run_id, "validation_curve")


def test_long_curves_are_thinned(tracker: Tracker) -> None:
    """Of a long learning curve a few dozen points are logged, the first and the last among them."""
    curve = tuple(float(value) for value in range(500, 0, -1))
    family = tracker.open_run("long curve", "long curve", {})
    with TrialLogger(tracker, family, {}) as log_trial:
        log_trial(dataclasses.replace(GOOD, curve=curve, steps=tuple(range(500))))
    (run,) = tracker.client.search_runs(
        [tracker.experiment_id], f"tags.mlflow.parentRunId = '{family}'"
    )
    history = tracker.client.get_metric_history(run.info.run_id, "validation_curve")
    points = {point.step: point.value for point in history}
    assert len(points) == CURVE_POINTS
    assert (points[0], points[499]) == (500.0, 1.0)


def test_a_retry_logs_no_trial_twice(tracker: Tracker) -> None:
    """Trials that an earlier attempt logged are left alone."""
    family = tracker.open_run("retried", "retried", {})
    for _ in range(2):
        with TrialLogger(tracker, family, {}) as log_trial:
            log_trial(GOOD)
    runs = tracker.client.search_runs(
        [tracker.experiment_id], f"tags.mlflow.parentRunId = '{family}'"
    )
    assert len(runs) == 1


def test_a_trial_that_was_half_logged_is_finished(tracker: Tracker) -> None:
    """What a killed process had only begun to log becomes whole, and has no twin."""
    family = tracker.open_run("half logged", "half logged", {})
    tracker.client.create_run(
        tracker.experiment_id, tags={"mlflow.parentRunId": family, "trial": str(GOOD.number)}
    )
    with TrialLogger(tracker, family, {}) as log_trial:
        log_trial(GOOD)
    (run,) = tracker.client.search_runs(
        [tracker.experiment_id], f"tags.mlflow.parentRunId = '{family}'"
    )
    assert run.info.status == "FINISHED"
    assert run.data.metrics["validation_rmse"] == 5.0


def test_errors_of_the_server_surface(tracker: Tracker) -> None:
    """A trial that cannot be logged is an error in the end, not a silence."""
    logger = TrialLogger(tracker, "no-such-family", {})
    tracker_gone = Tracker.__new__(Tracker)
    tracker_gone.client = tracker.client
    tracker_gone.experiment_id = "999999"
    logger.tracker = tracker_gone
    with pytest.raises(mlflow.MlflowException), logger:
        logger(GOOD)


def test_registered_model_takes_raw_trips(
    tracker: Tracker, model: Pipeline, sample_training_set: TrainingSet
) -> None:
    """The registered model is loaded by its address and predicts minutes from raw columns."""
    run_id = tracker.open_run("registered", "registered", {})
    example = sample_training_set.example_rows
    registered = register_model(
        tracker, run_id, model, name=registered_name("green"), example=example, tags={"MODEL": "x"}
    )
    mlflow.set_tracking_uri(tracker.tracking_uri)
    loaded = mlflow.pyfunc.load_model(registered.uri)
    trips = sample_training_set.test_rows.drop(columns="duration").head(100)
    np.testing.assert_array_equal(loaded.predict(trips), model.predict(trips))
    assert loaded.metadata.signature.inputs.input_names() == list(example.columns)
    # Stored as JSON: a time is text there, as a caller sends it.
    stored = loaded.input_example.astype({"pickup_datetime": "datetime64[ns]"})
    pd.testing.assert_frame_equal(
        stored.reset_index(drop=True), example.reset_index(drop=True), check_dtype=False
    )
    np.testing.assert_array_equal(loaded.predict(loaded.input_example), model.predict(example))
    version = tracker.client.get_model_version(registered.name, str(registered.version))
    assert version.run_id == run_id
    assert version.tags["MODEL"] == "x"
    made_by = {name: version.tags[f"{name}_version"] for name in ("xgboost", "scikit-learn")}
    assert made_by == installed_versions()


#: Prints what a stored model predicts in a process that has none of our packages.
ELSEWHERE = """
import sys
sys.path[:] = [path for path in sys.path if not path.endswith("include")]
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict(pandas.read_parquet(sys.argv[2]), params={"level": 80.0}).to_json())
assert "modules.zip" in sys.modules["model_loop.intervals.calibrated"].__file__
"""


def test_limits_are_asked_of_the_registered_model(
    tracker: Tracker, model: Pipeline, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """MLflow's parameter `level` brings the limits of the stored intervals, here and elsewhere."""
    known, rows = sample_training_set.validation_times, sample_training_set.test_rows.head(200)
    rows = rows.drop(columns="duration").reset_index(drop=True)
    predicted = np.asarray(model.predict(rows), dtype=np.float64)
    actual = sample_training_set.validation_target
    shifted = actual + np.random.default_rng(1).normal(0, 3, len(actual))
    intervals = calibrate(Residuals("validation", actual, shifted, (), "", known))
    # By the hour, the limits move: a time that is not read would be seen.
    groups = tuple(hour // 12 for hour in range(24))
    cells = tuple(
        (cell[0] - 10 * group, *cell[1:])
        for cell in intervals.cells[:: len(intervals.cells) // (len(intervals.edges) + 1)]
        for group in range(3)
    )
    # By the place, too, twice as far.
    place = rows.PULocationID.mode()[0].item()
    bins = ScaleBins("category", "PULocationID", values=(float(place),))
    scale = ErrorScale(0.0, (bins,), (ScaleFactors(0, -1, (693, 0)),))
    intervals = dataclasses.replace(intervals, groups=groups, cells=cells, scale=scale)
    registered = register_model(
        tracker,
        tracker.open_run("with limits", "with limits", {}),
        model,
        name="with-limits",
        example=sample_training_set.example_rows,
        tags={},
        dataset=TRIPS,
        beside=Beside(intervals=intervals),
    )
    folder = mlflow.artifacts.download_artifacts(
        registered.uri, dst_path=str(tmp_path / "model"), tracking_uri=tracker.tracking_uri
    )
    loaded = mlflow.pyfunc.load_model(folder)
    np.testing.assert_array_equal(loaded.predict(rows), predicted)
    seconds = as_numbers(rows.pickup_datetime)
    sizes = intervals.sizes(predicted, seconds, rows)
    assert sizes is not None
    assert len(set(sizes)) == 2
    lower, upper = intervals.at(80.0).limits_of(predicted, seconds, sizes)
    plain = intervals.at(80.0).limits_of(predicted, None, sizes)
    assert (lower != plain[0]).any()
    text = rows.pickup_datetime.dt.strftime("%Y-%m-%dT%H:%M:%S")
    aware = rows.pickup_datetime.dt.tz_localize(TRIPS.time_zone).dt.tz_convert("UTC")
    for times in (rows.pickup_datetime, text, aware):
        frame = rows.assign(pickup_datetime=times)
        answered = loaded.predict(frame, params={"level": 80.0})
        assert list(answered) == ["prediction", "lower", "upper", "level"]
        for name, expected in (("prediction", predicted), ("lower", lower), ("upper", upper)):
            np.testing.assert_array_equal(answered[name], expected)
        assert set(answered.level) == {80.0}
    with pytest.raises(InvalidInputError, match="level = 40 is not a number from 50 to 99"):
        loaded.predict(rows, params={"level": 40.0})
    # The package's own way of reading answers without a level, and runs none of that code.
    np.testing.assert_array_equal(read_model(Path(folder), "It").model.predict(rows), predicted)
    rows.to_parquet(tmp_path / "rows.parquet")
    printed = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, folder, tmp_path / "rows.parquet"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    elsewhere = pd.read_json(io.StringIO(printed))
    np.testing.assert_allclose(elsewhere.lower, lower)


def test_a_retry_registers_no_second_version(
    tracker: Tracker, model: Pipeline, sample_training_set: TrainingSet
) -> None:
    """Registering again from the same run gives the version that is there."""
    run_id = tracker.open_run("registered twice", "registered twice", {})
    first, second = (
        register_model(
            tracker,
            run_id,
            model,
            name="twice",
            example=sample_training_set.example_rows,
            tags={},
        )
        for _ in range(2)
    )
    assert first == second
    assert len(tracker.client.search_model_versions("name = 'twice'")) == 1


def test_champion_is_loaded_without_pickle(
    tracker: Tracker,
    model: Pipeline,
    sample_training_set: TrainingSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The version with the alias is found and loaded by the policy; errors are those on test."""
    name, example = registered_name("green"), sample_training_set.example_rows
    run_id = tracker.open_run("champion", "champion", {})
    found = register_model(tracker, run_id, model, name=name, example=example, tags={})
    assert champion_errors(tracker, sample_training_set) == ChampionErrors()
    tracker.client.set_registered_model_alias(name, "champion", str(found.version))
    monkeypatch.setattr(mlflow.sklearn, "load_model", None)
    found_errors = champion_errors(tracker, sample_training_set)
    (errors,) = found_errors.errors.items()
    tracker.client.delete_registered_model_alias(name, "champion")
    trips = sample_training_set.test_rows
    expected = measure(trips.duration.to_numpy(), model.predict(trips.drop(columns="duration")))
    title = f"champion (version {found.version})"
    assert errors == (title, expected)
    # It was registered without a lineage.
    assert found_errors.notes[title] == "not known whether it has learned from the test trips"


def test_saved_model_holds_no_pickle(
    model: Pipeline, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """A saved model is a skops file, with pinned requirements, and no pickle anywhere."""
    save_model(model, tmp_path / "model", sample_training_set.example_rows)
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert "model.skops" in names
    assert not [name for name in names if name.endswith(".pkl")]
    requirements = (tmp_path / "model" / "requirements.txt").read_text()
    assert "scikit-learn==" in requirements
    assert "xgboost" in requirements
