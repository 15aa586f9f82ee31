"""Stores of version aa3853a, read by the code of today; see README.md."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from tests.alerts.conftest import Recorder
from tests.upgrade.conftest import Served
from tests.upgrade.stores import as_result
from upath import UPath

from model_loop.alerts.dispatch import AlertDispatcher
from model_loop.monitoring.profile import VersionProfile, find_profile, find_sample
from model_loop.objects.documents import moved_aside
from model_loop.objects.tree import from_tree
from model_loop.orchestration.forms import monitoring_form
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.schedules.drifts import drift_of, waiting_drifts
from model_loop.orchestration.steps import batch_scoring, monitoring
from model_loop.scoring.predictor import RegisteredVersion, load_predictor
from model_loop.scoring.row_requests import predict_rows
from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.compiled.flat import Linear
from model_loop.serving.compiled.model import NotCompiledError
from model_loop.tracking.deployments import Deployment
from model_loop.tracking.intervals import find_intervals
from model_loop.tracking.lineage import find_lineage
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import load_registered
from trip_duration.columns import TRIP_READER, local_now
from trip_duration.compiled.flat import DenseTables
from trip_duration.dataset import TRIPS

pytestmark = pytest.mark.integration


def test_every_document_and_every_result_is_read(old: Served) -> None:
    """Entries of products, checked months and alerts; what tasks have returned."""
    documents = [path for path in UPath(old.stores.storage_root).rglob("*.json") if path.is_file()]
    folders = Counter(path.parts[1] for path in documents)
    assert {"alerts", "products", "scoring", "xcom"} <= {*folders}
    for path in documents:
        if not {"xcom", "turns"} & {*path.parts}:
            from_tree(json.loads(path.read_bytes()), {})
    kinds: Counter[str] = Counter()
    for (value,) in old.stores.rows("select value from xcom"):
        kinds[type(as_result(value)).__name__] += 1
    found = {
        "CheckedMonth",
        "RawMonth",
        "TrainedModel",
        "TrainingSet",
        "GateVerdict",
        "TuningResult",
    }
    assert found <= {*kinds}


def test_training_sets_are_found_and_read(old: Served) -> None:
    """They are listed, shown by the digest that models have as tag, and used again."""
    listed = json.loads(old.command("products", "list", "--json").stdout)["products"]
    tags = {one["tags"]["training_set"] for one in old.expected["versions"].values()}
    assert {one["digest"] for one in listed} == tags
    for digest in tags:
        shown = json.loads(old.command("products", "show", digest, "--json").stdout)
        assert [month["data_source"] for month in shown["months"]] == ["sample"] * 3


def test_a_checked_month_is_used_again(old: Served) -> None:
    """Today's training set of the old months is the old one, to the last bit."""
    (one,) = {
        one["tags"]["training_set"]
        for one in old.expected["versions"].values()
        if (one["tags"]["recipe"], one["tags"]["encoding"]) == ("rich", "native")
    }
    options = ("--recipe", "rich", "--encoding", "native", "--storage", old.stores.storage_root)
    done = old.command("prepare", *options, "--test", "2024-03", "--json")
    assert json.loads(done.stdout)["digest"] == one


@pytest.mark.parametrize("number", range(1, 17))
def test_a_version_says_what_it_said(old: Served, number: int) -> None:
    """Every family, of both encodings: the same minutes to the last digit, compiled too."""
    told = old.expected["versions"][str(number)]
    predictor = load_predictor(old.versions, RegisteredVersion("green", number))
    rows = TRIP_READER.read_rows(old.expected["trips"], local_now)
    _, answers = predict_rows(predictor, rows, "booked")
    assert [repr(one["prediction"]) for one in answers] == told["minutes"]
    assert list(predictor.columns) == told["columns"]
    loaded = load_registered(old.versions.tracker, "trip_duration_green", number)
    form = compile_model(TRIPS, number, loaded).form
    assert form is not None
    if isinstance(form.flat, Linear) and isinstance(form.tables, DenseTables):
        with pytest.raises(NotCompiledError, match="linear models of dense columns"):
            form.verify(machine_code=False)
    else:
        form.verify(machine_code=False)


