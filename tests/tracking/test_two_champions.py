"""A champion of each moment: each is watched, compared and retrained by itself."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.orchestration.test_retraining import Store
from tests.tracking.test_judging import crown, registered, registry, training_set

from model_loop.monitoring.profile import log_reference, make_reference
from model_loop.orchestration.alerts.notifications import dispatcher
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms import monitoring_form, retraining_form
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.steps import monitoring, retraining
from model_loop.scoring.predictor import RegisteredVersion, load_predictor
from model_loop.scoring.rows import from_frame
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.sources.publications import Publications
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS
from trip_duration.services import DISTANCE, DURATION, MOMENTS

#: Assets of the dataset.
PUBLISHED_MONTHS, DRIFT = assets_of(TRIPS).published, assets_of(TRIPS).drift

pytestmark = pytest.mark.integration

__all__ = ["registry"]

RUN: Any = SimpleNamespace(
    dag_id="monitoring",
    run_id="a",
    run_type=SimpleNamespace(value="manual"),
    data_interval_end=None,
    run_after=dt.datetime.now(tz=dt.UTC),
)


@pytest.fixture
def champions(tracker: Tracker, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A champion for each moment, with what it has learned from, and an empty request log."""
    monkeypatch.setenv("MODEL_LOOP_SERVING_FOLDER", str(tmp_path / "serving"))
    get_settings.cache_clear()
    found: dict[str, tuple[int, TrainingSet]] = {}
    for recipe in ("booking", "rich"):
        built = training_set("sample", "2024-01", "2024-02", "2024-03", recipe)
        version = registered(tracker, built)
        crown(version, accept_generated_data=True)
        predictor = load_predictor(versions_of("green"), RegisteredVersion("green", version))
        run_id = tracker.client.get_model_version(predictor.version.name, str(version)).run_id
        log_reference(tracker, str(run_id), make_reference(predictor.model, built))
        found[built.recipe.moment] = version, built
    return found


def ask(champions: Any, factor: float = 1.0) -> None:
    """Log what both champions were asked; only when a trip has ended is its distance given."""
    settings = get_settings()
    log = RequestLog(open_log(settings.request_log_url, settings.serving_folder))
    for moment, (version, built) in champions.items():
        trips = built.test_rows.drop(columns=DURATION)
        predictor = load_predictor(versions_of("green"), RegisteredVersion("green", version))
        minutes = predictor.predict(trips).tolist()
        rows = from_frame(TRIPS, trips, [name for name in TRIPS.columns.names if name in trips])
        rows[:, TRIPS.columns.places[DISTANCE]] *= factor
        if moment == MOMENTS[0]:
            rows[:, TRIPS.columns.places[DISTANCE]] = np.nan
        log.record_many(
            Entry(
                f"{version:016x}{number:016x}",
                RUN.run_after.timestamp() - 60,
                "green",
                version,
                "champion",
                "tests",
                None,
                took,
                1.0,
                tuple(row),
            )
            for number, (row, took) in enumerate(zip(rows.tolist(), minutes, strict=True))
        )
    assert log._write_all()
    log.engine.dispose()


def form(**fields: Any) -> dict[str, Any]:
    """Fill in the form of the DAG `monitoring`."""
    filled = {name: param.resolve() for name, param in monitoring_form(TRIPS).items()}
    return {**filled, "service": "green", "report": False, **fields}


def look(store: Store, **fields: Any) -> tuple[Any, Any, Any]:
    """Run the DAG's steps: the plan, what was found of drift, and the evidence."""
    params = form(**fields)
    plan = monitoring.plan_windows(params, RUN, {})
    assert plan is not None
    drift = monitoring.drift(plan, params, RUN)
    performance = monitoring.performance(plan, params)
    evidence = monitoring.judge_windows(plan, drift, performance, params, RUN, {DRIFT: store})
    return plan, drift, evidence


def test_every_champion_is_watched_by_what_it_was_asked(champions: Any) -> None:
    """Each has its own result; trips without a distance are none of the later moment's."""
    ask(champions)
    store = Store()
    plan, drift, evidence = look(store)
    numbers = {moment: version for moment, (version, _) in champions.items()}
    assert {one["moment"]: one["version"] for one in plan["versions"]} == numbers
    assert len(drift) == len(MOMENTS)
    for moment, version in numbers.items():
        (rows,) = [rows for line, rows in drift.items() if f"/{version}/" in line]
        distances = [row for row in rows if row["subject"] == DISTANCE]
        assert bool(distances) == (moment == "ended")
        missing = [row for row in rows if row["metric"] == "missing_change"]
        assert missing
        assert {row["level"] for row in missing} == {"ok"}
    assert evidence == []


def test_drift_of_one_champion_is_an_alarm_of_its_own(champions: Any) -> None:
    """It names version and moment, and the retraining trains what can replace that version."""
    ask(champions, factor=5.0)
    store = Store()
    _, _, (evidence,) = look(store, thresholds={"psi": [0.1, 0.25]})
    ended, _ = champions["ended"]
    assert (evidence["version"], evidence["moment"], evidence["recipe"]) == (ended, "ended", "rich")
    subjects = [one.alert.subject for one in dispatcher().outbox.waiting()]
    (told,) = [one for one in subjects if one.startswith("drift: ")]
    assert f"version {ended} (ended)" in told
    # That of the other moment is not covered by the cooldown of this one.
    assert DriftMemory(store, "green", dt.timedelta(hours=1), "booked").is_due("act", "another")
    assert look(store)[2] == [evidence], "a run that is tried again may end what it has begun"

    events = {DRIFT: [SimpleNamespace(extra=evidence)]}
    by_asset = SimpleNamespace(
        triggering_user_name=None, run_type=SimpleNamespace(value="asset_triggered")
    )
    filled = {name: param.resolve() for name, param in retraining_form(TRIPS).items()}
    stores = {PUBLISHED_MONTHS: store, DRIFT: store}
    marks = retraining._watermarks(stores, {**filled, "service": "green", "source": "sample"})
    planned = retraining.plan_retraining(filled, by_asset, events, stores)
    assert planned is not None
    assert planned["recipe"] == "rich"
    # Models of the other moment have learned from these months meanwhile: that answers no drift.
    marks.train(Publications.from_json(planned["published"]), "booked")
    assert retraining.plan_retraining(filled, by_asset, events, stores) is not None
    marks.train(Publications.from_json(planned["published"]), "ended")
    assert retraining.plan_retraining(filled, by_asset, events, stores) is None
