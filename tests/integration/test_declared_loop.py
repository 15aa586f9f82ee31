"""The loop of a declared table that closes by itself: files, labels and drift, in a real Airflow.

A stack of its own, in which the schedules of the settings are those of the table.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.integration.closed_loop import eventually, runs
from tests.integration.conftest import PROJECT, RunningStack, mails, make_stack, running_stack
from tests.integration.test_scoring import end_of, failures, run

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import get_dataset, use_dataset
from model_loop.datasets.stubs import stub_name, stub_of
from model_loop.local.airflow_api import FINISHED
from model_loop.scoring.identifiers import new_ids
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from model_loop.training_set.frames import model_frame

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]

OWNER = "heat@example.org"
DECLARATION = f"""
name = "meters"
title = "Heat of the town hall"
target = "load"
source = "data/meters-{{partition}}.csv"
partition = "month"
owner = "{OWNER}"
labels_after = "1 hour"
primary_key = ["at"]
[time]
column = "at"
[task]
unit = "kW"
[columns.at]
type = "time"
format = "%Y-%m-%d %H:%M:%S"
[columns.warmth]
type = "number"
unit = "°C"
[columns.load]
type = "number"
"""
MONTHS = ("2024-01", "2024-02", "2024-03")
RETRAINING = "meters__retraining"


def rows_of(month: str) -> pd.DataFrame:
    """Return the hours of a month; the load falls with the warmth."""
    start = pd.Timestamp(month)
    at = pd.date_range(start, start + pd.offsets.MonthBegin(1), freq="h", inclusive="left")
    rng = np.random.default_rng(start.month)
    warmth = rng.normal(10, 4, len(at)).round(1)
    load = 200 - 6 * warmth + 3 * at.hour.to_numpy() + rng.normal(0, 5, len(at))
    return pd.DataFrame({"at": at, "warmth": warmth, "load": load.round(1)})


@dataclass(frozen=True)
class Closed:
    """The stack, and the folder of the table's files."""

    loop: RunningStack
    folder: Path

    def publish(self, month: str, rows: pd.DataFrame) -> None:
        """Put a month into the folder, whole and at once."""
        partial = self.folder / "partial"
        rows.to_csv(partial, index=False)
        partial.rename(self.folder / f"meters-{month}.csv")

    def retrained(self, number: int) -> dict[str, Any]:
        """Return a run of the retraining, by its number, when it has ended."""

        def found() -> dict[str, Any] | None:
            known = runs(self.loop, RETRAINING)
            there = len(known) > number and known[number]["state"] in FINISHED
            return known[number] if there else None

        ended: dict[str, Any] = eventually(found, f"end of retraining {number}")
        return ended

    def result(self, number: int) -> dict[str, Any]:
        """Return what a retraining that has succeeded came to."""
        ended = self.retrained(number)
        assert ended["state"] == "success", failures(self.loop, RETRAINING, ended["dag_run_id"])
        told: dict[str, Any] = self.loop.api.result(RETRAINING, ended["dag_run_id"], "finish")
        return told

    @property
    def champion(self) -> int | None:
        """Return the version that answers."""
        tracker = Tracker(self.loop.stack.mlflow_url, "trip-duration-promotion")
        return Promoter(tracker, "meters", "request").standing().champion

    def mail(self, words: str) -> EmailMessage:
        """Wait for a mail whose subject holds some words."""
        mail: EmailMessage = eventually(
            lambda: next((one for one in mails(self.loop) if words in str(one["subject"])), None),
            f"mail about {words}",
        )
        return mail


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """A stack that knows this table alone, and watches its folder."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "plugins", project / "plugins")
    (project / "dags").mkdir()
    for name in ("alerts.py", "maintenance.py"):
        shutil.copy(PROJECT / "dags" / name, project / "dags")
    (project / "dags" / stub_name("meters")).write_text(stub_of("meters"))
    datasets = project / "datasets"
    (datasets / "data").mkdir(parents=True)
    (datasets / "meters.toml").write_text(DECLARATION)
    stack = make_stack(tmp_path_factory.mktemp("closed"))
    settings = {
        "datasets_folder": str(datasets),
        "variant": "meters",
        "watch_partitions": True,
        "watch_poll_seconds": 6,
        "max_evaluations": 1,
        "sklearn_models": "linear_model.LinearRegression",
    }
    stack = replace(stack, project=project, settings=stack.settings.model_copy(update=settings))
    # This process looks at versions of the table, too.
    use_dataset(dataset_of(parse_declaration(DECLARATION, "meters.toml")))
    with running_stack(stack) as loop:
        found = Closed(loop, datasets / "data")
        for month in MONTHS:
            found.publish(month, rows_of(month))
        loop.api.wait_for_dags({RETRAINING, "meters__watch_partitions", "meters__labels"})
        yield found


def test_files_that_are_there_make_the_first_champion(closed: Closed) -> None:
    """The sensor announces them together; what beats the rules without a model answers."""
    told = closed.result(0)
    assert told["why"] == f"published: {', '.join(MONTHS)}"
    assert told["newest"] == MONTHS[-1]
    assert told["promoted"]
    assert closed.champion == told["champion"] == told["challenger"]


def test_a_new_file_leads_to_a_challenger(closed: Closed) -> None:
    """All months up to it are prepared, and the gate decides by its own rule."""
    before = closed.champion
    closed.publish("2024-04", rows_of("2024-04"))
    told = closed.result(1)
    assert (told["why"], told["newest"]) == ("published: 2024-04", "2024-04")
    assert told["challenger"] not in {None, before}
    assert closed.champion == (told["challenger"] if told["promoted"] else before)
    prepared = runs(closed.loop, "meters__data_preparation")[-1]
    assert prepared["conf"]["partitions"] == [*MONTHS, "2024-04"]


def test_a_published_month_is_looked_at(closed: Closed) -> None:
    """Monitoring is started by the same event, once there is a champion to look at."""
    wanted = eventually(
        lambda: [
            one
            for one in runs(closed.loop, "meters__monitoring")
            if one["run_type"] == "asset_triggered" and one["state"] in FINISHED
        ],
        "monitoring of a published month",
    )
    assert {one["state"] for one in wanted} == {"success"}


def ask(closed: Closed, rows: pd.DataFrame) -> None:
    """Log answers as the prediction server does."""
    settings, version = closed.loop.stack.settings, closed.champion
    assert version is not None
    log = RequestLog(open_log(settings.request_log_url, settings.serving_folder))
    at, columns = time.time() - 60, get_dataset("meters").columns
    taken = model_frame(columns, rows.drop(columns="load"))
    fields = taken.reindex(columns=list(columns.names)).astype(object)
    log.record_many(
        Entry(one.decode(), at, "meters", version, "champion", "test", None, 150.0, 1.0, row)
        for one, row in zip(
            new_ids(len(rows)),
            fields.to_numpy().tolist(),
            strict=True,
        )
    )
    log.start()
    assert log.flush(30)
    log.stop()
    log.engine.dispose()


def test_labels_come_by_their_dag(closed: Closed) -> None:
    """A file is matched by the declared key; the second time it adds nothing."""
    rows = rows_of("2024-04").assign(warmth=lambda found: found["warmth"] + 25)
    ask(closed, rows)
    file = Path(closed.loop.stack.storage_root.removeprefix("file://")) / "april.csv"
    labels = rows[["at", "load"]]
    pd.concat([labels, labels.head(1).assign(load=1.0)]).to_csv(file, index=False)
    run_id = run(closed.loop, "meters__labels", input=str(file))
    first = closed.loop.api.result("meters__labels", run_id, "add")
    assert (first["labels"], first["predictions"]) == (len(rows) + 1, len(rows))
    assert (first["matched"], first["ambiguous"]) == (len(rows) - 1, 1)
    run_id = run(closed.loop, "meters__labels", input=str(file))
    again = closed.loop.api.result("meters__labels", run_id, "add")
    assert (again["told"], again["matched"]) == (len(rows) - 1, 0)


def test_a_file_outside_is_refused_to_the_caller(closed: Closed) -> None:
    """The result gives the reason; no mail is sent."""
    run_id = closed.loop.api.trigger("meters__labels", {"input": "/etc/hostname"})
    assert end_of(closed.loop, "meters__labels", run_id) == "failed"
    told = closed.loop.api.result("meters__labels", run_id, "add")
    assert "lies outside" in told["error"]["rule"]
    assert not [mail for mail in mails(closed.loop) if "meters__labels" in str(mail["subject"])]


def test_drift_starts_a_retraining(closed: Closed) -> None:
    """Warmth of another climate is evidence; without a new month there is nothing to learn."""
    before = len(runs(closed.loop, RETRAINING))
    run_id = run(closed.loop, "meters__monitoring", report=False)
    (evidence,) = closed.loop.api.result("meters__monitoring", run_id, "judge")
    assert "warmth" in evidence["why"]
    ended = closed.retrained(before)
    assert ended["state"] == "success"
    tasks = {task.task_id: task for task in closed.loop.api.tasks(RETRAINING, ended["dag_run_id"])}
    log = "\n".join(closed.loop.api.log(RETRAINING, ended["dag_run_id"], tasks["plan"]))
    assert f"drift: {evidence['why']}" in log
    assert "were trained on before" in log


def test_a_broken_file_is_told_to_the_owner(closed: Closed) -> None:
    """The mail goes to the address of the declaration, in the words of the table."""
    before, champion = len(runs(closed.loop, RETRAINING)), closed.champion
    closed.publish("2024-05", rows_of("2024-05").drop(columns="load"))
    assert closed.retrained(before)["state"] == "failed"
    mail = closed.mail("meters__data_preparation failed")
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert str(mail["to"]) == OWNER
    assert "load" in text
    assert "2024-05" in text
    assert closed.champion == champion