@pytest.mark.parametrize("number", range(1, 17))
def test_a_version_has_its_lineage_and_its_profile(old: Served, number: int) -> None:
    """They lead back to the months and the settings, and say what was learned from."""
    told = old.expected["versions"][str(number)]
    lineage = find_lineage(old.versions.tracker, "trip_duration_green", number)
    assert lineage.training_set == told["tags"]["training_set"]
    profile = find_profile(old.versions.tracker, "trip_duration_green", number)
    assert isinstance(profile, VersionProfile)
    sample = find_sample(old.versions.tracker, "trip_duration_green", number)
    assert sample is not None
    assert find_intervals(old.versions.tracker, "trip_duration_green", number) is None
    assert old.versions.moment(number) == (
        "booked" if told["tags"]["recipe"] == "booking" else "ended"
    )


def test_a_version_is_reproduced(old: Served) -> None:
    """The champion is made again from its old months, with the errors of then."""
    champion = old.expected["standing"]["champion"]
    done = old.command("reproduce", str(champion), "--storage", old.stores.storage_root, "--json")
    assert json.loads(done.stdout)["agrees"]


def test_the_versions_stand_as_they_stood(old: Served) -> None:
    """Champion, canary and shadow are those of the moment at which they can be asked."""
    then = Deployment(**old.expected["standing"])
    assert old.versions.standings() == {"booked": Deployment(), "ended": then}
    promoter = Promoter(old.versions.tracker, "green", "ended")
    history = [[one.kind, one.version, one.who, one.why] for one in promoter.history(most=None)]
    assert history == old.expected["history"]


class States:
    """The states that an asset had in Airflow's database."""

    def __init__(self, states: Mapping[str, Any]) -> None:
        self.states = dict(states)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        return self.states.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.states[key] = value


def test_a_drift_of_then_is_remembered(old: Served) -> None:
    """It was told, and waits for a retraining of the recipe that has drifted."""
    stored = old.stores.rows("select key, value from asset_state_store")
    states = States({key: json.loads(value) for key, value in stored})
    memory = DriftMemory(states, "green", dt.timedelta(days=36_500), "ended")
    assert not memory.is_due("act", "another")
    (moment,) = (waiting := waiting_drifts(states, "green"))
    drift = drift_of(waiting[moment])
    assert drift is not None
    assert (moment, drift["recipe"], drift["source"]) == ("ended", "rich", "sample")
    assert not any(key.endswith(":unreadable") for key in states.states)


def test_windows_of_then_can_be_looked_at_again(old: Served) -> None:
    """A run that had failed is cleared after the upgrade: its plan is about the old champion."""
    params = {name: field.resolve() for name, field in monitoring_form(TRIPS).items()}
    params |= {"least_trips": 20, "report": False}
    run: Any = SimpleNamespace(dag_id="monitoring", run_id=old.expected["monitoring_run"])
    plan = old.stores.result("monitoring", old.expected["monitoring_run"], "plan")
    found = monitoring.drift(plan, params, run)
    errors = monitoring.performance(plan, params)
    told = old.stores.result("monitoring", old.expected["monitoring_run"], "drift")
    assert {name: len(rows) for name, rows in found.items()} == {
        name: len(rows) for name, rows in told.items()
    }
    assert found.keys() == errors.keys()


def test_what_waited_is_delivered(old: Served) -> None:
    """Alerts of then go out once, though their sender died in its turn."""
    recorder = Recorder()
    dispatcher = AlertDispatcher(old.stores.storage_root, lambda: [recorder], window_seconds=0)
    subjects = {envelope.alert.subject for envelope in dispatcher.outbox.waiting()}
    assert any("data_preparation failed" in subject for subject in subjects)
    delivery = dispatcher.deliver()
    assert (delivery.waiting, delivery.problems) == (0, ())
    told = "\n".join(message.text for message in recorder.messages)
    assert all(subject.removeprefix("[model loop] ") in told for subject in subjects)
    assert dispatcher.deliver().sent == 0


def test_a_batch_of_then_is_whole(old: Served) -> None:
    """Its plan and its chunks are read, its rows are those of then, and it is not made twice."""
    for name in ("batch_run", "csv_run"):
        run_id = old.expected[name]
        chunks = old.stores.result("batch_scoring", run_id, "plan")
        assert [batch_scoring.score_chunk(chunk) for chunk in chunks] == [
            chunk.rows for chunk in chunks
        ]
        then = old.stores.result("batch_scoring", run_id, "join")
        now = batch_scoring.join_outputs(chunks)
        totals = ("rows", "predicted_rows", "rejected_rows", "model_version")
        assert [now[total] for total in totals] == [then[total] for total in totals]


def test_nothing_was_moved_aside(old: Served) -> None:
    """No store of then has passed for a damaged one."""
    assert moved_aside(UPath(old.stores.storage_root)) == []
    assert list(old.stores.state.rglob("*.unreadable-*")) == []
