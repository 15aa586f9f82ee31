"""What monitoring keeps on a real MLflow server."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pytest
from tests.variants import made_up

from model_loop.models.catalogue import get_family
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.monitoring.levels import Level, Thresholds, judge_value, thresholds_of, worst
from model_loop.monitoring.profile import find_profile, find_sample
from model_loop.monitoring.records import FindingRecords, WatchedVersion
from model_loop.monitoring.window_drift import DriftRules, look_for_drift, profile_version
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.settings import Settings
from model_loop.tracking.lineage import lineage_of, log_lineage
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.services import DURATION

pytestmark = pytest.mark.integration

PSI = Thresholds(0.1, 0.25)


def watched(month: int) -> WatchedVersion:
    """A month of version 7."""
    return WatchedVersion(Window.of_partition("green", f"2024-{month:02d}"), 7, "month")


def test_a_window_is_replaced_and_never_doubled(tracker: Tracker, tmp_path: Path) -> None:
    """The run, its files and its point of the time series are those of the last look."""
    records = FindingRecords(Tracker(tracker.tracking_uri, "records"))
    (tmp_path / "report.html").write_text("<html>")
    for month, value in ((1, 0.02), (2, 0.3), (3, 0.2), (2, 0.12)):
        one = watched(month)
        found = [
            judge_value("psi", "hour", value, PSI),
            judge_value("slice_rmse", "zone=1", np.nan, PSI),
        ]
        run_id = records.open(one)
        records.write(run_id, "drift", found, tmp_path)
        level = records.close(one, found)
    assert level is Level.WARN
    runs = records.tracker.client.search_runs([records.tracker.experiment_id])
    windows = [run for run in runs if "window" in run.data.tags]
    assert len(windows) == 3
    assert len(runs) == 4
    (series,) = (run for run in runs if "window" not in run.data.tags)
    points = records.tracker.client.get_metric_history(series.info.run_id, "psi.hour")
    assert [point.value for point in sorted(points, key=lambda it: it.step)] == [0.02, 0.12, 0.2]
    (february,) = (run for run in windows if run.data.tags["window"] == "2024-02")
    assert february.data.metrics == {"psi.hour": 0.12}
    assert february.data.tags["level"] == "warn"
    assert february.data.tags["found"] == "PSI(hour) = 0.12"
    before = records.history(watched(3), "drift", 5)
    assert [past[0].value for past in before] == [0.02, 0.12]
    assert records.history(watched(1), "drift", 5) == []
    assert records.read(february.info.run_id, "performance") == []
    unknown = [judge_value("psi", "hour", None, PSI, "3 trips")]
    records.write(february.info.run_id, "drift", unknown)
    assert records.close(watched(2), unknown) is Level.UNKNOWN
    old, new = (past[0].value for past in records.history(watched(3), "drift", 5))
    assert old == 0.02
    assert math.isnan(new)
    # Nothing can be said of February any more: no figure of it is left, and it does not count.
    (past,) = records.history(watched(3), "drift", 5, known="psi.hour")
    assert past[0].value == 0.02
    series_now = records.tracker.find_run("series/green/7/month")
    assert series_now is not None
    points = records.tracker.client.get_metric_history(series_now.info.run_id, "psi.hour")
    assert sorted(point.value for point in points) == [0.02, 0.2]


def test_looking_again_is_no_further_window(tracker: Tracker) -> None:
    """Windows by hand that end within a day of each other count once, the last of them."""
    records = FindingRecords(Tracker(tracker.tracking_uri, "hands"))
    end = dt.datetime(2024, 3, 8, 6, tzinfo=dt.UTC)

    def look(days: float) -> WatchedVersion:
        moment = end + dt.timedelta(days=days)
        window = Window.of_days("green", moment - dt.timedelta(days=7), moment)
        return WatchedVersion(window, 7, "request_log")

    for number, days in enumerate((0, 1, 1.2, 1.4)):
        found = [judge_value("psi", "hour", number / 10, PSI)]
        records.write(records.open(look(days)), "drift", found)
        records.close(look(days), found)
    values = [past[0].value for past in records.history(look(2.4), "drift", 5)]
    assert values == [0.0, 0.3]
    assert [past[0].value for past in records.history(look(1.4), "drift", 5)] == [0.0]


def test_a_version_without_a_profile_says_so_until_it_gets_one(
    tracker: Tracker, sample_training_set: TrainingSet, sample_root: Path
) -> None:
    """Findings are unknown and name the command; it makes the profile from the lineage."""
    promoter = Promoter(Tracker(tracker.tracking_uri, "profiles"), made_up("profiled"), "ended")
    search = SearchRequest(max_evaluations=1, threads=1)
    linear = get_family("linear_model.LinearRegression")
    trained = train(tune(linear, sample_training_set, search), sample_training_set, search)
    run_id = promoter.tracker.open_run("profiled/model", "model", {})
    log_lineage(promoter.tracker, run_id, lineage_of(trained, sample_training_set, search))
    promoter.tracker.client.create_registered_model(promoter.name)
    promoter.tracker.client.create_model_version(promoter.name, f"runs:/{run_id}/model", run_id)

    columns = sample_training_set.recipe.columns
    predictor = Predictor(RegisteredVersion("profiled", 1), trained.model, columns)
    judged = sample_training_set.test_rows
    now = dt.datetime.now(tz=dt.UTC)
    trips = WindowRows(
        window=Window.of_days("green", now - dt.timedelta(days=1), now),
        source="month",
        rows=judged.drop(columns=DURATION),
        predicted=predictor.predict(judged),
        versions=np.ones(len(judged), dtype=np.int64),
        ids=np.arange(len(judged)).astype(str).astype(object),
        actual=judged[DURATION].to_numpy(),
    )
    rules = DriftRules(thresholds_of(Settings()), 100)
    found = look_for_drift(promoter.versions, predictor, trips, rules)
    assert {one.level for one in found} == {Level.UNKNOWN}
    assert "model-loop profile-version --version 1" in found[0].note

    profile_version(promoter.versions, predictor, storage_root=str(sample_root), timeout_seconds=10)
    profile = find_profile(promoter.tracker, promoter.name, 1)
    assert profile
    assert profile.training_set == sample_training_set.digest
    assert profile.shap is None
    sample = find_sample(promoter.tracker, promoter.name, 1)
    assert sample is not None
    found = look_for_drift(promoter.versions, predictor, trips, rules)
    assert worst(found) is Level.OK
