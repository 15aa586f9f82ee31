"""What a retraining is planned on, with months in a folder."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.utils.types import DagRunType
from mlflow import MlflowClient
from tests.servers import tracking_database

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.errors import InvalidInputError, SourceError
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms import (
    preparation_form,
    retraining_form,
    sklearn_form,
    training_form,
)
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.steps import retraining
from model_loop.settings import get_settings
from model_loop.sources.publications import Publications
from model_loop.tracking.actions import Action
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from trip_duration.dataset import TRIPS
from trip_duration.services import MOMENTS

#: Assets of the dataset.
PUBLISHED_MONTHS, DRIFT = assets_of(TRIPS).published, assets_of(TRIPS).drift

MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04")
BY_HAND = SimpleNamespace(triggering_user_name="ada", run_type=DagRunType.MANUAL)
BY_ASSET = SimpleNamespace(triggering_user_name=None, run_type=DagRunType.ASSET_TRIGGERED)
BY_CLOCK = SimpleNamespace(
    triggering_user_name=None, run_id="scheduled__1", run_type=DagRunType.SCHEDULED
)
BY_RUN = SimpleNamespace(
    triggering_user_name=None, run_id="retraining.1", run_type=DagRunType.OPERATOR_TRIGGERED
)


class Store:
    """A state store in memory."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.values[key] = value


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A folder whose months go up to April."""
    for month in MONTHS:
        (tmp_path / f"green_tripdata_{month}.parquet").write_bytes(b"never read")
    return str(tmp_path)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings as they are by default; the folder may be named as source."""
    monkeypatch.setenv("MODEL_LOOP_ALLOWED_SOURCES", str(tmp_path))
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracking_database(tmp_path / "mlflow.db"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def params(source: str, **changed: Any) -> dict[str, Any]:
    """The form, with a source, and one train month."""
    form = {name: param.resolve() for name, param in retraining_form(TRIPS).items()}
    return {**form, "source": source, "train_months_count": 1, **changed}


def plan(
    form: dict[str, Any], store: Store, run: Any = BY_HAND, events: Any = None
) -> dict[str, Any] | None:
    """Plan a retraining."""
    return retraining.plan_retraining(
        form, run, events or {}, {PUBLISHED_MONTHS: store, DRIFT: store}
    )


def others(form: dict[str, Any], events: Any, run: Any = BY_ASSET) -> list[dict[str, Any]]:
    """Forms of the other runs that a run asks for."""
    return retraining.other_occasions(form, run, events)


def test_the_newest_month_judges(source: str) -> None:
    """The window ends at the newest month that is published; every DAG gets its own form."""
    form = params(source, max_evaluations=7)
    planned = plan(form, Store())
    assert planned is not None
    assert (planned["why"], planned["newest"]) == ("by ada", "2024-04")
    assert [one["month"] for one in planned["published"]] == ["2024-02", "2024-03", "2024-04"]
    forms = planned["forms"]
    assert forms["data_preparation"] == {
        "source": source,
        "service": "green",
        "recipe": "booking",
        "encoding": "native",
        "train_months": ["2024-02"],
        "validation_months": ["2024-03"],
        "test_months": ["2024-04"],
    }
    assert forms["xgboost_training"]["max_evaluations"] == 7
    assert "models" not in forms["xgboost_training"]
    assert forms["sklearn_training"]["models"] == form["models"]


def test_what_was_trained_on_is_not_trained_on_again(source: str) -> None:
    """Unless it is asked for, or a month was published anew, or the window is another one."""
    store, form = Store(), params(source)
    planned = plan(form, store)
    assert planned is not None
    marks = retraining._watermarks({PUBLISHED_MONTHS: store}, form)
    marks.train(Publications.from_json(planned["published"]), "booked")
    assert plan(form, store) is None
    assert plan({**form, "again": True}, store) is not None
    assert plan({**form, "train_months_count": 2}, store) is not None
    (Path(source) / "green_tripdata_2024-03.parquet").write_bytes(b"published anew")
    assert plan(form, store) is not None


def event(source: str, service: str = "green", **extra: Any) -> SimpleNamespace:
    """An event of an asset."""
    return SimpleNamespace(extra={"source": source, "service": service, **extra})


def test_events_say_why(source: str) -> None:
    """Several events that came together start one run, and all are told."""
    events = {
        PUBLISHED_MONTHS: [event(source, months=["2024-04"])],
        DRIFT: [
            event(source, why="PSI(trip_distance) = 0.31"),
            event(source, why="PSI(trip_distance) = 0.31"),
            event(source),
        ],
    }
    planned = plan(params(source), Store(), BY_ASSET, events)
    assert planned is not None
    assert planned["why"] == (
        "published: 2024-04; drift: PSI(trip_distance) = 0.31; drift: no reason given"
    )


def test_an_event_is_answered_with_its_source_service_and_month(source: str) -> None:
    """Whatever the form's defaults are, and whatever else the source has published."""
    for month in MONTHS[:3]:
        (Path(source) / f"yellow_tripdata_{month}.parquet").write_bytes(b"never read")
    events = {PUBLISHED_MONTHS: [event(source, "yellow", months=["2024-02", "2024-03"])]}
    planned = plan(params("sample"), Store(), BY_ASSET, events)
    assert planned is not None
    assert (planned["source"], planned["service"]) == (source, "yellow")
    assert (planned["why"], planned["newest"]) == ("published: 2024-02, 2024-03", "2024-03")
    months = {"train_months": ["2024-01"], "validation_months": ["2024-02"]}
    for form in planned["forms"].values():
        asked = {"source": source, "service": "yellow", **months, "test_months": ["2024-03"]}
        assert {name: form[name] for name in asked} == asked


def test_an_earlier_month_that_is_published_anew_does_not_turn_time_back(source: str) -> None:
    """The window still ends at the newest month that was trained on."""
    store, form = Store(), params(source)
    planned = plan(form, store)
    assert planned is not None
    marks = retraining._watermarks({PUBLISHED_MONTHS: store}, form)
    marks.train(Publications.from_json(planned["published"]), "booked")
    (Path(source) / "green_tripdata_2024-03.parquet").write_bytes(b"published anew")
    events = {PUBLISHED_MONTHS: [event(source, months=["2024-03"])]}
    again = plan(form, store, BY_ASSET, events)
    assert again is not None
    assert again["newest"] == "2024-04"


def test_events_of_several_sources_are_answered_by_a_run_each(source: str) -> None:
    """The run answers the first; the others get runs with forms that name what they are about."""
    events = {
        PUBLISHED_MONTHS: [event(source, months=["2024-03"]), event("tlc", months=["2024-04"])],
        DRIFT: [event(source, "yellow", why="RMSE 4.9 → 6.1")],
    }
    planned = plan(params("sample"), Store(), BY_ASSET, events)
    assert planned is not None
    assert (planned["source"], planned["newest"]) == (source, "2024-03")
    first, second = others(params("sample", promote=False), events)
    assert first == {
        "promote": False,
        "approval": False,
        "blend": True,
        "source": "tlc",
        "service": "green",
        "newest_month": "2024-04",
        "why": "published: 2024-04",
    }
    assert (second["service"], second["newest_month"]) == ("yellow", None)
    # What is triggered with it is a form that the DAG takes.
    assert set(second) <= set(retraining_form(TRIPS))
    for month in MONTHS:
        (Path(source) / f"yellow_tripdata_{month}.parquet").write_bytes(b"never read")
    told = plan(params(**second), Store())
    assert told is not None
    assert (told["service"], told["newest"]) == ("yellow", "2024-04")
    assert told["why"] == "drift: RMSE 4.9 → 6.1"


@pytest.mark.parametrize(
    ("asset", "extra", "missing"),
    [
        (DRIFT, {"why": "PSI"}, "names no source"),
        (DRIFT, {"source": "tlc", "why": "PSI"}, "names no service"),
        (DRIFT, {"source": "tlc", "service": "purple"}, "is unknown"),
        (PUBLISHED_MONTHS, {"source": "tlc", "service": "green"}, "names no month"),
        (
            PUBLISHED_MONTHS,
            {"source": "tlc", "service": "green", "months": ["x"]},
            "is no month",
        ),
    ],
)
def test_an_event_that_does_not_say_what_it_is_about_is_refused(
    asset: Any, extra: dict[str, Any], missing: str
) -> None:
    """Nothing is guessed: a default would train on months that nobody has named."""
    events = {asset: [SimpleNamespace(extra=extra)]}
    with pytest.raises(InvalidInputError, match=missing):
        others(params("sample"), events)


def champion_of(recipe: str, moment: Moment, service: str = "green") -> None:
    """Register a version of a recipe and let it answer."""
    settings, folder = get_settings(), tempfile.mkdtemp()
    name = "trip-duration-promotion"
    client = MlflowClient(settings.tracking_uri)
    if client.get_experiment_by_name(name) is None:
        # Without a place, MLflow writes into the folder that the tests run in.
        client.create_experiment(name, artifact_location=Path(folder).as_uri())
        client.create_registered_model(f"trip_duration_{service}")
    tracker = Tracker(settings.tracking_uri, name)
    made = client.create_model_version(
        f"trip_duration_{service}", "runs:/none/model", tags={"recipe": recipe}
    )
    promoter = Promoter(tracker, service, moment)
    promoter.act(Action("promote", service, int(made.version)), f"first/{recipe}")


def test_a_month_retrains_the_champion_of_every_moment(source: str) -> None:
    """By a run of its own, which trains its recipe and answers its drift, whatever else waits."""
    events = {PUBLISHED_MONTHS: [event(source, months=["2024-04"])]}
    champion_of("booking", "booked")
    assert others(params("sample"), events) == []
    champion_of("pair_distance", "ended")
    (form,) = others(params("sample"), events)
    assert (form["recipe"], form["source"], form["service"]) == ("pair_distance", source, "green")
    assert (form["newest_month"], form["why"]) == ("2024-04", "published: 2024-04")
    store = Store()
    memory = DriftMemory(store, "green", dt.timedelta(hours=1), "ended")
    evidence = {"why": "PSI(hour) = 0.4", "version": 2, "window": "w", "run_id": "r"}
    memory.await_retraining({**evidence, "recipe": "pair_distance", "run_url": "http://localhost"})
    own, other = (
        plan(params("sample"), store, BY_ASSET, events),
        plan(params(**form), store, BY_RUN),
    )
    assert own is not None
    assert other is not None
    assert (own["recipe"], own["why"]) == ("booking", "published: 2024-04")
    assert (other["recipe"], other["newest"]) == ("pair_distance", "2024-04")
    assert other["why"] == "published: 2024-04; drift: PSI(hour) = 0.4"
    # A person who has asked for one recipe gets that one, and a drift is about one version.
    assert others(params("sample"), {}, BY_HAND) == []
    drift = {DRIFT: [event(source, why="PSI", recipe="booking")]}
    assert others(params("sample"), drift) == []


def test_the_hour_of_the_schedule_is_for_every_champion(source: str) -> None:
    """Of the form's source and service, since no event names another one."""
    champion_of("rich", "ended")
    (form,) = others(params(source), {}, BY_CLOCK)
    assert (form["recipe"], form["source"], form["newest_month"]) == ("rich", source, None)
    assert form["why"] == "by scheduled"


def test_a_month_can_be_named(source: str) -> None:
    """The window ends where the form says."""
    planned = plan(params(source, newest_month="2024-03"), Store())
    assert planned is not None
    assert planned["forms"]["sklearn_training"]["train_months"] == ["2024-01"]


def test_a_source_that_is_down_fails_the_plan(tmp_path: Path) -> None:
    """It is no source without months."""
    with pytest.raises(SourceError, match="does not exist"):
        plan(params(str(tmp_path / "nowhere")), Store())


def test_a_drift_is_answered_by_the_recipe_that_has_drifted(source: str) -> None:
    """Another recipe may be asked at another moment; what a person chooses is taken as it is."""
    store = Store()
    memory = DriftMemory(store, "green", dt.timedelta(hours=1), "booked")
    evidence = {"why": "PSI(hour) = 0.4", "version": 1, "window": "2024-01", "recipe": "rich"}
    memory.await_retraining({**evidence, "run_id": "r", "run_url": "http://localhost/r"})
    events = {DRIFT: [event(source, why="PSI(hour) = 0.4")]}
    planned = plan(params(source), store, BY_ASSET, events)
    assert planned is not None
    assert planned["recipe"] == "rich"
    assert {form["recipe"] for form in planned["forms"].values()} == {"rich"}
    by_hand = plan(params(source), store, BY_HAND)
    assert by_hand is not None
    assert by_hand["recipe"] == "booking"


def test_a_drift_waits_for_the_next_month(source: str) -> None:
    """What no retraining has answered is among the reasons of the next one, once."""
    store = Store()
    memory = DriftMemory(store, "green", dt.timedelta(hours=1), "booked")
    evidence = {"window": "2024-01", "run_id": "r", "run_url": "http://localhost/r"}
    memory.await_retraining({"why": "PSI(hour) = 0.4", "version": 1, **evidence})
    events = {DRIFT: [event(source, why="PSI(hour) = 0.4")]}
    for given in ({}, events):
        planned = plan(params(source), store, BY_ASSET, given)
        assert planned
        assert planned["why"] == "drift: PSI(hour) = 0.4"
    memory.answer()
    planned = plan(params(source), store, BY_HAND)
    assert planned
    assert planned["why"] == "by ada"


def written_before(why: str = "PSI(hour) = 0.4", **more: Any) -> dict[str, Any]:
    """Evidence of a drift of version 1 as it was written before moments had champions."""
    place = {"window": "w", "run_id": "r", "run_url": "http://localhost/r"}
    return {"why": why, "service": "green", "version": 1, **place, **more}


def test_a_drift_of_an_older_version_is_answered_by_the_recipe_of_then(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its evidence names no source and no recipe: the settings and the version tell them."""
    monkeypatch.setenv("MODEL_LOOP_SOURCE", source)
    get_settings.cache_clear()
    champion_of("rich", "ended")
    store = Store()
    store.set("drift:green", {"pending": written_before()})
    events = {DRIFT: [SimpleNamespace(extra=written_before())]}
    planned = plan(params("sample"), store, BY_ASSET, events)
    assert planned is not None
    assert (planned["source"], planned["recipe"]) == (source, "rich")
    assert planned["why"] == "drift: PSI(hour) = 0.4"
    assert others(params("sample"), events) == []
    # Models that are asked at another moment do not answer it.
    booked = plan(params(source), store)
    assert booked is not None
    assert booked["why"] == "by ada"


def pulled(results: dict[str, Any], blend: dict[str, Any] | None = None) -> Any:
    """Return what looks up the results of a training, and those of a blend."""
    return lambda dag_id, **_: blend if dag_id == "blend" else results


def test_the_families_of_both_trainings_are_blended_before_the_best_is_chosen(source: str) -> None:
    """The blend is one more of them; without the option nothing is asked for."""
    champion_of("rich", "ended")
    form = params(source, recipe="rich")
    planned = plan(form, Store())
    assert planned is not None
    errors = {"validation_rmse": 4.6, "test_rmse": 4.7}
    families = [
        {"family": "xgboost", "loss": 4.6, **errors, "model_uri": "models:/trip_duration_green/2"}
    ]
    best = {"family": "blend", "loss": 4.5, **errors, "model_uri": "models:/trip_duration_green/3"}
    member = {**families[0], "loss": 4.4}
    run = SimpleNamespace(dag_id="retraining", run_id="manual__1")
    both = {"families": families, "compared_with": {}}
    ti = SimpleNamespace(
        xcom_pull=pulled(both, {"families": [best, member], "compared_with": {"champion": 5}})
    )
    asked = retraining.ask_for_blend(planned, form, run, ti)
    # Both trainings have the same result here.
    assert asked is not None
    assert (asked["service"], asked["versions"]) == ("green", [2, 2])
    assert retraining.ask_for_blend(planned, {**form, "blend": False}, run, ti) is None
    challenger = retraining.choose_challenger(planned, form, run, ti)
    assert challenger is not None
    assert challenger["version"] == 3


def test_a_run_that_an_older_version_has_planned_is_gone_on_with(source: str) -> None:
    """Its plan names neither source nor service nor recipe: they are those of its form."""
    champion_of("rich", "ended")
    form = params(source, recipe="rich")
    planned = plan(form, Store())
    assert planned is not None
    older = {name: planned[name] for name in ("why", "newest", "published", "forms")}
    family = {"family": "xgboost", "loss": 4.6, "validation_rmse": 4.6, "test_rmse": 4.7}
    results = {
        "families": [{**family, "model_uri": "models:/trip_duration_green/2"}],
        "compared_with": {},
    }
    run = SimpleNamespace(dag_id="retraining", run_id="manual__1")
    ti = SimpleNamespace(xcom_pull=pulled(results))
    challenger = retraining.choose_challenger(older, form, run, ti)
    assert challenger is not None
    assert (challenger["service"], challenger["version"]) == ("green", 2)
    store = Store()
    states = {PUBLISHED_MONTHS: store, DRIFT: store}
    told = retraining.finish(older, form, run, ti, states, challenger)
    assert (told["champion"], told["promoted"]) == (1, False)
    marks = retraining._watermarks(states, form)
    assert [str(month) for month in marks.trained("ended").known] == [*MONTHS[1:]]


def test_where_nothing_answers_the_promotion_chooses(source: str) -> None:
    """It names no version, so that the next best follows one that the gate refuses."""
    champion_of("booking", "booked")
    form = params(source, recipe="rich")
    planned = plan(form, Store())
    assert planned is not None
    families = [
        {
            "family": family,
            "loss": loss,
            "validation_rmse": loss,
            "test_rmse": loss,
            "model_uri": f"models:/trip_duration_green/{version}",
        }
        for family, loss, version in (("xgboost", 4.7, 2), ("svm.LinearSVR", 4.6, 3))
    ]
    run = SimpleNamespace(dag_id="retraining", run_id="manual__1")
    ti = SimpleNamespace(xcom_pull=pulled({"families": families, "compared_with": {}}))
    challenger = retraining.choose_challenger(planned, form, run, ti)
    assert challenger is not None
    assert challenger["version"] is None
    store = Store()
    states = {PUBLISHED_MONTHS: store, DRIFT: store}
    told = retraining.finish(planned, form, run, ti, states, challenger)
    assert (told["challenger"], told["promoted"]) == (3, False)
    champion_of("rich", "ended")
    told = retraining.finish(planned, form, run, ti, states, challenger)
    assert (told["challenger"], told["champion"], told["promoted"]) == (2, 2, True)


def test_a_drift_of_a_version_that_is_gone_is_answered_still(source: str) -> None:
    """Nothing tells its recipe: what the form asks for is trained."""
    store = Store()
    store.set("drift:green", {"pending": written_before(version=99)})
    planned = plan(params(source), store)
    assert planned is not None
    assert planned["why"] == "drift: PSI(hour) = 0.4"


def test_a_drift_that_an_older_version_has_told_is_not_told_again() -> None:
    """It counts for every moment, as it does not tell of which version it was."""
    store = Store()
    now = dt.datetime.now(tz=dt.UTC).isoformat()
    store.set("drift:green", {"act": {"run_id": "a", "at": now}})
    hour = dt.timedelta(hours=1)
    for moment in MOMENTS:
        assert not DriftMemory(store, "green", hour, moment).is_due("act", "b")
    booked, ended = (DriftMemory(Store(), "green", hour, moment) for moment in MOMENTS)
    booked.remember("act", "a")
    assert DriftMemory(booked.store, "green", hour, ended.moment).is_due("act", "b")


def test_one_drift_acts_once() -> None:
    """A retried run may go on; another one waits; after acting, a warning is no news."""
    memory = DriftMemory(Store(), "green", dt.timedelta(hours=1), "booked")
    assert memory.is_due("act", "a")
    memory.remember("act", "a")
    assert memory.is_due("act", "a")
    assert not memory.is_due("act", "b")
    assert not memory.is_due("warn", "b")
    assert DriftMemory(memory.store, "green", dt.timedelta(0), "booked").is_due("act", "b")
    assert DriftMemory(memory.store, "yellow", memory.cooldown, "booked").is_due("act", "b")


@pytest.mark.parametrize(
    ("promoted", "version", "outcome"),
    [
        (True, 2, "retrained because PSI(hour) = 0.4; RMSE 5.40 → 4.60"),
        (False, 2, "retrained because PSI(hour) = 0.4; not promoted (RMSE 5.40 → 4.60)"),
        (False, None, "retrained because PSI(hour) = 0.4; nothing was to be promoted"),
    ],
)
def test_the_outcome_names_the_drift_and_the_errors(
    version: int | None, outcome: str, *, promoted: bool
) -> None:
    """On the same test months: of the version that had drifted, and of the new one."""
    families = [
        {
            "model_uri": "models:/trip_duration_green/2",
            "test_rmse": 4.6,
            "compared_with": {"champion (version 1)": {"test_rmse": 5.4}},
        }
    ]
    drift = {"why": "PSI(hour) = 0.4", "version": 1}
    assert retraining._outcome(drift, families, version, promoted=promoted) == outcome


METERS = """
name = "meters"
source = "FOLDER/meters-{partition}.csv"
target = "load"
partition = "week"
labels_after = "2 days"
[time]
column = "at"
[columns.at]
type = "time"
[columns.load]
type = "number"
"""
WEEKS = ("2023-W52", "2024-W01", "2024-W02")


@pytest.fixture
def meters(tmp_path: Path) -> Dataset:
    """Weeks of a declared table, one of which has not ended."""
    for key in (*WEEKS, "2099-W01"):
        (tmp_path / f"meters-{key}.csv").write_text("at,load\n")
    return use_dataset(
        dataset_of(parse_declaration(METERS.replace("FOLDER", str(tmp_path)), "meters.toml"))
    )


def plan_of_meters(dataset: Dataset, store: Store, events: Any = None, **fields: Any) -> Any:
    """Plan a retraining on meters."""
    form = {name: param.resolve() for name, param in retraining_form(dataset).items()}
    assets = assets_of(dataset)
    states = {assets.published: store, assets.drift: store}
    form = completed_form(dataset, {**form, **fields})
    return retraining.plan_retraining(form, BY_HAND, events or {}, states)


def test_a_declared_table_is_retrained_on_all_partitions_up_to_the_newest(
    meters: Dataset, tmp_path: Path
) -> None:
    """Of which the true values have come; in fields that the forms of the DAGs have."""
    store = Store()
    planned = plan_of_meters(meters, store)
    assert planned["newest"] == "2024-W02"
    forms = {
        "data_preparation": preparation_form(meters),
        "sklearn_training": sklearn_form(meters),
        "xgboost_training": training_form(meters),
    }
    for job, form in planned["forms"].items():
        assert form["partitions"] == [*WEEKS]
        assert set(form) <= set(forms[job])
    earlier = plan_of_meters(meters, store, newest_partition="2024-W01")
    assert earlier["forms"]["xgboost_training"]["partitions"] == [*WEEKS[:2]]
    with pytest.raises(InvalidInputError, match="true values have not arrived"):
        plan_of_meters(meters, store, newest_partition="2099-W01")
    source = str(tmp_path / "meters-{partition}.csv")
    announced = SimpleNamespace(extra={"source": source, "partitions": ["2024-W01"]})
    told = plan_of_meters(meters, store, {assets_of(meters).published: [announced]})
    assert told["newest"] == "2024-W01"
    early = SimpleNamespace(extra={"source": source, "partitions": ["2099-W01"]})
    told = plan_of_meters(meters, store, {assets_of(meters).published: [early]})
    assert told["newest"] == "2024-W02"
    marks = retraining._watermarks(
        {assets_of(meters).published: store}, {"service": "meters", "source": source}
    )
    marks.train(Publications.from_json(planned["published"]), "request")
    assert plan_of_meters(meters, store) is None
    (tmp_path / "meters-2023-W52.csv").write_text("at,load\n2024-01-01,1\n")
    assert plan_of_meters(meters, store)["forms"]["data_preparation"]["partitions"] == [*WEEKS]


def test_a_source_without_a_partition_is_said(meters: Dataset, tmp_path: Path) -> None:
    """Nothing is trained on no rows."""
    for key in WEEKS:
        (tmp_path / f"meters-{key}.csv").unlink()
    with pytest.raises(SourceError, match="has no week whose true values have arrived"):
        plan_of_meters(meters, Store())
