"""Small files and states of versions before 0.2, which bear no format, are read as before."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from model_loop.monitoring import levels
from model_loop.monitoring.levels import Level, Thresholds, WindowFinding
from model_loop.orchestration.schedules.drift_memory import DriftMemory
from model_loop.orchestration.schedules.watermarks import Watermarks
from model_loop.sources import cache
from model_loop.sources.cache import FileVersion, cached_digest, find_cached, record_download
from model_loop.sources.publications import Publications

URL = "https://example.com/green_tripdata_2024-01.parquet"
MONTH = {
    "month": "2024-01",
    "version": {"etag": '"a"', "last_modified": None, "size": 3},
    "url": URL,
}


class Store(dict[str, Any]):
    """A state store that keeps JSON, as Airflow's does."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self[key] = json.loads(json.dumps(value))


def watermarks(store: Store) -> Watermarks:
    """Return the watermarks of one source over a store."""
    return Watermarks(store, "green", "tlc", dt.timedelta(days=1))


def test_a_fetched_file_is_not_fetched_again(tmp_path: Path) -> None:
    """Fields alone were noted beside it."""
    path = UPath(tmp_path / "month.parquet")
    path.write_bytes(b"abc")
    noted: dict[str, Any] = {
        "url": URL,
        "version": {"etag": '"a"', "last_modified": None, "size": 3},
    }
    noted |= {"digest": "d", "size": 3, "fetched": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "month.parquet.source.json").write_text(json.dumps(noted))
    found = find_cached(path, URL)
    assert found is not None
    assert (found.version, found.digest) == (FileVersion('"a"', None, 3), "d")
    now = record_download(path, URL, found.version)
    assert now.digest == hashlib.sha256(b"abc").hexdigest()
    stored = json.loads((tmp_path / "month.parquet.source.json").read_text())
    assert (stored["format"], stored["version"]["format"]) == ("kept_file/1", "source_version/1")
    assert find_cached(path, URL) == now


def test_a_digest_that_was_noted_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of path, size and time was noted, with the digest."""
    path, memory = UPath(tmp_path / "month.parquet"), UPath(tmp_path / "digests")
    path.write_bytes(b"abc")
    digest = cached_digest(path, memory)
    (entry,) = memory.glob("*.json")
    stored = json.loads(entry.read_text())
    assert stored["format"] == "file_digest/1"
    seen = [stored["path"], stored["size"], stored["modified"]]
    entry.write_text(json.dumps({"seen": seen, "digest": digest}))

    def refuse(path: UPath) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(cache, "digest_of", refuse)
    assert cached_digest(path, memory) == digest


def test_months_that_were_trained_on_stay_known() -> None:
    """A list was kept; what is added is kept with a format, beside what was there."""
    store = Store()
    known = watermarks(store)
    known.train(Publications.from_json([MONTH]), "booked")
    (key,) = store
    assert store[key]["format"] == "watermarks/1"
    store[key] = store[key]["months"]
    assert list(known.trained("booked").known) == ["2024-01"]
    known.train(Publications.from_json([{**MONTH, "month": "2024-02"}]), "booked")
    assert list(known.trained().known) == ["2024-01", "2024-02"]


def test_a_drift_that_was_told_is_not_told_again() -> None:
    """The state was kept without a format."""
    store = Store()
    memory = DriftMemory(store, "green", dt.timedelta(hours=1), "booked")
    memory.remember("act", "first")
    (key,) = store
    assert store[key].pop("format") == "drift_memory/1"
    assert not memory.is_due("act", "second")


@pytest.mark.parametrize("state", ["watermarks", "drift"])
def test_a_state_of_a_newer_format_is_kept_aside_and_told(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer version has written it: it is not taken for what is known, and not lost."""
    told: list[Any] = []
    monkeypatch.setattr("model_loop.orchestration.schedules.watermarks.announce", told.append)
    store = Store()
    memory, known = DriftMemory(store, "green", dt.timedelta(hours=1), "booked"), watermarks(store)
    if state == "drift":
        memory.remember("act", "first")
    else:
        known.train(Publications.from_json([MONTH]), "booked")
    (key,) = store
    store[key]["format"] = f"{store[key]['format'].partition('/')[0]}/2"
    newer = store[key]
    assert memory.is_due("act", "second")
    assert not known.trained().known
    assert store[f"{key}:unreadable"] == newer
    assert len(told) == 1


def test_findings_of_a_window_are_read() -> None:
    """A list was kept; a newer format is refused."""
    finding = WindowFinding("psi", "zone", 0.3, Level.ACT, Thresholds(0.1, 0.2), "moved")
    stored = json.loads(levels.to_json([finding]))
    assert levels.from_json(json.dumps(stored["findings"])) == [finding]
    assert levels.from_json(json.dumps(stored)) == [finding]
    with pytest.raises(ValueError, match="monitoring_findings/1"):
        levels.from_json(json.dumps({**stored, "format": "monitoring_findings/2"}))
