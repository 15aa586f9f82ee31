"""After an upgrade of a library: the gate, the DAGs and a training go on, and somebody is told."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.tracking.test_judging import (
    LINEAR,
    NAME,
    SEARCH,
    check,
    crown,
    judged,
    registered,
    registry,
    training_set,
)

from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.orchestration.alerts.notifications import dispatcher
from model_loop.orchestration.forms import prediction_form
from model_loop.orchestration.loading import load
from model_loop.orchestration.steps import prediction
from model_loop.serving.compiled.compiler import log_form
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError
from model_loop.serving.compiled.stored import LOGGED_FORM
from model_loop.settings import get_settings
from model_loop.tracking import lines
from model_loop.tracking.models import champion_errors
from model_loop.tracking.registry import LoadedModel, load_registered
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration

__all__ = ["registry"]

MONTHS = ("2024-01", "2024-02", "2024-03")
RUN: Any = SimpleNamespace(
    dag_id="prediction",
    run_id="a",
    triggering_user_name="ada",
    run_type=SimpleNamespace(value="manual"),
)


@pytest.fixture
def built(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> TrainingSet:
    """A training set of generated trips."""
    monkeypatch.setenv("MODEL_LOOP_SERVING_FOLDER", str(tmp_path / "serving"))
    get_settings.cache_clear()
    return training_set("sample", *MONTHS)


def champion(tracker: Tracker, built: TrainingSet, *, form: bool) -> LoadedModel:
    """Make a model of trees champion, with its compiled form or without."""
    version = registered(tracker, built, family="xgboost")
    loaded = load_registered(tracker, NAME, version)
    if form:
        run_id = tracker.client.get_model_version(NAME, str(version)).run_id
        log_form(tracker, str(run_id), loaded, TRIPS)
    crown(version)
    return loaded


def upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another line of XGBoost be installed."""
    now = {**lines.installed_versions(), lines.XGBOOST: "9.4.1"}
    monkeypatch.setattr(lines, "installed_versions", lambda: now)


def test_the_compiled_form_of_a_champion_is_judged_and_answers(
    tracker: Tracker, built: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retraining that is to replace it is compared with it, and one mail asks for that."""
    theirs = champion(tracker, built, form=True)
    challenger = registered(tracker, built)
    before = check(judged(challenger), "RMSE against version 1").found
    upgrade(monkeypatch)
    after = judged(challenger)
    assert check(after, "RMSE against version 1").found == before
    assert not any("not known how" in remark for remark in after.remarks)
    trips = built.test_rows.drop(columns="duration")
    found = load(tracker, NAME, 1)
    expected = theirs.model.predict(trips)
    np.testing.assert_allclose(found.model.predict(trips), expected, rtol=0, atol=1e-5)
    assert set(champion_errors(tracker, built, load).errors) == {"champion (version 1)"}
    params = {name: field.value for name, field in prediction_form(TRIPS).items()}
    trip = {
        "PULocationID": 74,
        "DOLocationID": 75,
        "trip_distance": 1.5,
        "pickup_datetime": "2024-03-01T08:00:00",
    }
    told = prediction.predict({**params, "service": "green", "inputs": [trip]}, RUN)
    assert told["model_version"] == 1
    subjects = [one.alert.subject for one in dispatcher().outbox.waiting()]
    assert subjects.count(f"Train {NAME} again: a library was upgraded") == 1


def test_a_champion_that_nothing_answers_for_does_not_stay_for_ever(
    tracker: Tracker, built: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How it would do is not known: verdict and history say so, and the baseline is the bar."""
    champion(tracker, built, form=False)
    challenger = registered(tracker, built)
    upgrade(monkeypatch)
    verdict = judged(challenger)
    assert (verdict.champion, verdict.passed) == (1, True), verdict.markdown
    words = "not known how version 1 predicts these trips"
    assert check(verdict, "champion").found.startswith(words)
    assert check(verdict, "RMSE against the ").passed
    assert verdict.remarks[-1].startswith(words)
    assert "xgboost" in verdict.remarks[-1]
    notes = champion_errors(tracker, built, load).notes
    assert notes["champion (version 1)"].startswith("not known: Version 1 of")


def test_a_form_of_another_format_is_not_read(tracker: Tracker, built: TrainingSet) -> None:
    """Its name and number stand in it; what an earlier version has kept has none."""
    trained = train(tune(LINEAR, built, SEARCH), built, SEARCH)
    run_id = tracker.open_run("upgrades/format", "format", {})
    model = LoadedModel(trained.model, built.recipe.columns, 0.0, built.example_rows)
    log_form(tracker, run_id, model, TRIPS)
    stored = tracker.client.download_artifacts(run_id, LOGGED_FORM)
    with np.load(stored) as parts:
        content = dict(parts)
    assert (str(content["format"]), int(content["number"])) == ("model_loop.compiled", 1)
    for changed in ({"number": 4}, {"format": "other"}):
        file = io.BytesIO()
        np.savez(file, **{**content, **changed})
        file.seek(0)
        with pytest.raises(NotCompiledError, match="is stored in the format"):
            CompiledModel.read(file, TRIPS)
    older, named = io.BytesIO(), {"format", "number"}
    np.savez(older, **{name: it for name, it in content.items() if name not in named})
    older.seek(0)
    CompiledModel.read(older, TRIPS).verify(machine_code=False)
