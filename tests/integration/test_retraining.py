"""The loop that closes by itself: a website publishes a month, and a champion comes of it.

A stack of its own, whose source is a web server and whose looks are frequent.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.integration.closed_loop import (
    SMALL,
    champion,
    ended,
    eventually,
    loop,
    process_id,
    promoter,
    publish,
    runs,
    slots,
    waiting,
    website,
)
from tests.integration.conftest import RunningStack, mails
from tests.websites import Website

from model_loop.orchestration.assets import assets_of
from trip_duration.dataset import TRIPS

__all__ = ["loop", "website"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_800)]


def test_the_sensor_takes_no_worker_and_survives_its_triggerer(loop: RunningStack) -> None:
    """While it waits no slot is taken; after SIGKILL of the triggerer it waits on."""
    run_id = eventually(lambda: waiting(loop), "waiting sensor")
    # The scheduled runs of other DAGs, which a new Airflow begins with, end.
    eventually(lambda: slots(loop) == {"occupied": 0, "running": 0, "deferred": 1}, "idle pool")
    triggerer = process_id(loop, "airflow-triggerer")
    assert triggerer
    os.kill(triggerer, signal.SIGKILL)
    eventually(
        lambda: process_id(loop, "airflow-triggerer") not in {None, triggerer}, "new triggerer"
    )
    assert waiting(loop) == run_id


def test_a_new_month_makes_a_champion(loop: RunningStack, website: tuple[Website, Path]) -> None:
    """The month alone starts everything that leads to a champion; a failed look does no harm."""
    site, folder = website
    site.status, site.failures = 503, 4
    publish(folder, "2024-04")
    run = ended(loop, 0)
    assert run["state"] == "success"
    told = loop.api.result("retraining", run["dag_run_id"], "finish")
    assert told["why"] == "published: 2024-04"
    assert told["promoted"]
    assert champion(loop) == told["champion"] == told["challenger"]
    (entry,) = promoter(loop).history()
    assert (entry.who, entry.why) == ("retraining", "published: 2024-04")
    for dag_id in ("data_preparation", "sklearn_training", "xgboost_training", "promotion"):
        (only,) = runs(loop, dag_id)
        assert only["state"] == "success"
        assert only["dag_run_id"] == f"retraining.{run['dag_run_id']}"
    (prepared,) = runs(loop, "data_preparation")
    assert prepared["conf"]["train_months"] == ["2024-02"]
    # The next run waits for the next month.
    eventually(lambda: waiting(loop), "waiting sensor")


def test_what_the_gate_refuses_moves_nothing(loop: RunningStack) -> None:
    """A retraining whose model is not better by the margin succeeds, and the champion stays."""
    before = champion(loop)
    conf = {**SMALL, "again": True, "margin_share": 0.9}
    loop.api.trigger("retraining", conf)
    run = ended(loop, 1)
    assert run["state"] == "success"
    told = loop.api.result("retraining", run["dag_run_id"], "finish")
    assert not told["promoted"]
    assert champion(loop) == before == told["champion"]


def test_an_event_while_one_runs_is_not_lost(loop: RunningStack) -> None:
    """Drift that is seen during a retraining starts the next one, which has nothing to learn."""
    loop.api.trigger("retraining", {**SMALL, "again": True, "promote": False})
    eventually(lambda: runs(loop, "retraining")[2]["state"] == "running", "retraining")
    known = loop.api.get("/assets?name_pattern=drift")["assets"]
    (asset,) = (each for each in known if each["name"] == assets_of(TRIPS).drift.name)
    about = {"source": loop.stack.settings.source, "service": "green"}
    for why in ("PSI(trip_distance) = 0.31", "RMSE 4.9 → 6.1"):
        body = {"asset_id": asset["id"], "extra": {**about, "why": why}}
        assert loop.api.send("POST", "/assets/events", json=body).ok
    assert ended(loop, 2)["state"] == "success"
    run = ended(loop, 3)
    assert run["state"] == "success"
    tasks = {task.task_id: task for task in loop.api.tasks("retraining", run["dag_run_id"])}
    assert tasks["data_preparation"].state == "skipped"
    log = "\n".join(loop.api.log("retraining", run["dag_run_id"], tasks["plan"]))
    assert "drift: PSI(trip_distance) = 0.31" in log
    assert "were trained on before" in log


def test_a_broken_month_is_one_failed_run_and_one_mail(
    loop: RunningStack, website: tuple[Website, Path]
) -> None:
    """The mail names month and rule; the champion stays, the watermark too; mended, it goes on."""
    _, folder = website
    # It looks at every month that is published, and would tell of this one for its own part.
    assert loop.api.send("PATCH", "/dags/monitoring", json={"is_paused": True}).ok
    before, mailed, done = champion(loop), len(mails(loop)), len(runs(loop, "retraining"))
    publish(folder, "2024-05", service="yellow")
    run = ended(loop, done)
    assert run["state"] == "failed"
    new = eventually(lambda: mails(loop)[mailed:], "mail")
    time.sleep(3)
    assert len(mails(loop)) == mailed + 1
    body = new[0].get_body(("plain", "html"))
    assert body is not None
    text = body.get_content()
    assert "2024-05" in text
    assert "lacks the column" in text
    assert champion(loop) == before

    publish(folder, "2024-05")
    run = ended(loop, done + 1)
    assert run["state"] == "success"
    told = loop.api.result("retraining", run["dag_run_id"], "finish")
    assert (told["why"], told["newest"]) == ("published: 2024-05", "2024-05")
    promotion = loop.api.tasks("promotion", f"retraining.{run['dag_run_id']}")
    passed = {task.task_id: task.state for task in promotion}["move"] == "success"
    assert told["promoted"] is passed
    assert champion(loop) == (told["challenger"] if passed else before)
