"""What was remembered and cannot be read: the DAGs go on, and somebody is told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.orchestration.test_retraining import Store

from model_loop.orchestration.alerts.notifications import dispatcher
from model_loop.orchestration.forms import monitoring_form
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.schedules.watermarks import Watermarks
from model_loop.orchestration.steps import maintenance, monitoring, windows
from model_loop.settings import get_settings
from model_loop.sources.publications import Publications
from trip_duration.dataset import TRIPS

#: States of another form than those of today.
DAMAGED = [
    "text",
    7,
    {"warn": {"at": "2026-01-01T00:00:00+00:00"}, "act": {"run": "a"}},
    {"warn": {"at": "yesterday", "run_id": "a"}},
    {"warn": {"at": "2026-01-01T00:00:00", "run_id": "a"}},
    {"pending": "PSI(hour)"},
    [{"month": "2024-13"}],
    [{"at": "2026-01-01T00:00:00+00:00"}],
    [{"month": "2024-01", "at": "2026-01-01T00:00:00"}],
]


PLAN = {
    "service": "green",
    "source": "sample",
    "versions": [{"version": 4, "moment": "booked"}],
    "named": False,
    "windows": [],
}


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A storage root of its own, in which alerts wait."""
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", (tmp_path / "storage").as_uri())
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def waiting() -> list[str]:
    """The subjects of what waits to be told."""
    return [envelope.alert.subject for envelope in dispatcher().outbox.waiting()]


@pytest.mark.parametrize("damaged", DAMAGED, ids=repr)
def test_a_damaged_memory_of_drift_begins_anew(damaged: Any) -> None:
    """Drift may be answered once more; what was there is kept beside it."""
    store = Store()
    store.set("drift:green", damaged)
    memory = DriftMemory(store, "green", dt.timedelta(hours=1), "booked")
    assert memory.is_due("warn", "a")
    assert memory.pending() is None
    memory.remember("act", "a")
    assert not memory.is_due("act", "b")
    assert store.get("drift:green:unreadable") == damaged
    assert waiting() == ["the state drift:green cannot be read"]


@pytest.mark.parametrize("damaged", DAMAGED, ids=repr)
def test_damaged_watermarks_begin_anew(damaged: Any) -> None:
    """Months may be announced once more."""
    store = Store()
    marks = Watermarks(store, "green", "sample", dt.timedelta(days=1))
    for name in ("trained", "announced"):
        store.set(marks._key(name), damaged)
    assert marks.known() == Publications({})
    assert marks.state() == {"trained": [], "announced": []}
    assert len(waiting()) == 2


def test_unreadable_files_are_told_once_and_removed_in_the_end(tmp_path: Path) -> None:
    """The mail names them; they go with the logs of their time."""
    now = dt.datetime.now(tz=dt.UTC)
    folder = tmp_path / "storage" / "products" / "months"
    folder.mkdir(parents=True)
    for days in (1, 40):
        name = f"a.json.unreadable-{now - dt.timedelta(days=days):%Y%m%dT%H%M%S%fZ}"
        (folder / name).write_text("damaged")
    looked = maintenance.tell_of_unreadable({"log_days": 30, "only_look": True})
    assert looked == {"files": 2, "removed": 0}
    assert waiting() == []
    for expected in ({"files": 2, "removed": 1}, {"files": 1, "removed": 0}):
        done = maintenance.tell_of_unreadable({"log_days": 30, "only_look": False})
        assert done == expected
    (envelope,) = dispatcher().outbox.waiting()
    (path,) = folder.iterdir()
    assert envelope.alert.table is not None
    assert envelope.alert.table.rows == ((path.as_uri(),),)


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "cannot be read"), (b"[]", "cannot be read"), (None, "no profile")]
)
def test_a_version_without_a_profile_is_told(
    content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would notice drift: a mail says so, once for each version, and what to do."""
    monkeypatch.setattr("model_loop.monitoring.profile._read", lambda *_: content)
    versions = SimpleNamespace(tracker=None, service="green", known_moment=lambda _: "booked")
    version = SimpleNamespace(name="trip_duration_green", number=4)
    for module in (monitoring, windows):
        monkeypatch.setattr(module, "versions_of", lambda _service: versions)
    found = SimpleNamespace(version=version)
    monkeypatch.setattr(monitoring, "_predictor", lambda _plan, _version: found)
    monkeypatch.setattr(monitoring, "records_of_windows", lambda _variant: None)
    form = {name: param.resolve() for name, param in monitoring_form(TRIPS).items()}
    run = SimpleNamespace(dag_id="monitoring", run_id="a")
    for acts in (False, True, True):
        plan = {**PLAN, "acts": acts}
        monitoring.drift(plan, form, run)
    (envelope,) = dispatcher().outbox.waiting()
    assert envelope.alert.subject == "drift of green cannot be seen: version 4"
    assert said in envelope.alert.summary
    assert "model-loop profile-version --variant green --version 4" in envelope.alert.advice[0]
