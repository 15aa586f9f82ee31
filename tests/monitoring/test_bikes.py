"""The loop around a declared table: trained, asked, labelled later, judged; a drift is named."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from airflow.utils.types import DagRunType
from tests.commands import run_command
from tests.servers import tracking_database

from model_loop.datasets import registry
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.registry import datasets_folder, get_dataset
from model_loop.errors import InvalidInputError
from model_loop.models.search import SearchRequest
from model_loop.monitoring.levels import Level, WindowFinding, from_rows, thresholds_of
from model_loop.monitoring.tested import find_reference
from model_loop.monitoring.window_drift import DriftRules, look_for_drift
from model_loop.monitoring.windows import Window, of_rows
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms import labels_form, monitoring_form, retraining_form
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.watermarks import Watermarks
from model_loop.orchestration.steps import labels, monitoring, retraining, windows
from model_loop.orchestration.steps.windows import records_of_windows
from model_loop.pipeline.run import Places, RunRequest, run_table
from model_loop.scoring.predictor import RegisteredVersion, load_predictor
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.sources.publications import Publications
from model_loop.tracking.corrections import correction_of
from model_loop.tracking.names import CUTS
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.frames import model_frame

#: Rows before it are published, and learned from; those after it are asked for.
CUT = "2012-07-01"
#: Quick to train, and better than the mean of any hour.
FAMILY = "linear_model.LinearRegression"
RUN: Any = SimpleNamespace(
    dag_id="bikes__monitoring",
    run_id="manual__1",
    run_type=DagRunType.MANUAL,
    triggering_user_name="ada",
    data_interval_end=None,
    run_after=dt.datetime.now(tz=dt.UTC) + dt.timedelta(hours=1),
)


class Store(dict[str, Any]):
    """A state store in memory."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self[key] = value


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """All hours, as the file that comes with the package has them."""
    return pd.read_csv(datasets_folder() / "data" / "bikes_hourly.csv.gz")


@pytest.fixture(scope="module")
def folder(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of datasets in which bikes are published up to July, with a champion."""
    made = tmp_path_factory.mktemp("bikes")
    (made / "data").mkdir()
    shutil.copy(datasets_folder() / "bikes.toml", made)
    known = table[table["dteday"] < CUT]
    known.to_csv(made / "data" / "bikes_hourly.csv.gz", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_given", {})
        patch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(made))
        patch.setenv("MODEL_LOOP_STORAGE_ROOT", (made / "storage").as_uri())
        patch.setenv("MODEL_LOOP_SERVING_FOLDER", str(made / "serving"))
        patch.setenv("MODEL_LOOP_TRACKING_URI", tracking_database(made / "mlflow.db"))
        get_settings.cache_clear()
        settings = get_settings()
        result = run_table(
            read_declaration(made / "bikes.toml"),
            made,
            RunRequest(families=(FAMILY,), search=SearchRequest(max_evaluations=1, threads=1)),
            Places(settings.storage_root, settings.tracking_uri, settings.experiment),
        )
        assert result["runs"][0]["champion"] == 1
        yield made
    get_settings.cache_clear()


@pytest.fixture
def form(folder: Path) -> dict[str, Any]:
    """The form of a look at the request log, with fewer rows than by default."""
    del folder
    dataset = get_dataset("bikes")
    values = {name: param.resolve() for name, param in monitoring_form(dataset).items()}
    return completed_form(dataset, {**values, "report": False})


def asked(table: pd.DataFrame) -> pd.DataFrame:
    """Rows as frames have them."""
    dataset = get_dataset("bikes")
    names = [name for name in dataset.columns.names if name in table]
    rows = table[names].assign(dteday=pd.to_datetime(table["dteday"]))
    for column in dataset.columns.by_kind("category"):
        rows[column.name] = rows[column.name].astype(str)
    return rows


def ask(rows: pd.DataFrame, begins: int = 0) -> None:
    """Let the champion answer rows, which the request log keeps."""
    settings, dataset = get_settings(), get_dataset("bikes")
    predictor = load_predictor(versions_of("bikes"), RegisteredVersion("bikes", 1))
    taken = model_frame(dataset.columns, rows)
    predicted = predictor.predict(taken)
    log = RequestLog(open_log("", Path(settings.serving_folder)), LogRules(days=0))
    now = dt.datetime.now(tz=dt.UTC).timestamp()
    fields = taken.reindex(columns=list(dataset.columns.names)).astype(object)
    for number, (row, value) in enumerate(zip(fields.to_numpy().tolist(), predicted, strict=True)):
        one = f"{begins + number:032d}"
        log.record(Entry(one, now, "bikes", 1, "champion", "me", None, float(value), 1.0, row))
    log._write_all()


def found(rows: dict[str, list[dict[str, Any]]]) -> dict[str, WindowFinding]:
    """The findings of the only window, by metric and subject."""
    (only,) = rows.values()
    return {one.what: one for one in from_rows(only)}


def test_labels_come_later_and_a_window_is_judged(
    form: dict[str, Any], folder: Path, table: pd.DataFrame
) -> None:
    """Before, the window says that it has none; a file is matched by its keys, once."""
    july = table[(table["dteday"] >= CUT) & (table["dteday"] < "2012-08-01")]
    ask(asked(july))
    plan = monitoring.plan_windows(form, RUN, {})
    assert plan is not None
    assert plan["versions"] == [{"version": 1, "moment": "request"}]
    before = found(monitoring.performance(plan, form))
    assert {one.level for one in before.values()} == {Level.UNKNOWN}
    assert before["rmse(all)"].note == "0 labelled rows, 500 are needed"

    file = folder / "storage" / "july.csv"
    twice = pd.concat([july, july.head(1).assign(cnt=1_000)])[["dteday", "hr", "cnt"]]
    twice.to_csv(file, index=False)
    dataset = get_dataset("bikes")
    given = {name: param.resolve() for name, param in labels_form(dataset).items()}
    given = completed_form(dataset, {**given, "input": str(file)})
    first = labels.add(given, RUN)
    assert (first["labels"], first["predictions"]) == (745, 744)
    assert (first["matched"], first["ambiguous"], first["unmatched"]) == (743, 1, 0)
    again = labels.add(given, RUN)
    assert (again["told"], again["matched"], again["ambiguous"]) == (743, 0, 1)
    with pytest.raises(InvalidInputError, match="lies outside"):
        labels.add({**given, "input": str(folder / "bikes.toml")}, RUN)

    after = found(monitoring.performance(plan, form))
    assert Level.UNKNOWN not in {after["rmse(all)"].level, after["bias(all)"].level}
    assert "rentals" in after["rmse(all)"].note
    assert "on 743 rows" in after["rmse(all)"].note


def test_closed_days_correct_the_intervals_once(form: dict[str, Any], folder: Path) -> None:
    """Each day of July is a point in MLflow; a retry corrects nothing twice, nor does a command."""
    versions, records = versions_of("bikes"), records_of_windows("bikes")
    plan = monitoring.plan_windows(form, RUN, {})
    assert plan is not None
    (watched, _), *_ = windows.watched_of(plan)
    by_gate = correction_of(tags_of(versions), 1)
    looked = monitoring.intervals({**plan, "acts": False}, form)
    assert found(looked)["interval_evidence(all)"].level is not Level.UNKNOWN
    assert correction_of(tags_of(versions), 1) == by_gate
    assert records.days(watched) == []
    first = found(monitoring.intervals(plan, form))["interval_evidence(all)"]
    correction = correction_of(tags_of(versions), 1)
    assert (correction.version, correction.day) == (by_gate.version + 31, "2012-07-31")
    days = records.days(watched)
    assert [day.day for day in days] == [f"2012-07-{number:02d}" for number in range(1, 32)]
    assert f"correction {by_gate.version + 31}: bias" in first.note
    assert "of the last 7 closed days, up to 2012-07-31" in first.note

    again = found(monitoring.intervals(plan, form))["interval_evidence(all)"]
    assert again == first
    command = ("correct-intervals", "--variant", "bikes", "--json")
    ended = run_command(*command, folder=folder, environment=os.environ)
    assert ended.returncode in {0, 1}, ended.stderr
    assert json.loads(ended.stdout)["versions"][0]["days"] == 31
    assert correction_of(tags_of(versions), 1) == correction
    answering = load_predictor(versions, RegisteredVersion("bikes", 1))
    assert answering.correction == correction
    assert records.days(watched) == days
    run = records.tracker.find_run(f"intervals/{watched.line}")
    assert run is not None
    history = records.tracker.client.get_metric_history(run.info.run_id, "interval_coverage")
    assert [point.value for point in history] == [day.coverage for day in days]


def tags_of(versions: ModelVersions) -> dict[str, str]:
    """Return the tags of the registered model."""
    tags: dict[str, str] = versions.tracker.client.get_registered_model(versions.name).tags
    return tags


def test_slices_are_those_of_the_evaluation(form: dict[str, Any]) -> None:
    """Rules that the training has logged cut the rows of windows too."""
    versions = versions_of(form["service"])
    reference = find_reference(versions.tracker, versions.name, 1)
    names = [cut.name for cut in reference.cuts]
    assert "hr" in names
    assert {name for name, _ in reference.slices} >= {*names}
    run_id = versions.tracker.client.get_model_version(versions.name, "1").run_id
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CUTS).write_text('[{"name": "hr"}]')
        versions.tracker.client.log_artifact(run_id, f"{folder}/{CUTS}")
        assert find_reference(versions.tracker, versions.name, 1).cuts == ()
        cuts = [dataclasses.asdict(cut) for cut in reference.cuts]
        (Path(folder) / CUTS).write_text(json.dumps(cuts))
        versions.tracker.client.log_artifact(run_id, f"{folder}/{CUTS}")
    assert find_reference(versions.tracker, versions.name, 1).cuts == reference.cuts


def test_a_planted_drift_is_named(form: dict[str, Any], table: pd.DataFrame) -> None:
    """Columns like those of the training are well; the planted one is not, and no other."""
    versions = versions_of("bikes")
    predictor = load_predictor(versions, RegisteredVersion("bikes", 1))
    drawn = table[table["dteday"] < CUT].sample(3_000, random_state=1)
    week = Window.of_days("bikes", RUN.run_after - dt.timedelta(days=7), RUN.run_after)
    rules = DriftRules(thresholds_of(get_settings()), form["least_rows"], report=False)

    def look(rows: pd.DataFrame) -> dict[str, WindowFinding]:
        window = of_rows(week, rows.assign(cnt=0.0), predictor.columns, predictor)
        return {one.what: one for one in look_for_drift(versions, predictor, window, rules)}

    sound = look(asked(drawn))
    # Predictions are compared with those of the test rows, which are of one spring.
    grave = {one.what for one in sound.values() if one.level.rank > Level.UNKNOWN.rank}
    assert grave <= {"prediction_drift(all)"}
    worse = drawn.assign(windspeed=drawn["windspeed"] * 2 + 0.1)
    drifted = look(asked(worse))
    moved = {what for what, one in drifted.items() if one.level.rank > Level.UNKNOWN.rank}
    assert moved - grave <= {"psi(windspeed)", "psi_average(all)"}
    assert drifted["psi(windspeed)"].level is Level.ACT
    note = drifted["psi(windspeed)"].note
    assert note.startswith("wind speed, scaled: ")
    assert "at training" in note


def test_a_table_that_has_changed_is_announced_and_retrained_on(folder: Path) -> None:
    """Its digest is the watermark; once trained on, it is news only when its content changes."""
    dataset = get_dataset("bikes")
    published, drift = assets_of(dataset).published, assets_of(dataset).drift
    stores = {published: Store(), drift: Store()}
    form = {name: param.resolve() for name, param in retraining_form(dataset).items()}
    form = completed_form(dataset, form)
    assert not {"newest_partition", "train_partitions_count"} & form.keys()
    event = SimpleNamespace(extra={"source": form["source"], "partitions": ["whole"]})
    by_asset = SimpleNamespace(triggering_user_name=None, run_type=DagRunType.ASSET_TRIGGERED)
    planned = retraining.plan_retraining(form, by_asset, {published: [event]}, stores)
    assert planned is not None
    assert (planned["why"], planned["newest"]) == ("published: whole", "whole")
    assert "partitions" not in planned["forms"]["data_preparation"]
    for job, fields in planned["forms"].items():
        assert "service" not in fields, job
    marks = Watermarks(stores[published], "bikes", form["source"], dt.timedelta(days=1))
    marks.train(Publications.from_json(planned["published"]), "request")
    assert retraining.plan_retraining(form, RUN, {}, stores) is None
    path = folder / "data" / "bikes_hourly.csv.gz"
    pd.read_csv(path).iloc[:-1].to_csv(path, index=False)
    again = retraining.plan_retraining(form, RUN, {}, stores)
    assert again is not None
    assert again["why"] == "by ada"


def test_the_newest_part_of_a_changed_table_is_looked_at(form: dict[str, Any]) -> None:
    """The month that its last rows are of, in a table that comes as one."""
    dataset = get_dataset("bikes")
    event = SimpleNamespace(extra={"source": form["source"], "partitions": ["whole"]})
    plan = monitoring.plan_windows(form, RUN, {assets_of(dataset).published: [event]})
    assert plan is not None
    labels_of = [(one["source"], one["label"]) for one in plan["windows"]]
    assert labels_of == [("month", "2012-06"), ("request_log", "2012-06")]
    first = {**plan, "windows": plan["windows"][:1]}
    judged = monitoring.performance(first, form)
    assert found(judged)["rmse(all)"].value < 1.0
    before = correction_of(tags_of(versions_of("bikes")), 1)
    held = found(monitoring.intervals(first, form))["interval_evidence(all)"]
    assert "of the last 7 closed days" in held.note
    assert correction_of(tags_of(versions_of("bikes")), 1) == before
