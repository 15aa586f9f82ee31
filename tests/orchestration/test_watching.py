"""The trigger that looks for months, in an event loop, against a real web server."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.websites import Website, website_over

from model_loop.orchestration.schedules.watching import NewPartitionTrigger, Watch
from model_loop.orchestration.schedules.watermarks import Watermarks
from model_loop.sources import download
from model_loop.sources.cache import FileVersion
from model_loop.sources.publications import Publication, Publications

JANUARY = "green_tripdata_2024-01.parquet"
DAY = dt.timedelta(days=1)


@pytest.fixture
def website(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    """A website without months."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)
    with website_over(tmp_path) as site:
        yield site


def watch(website: Website, **changed: Any) -> dict[str, Any]:
    """Looking very often."""
    usual: dict[str, Any] = {
        "source": website.url,
        "service": "green",
        "since": "2023-12",
        "trained": [],
        "announced": [],
        "poll_seconds": 0.01,
        "timeout_seconds": 2.0,
        "again_hours": 24.0,
        "failures": 3,
    }
    return usual | changed


def fire(trigger: NewPartitionTrigger) -> dict[str, Any]:
    """What a trigger tells, at most after ten seconds."""

    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            payload: dict[str, Any] = event.payload
            return payload
        pytest.fail("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(first(), 10))


def test_it_waits_until_a_month_is_there(website: Website, tmp_path: Path) -> None:
    """Nothing is told while nothing is published; then the month is."""
    trigger = NewPartitionTrigger(**watch(website))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(anext(aiter(trigger.run())), 0.5))
    (tmp_path / JANUARY).write_bytes(b"a month")
    (found,) = fire(trigger)["publications"]
    assert (found["month"], found["size"]) == ("2024-01", 7)


def test_a_file_that_grows_is_not_told(website: Website, tmp_path: Path) -> None:
    """What changes between two looks is still being published."""
    sizes = iter(range(1, 6))
    trigger = NewPartitionTrigger(**watch(website))
    look = Watch.look

    def growing(self: Watch) -> Publications:
        size = next(sizes, None)
        if size is not None:
            (tmp_path / JANUARY).write_bytes(b"x" * size)
        return look(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watch, "look", growing)
        (found,) = fire(trigger)["publications"]
    assert found["size"] == 5


def test_one_failed_look_is_no_event(website: Website, tmp_path: Path) -> None:
    """After failures that pass, the month is found."""
    (tmp_path / JANUARY).write_bytes(b"a month")
    website.status, website.failures = 503, 2 * download.ATTEMPTS
    assert [
        one["month"] for one in fire(NewPartitionTrigger(**watch(website)))["publications"]
    ] == ["2024-01"]


def test_many_failed_looks_are_one(website: Website) -> None:
    """A source that stays down is told of, with what it said."""
    website.status = 503
    told = fire(NewPartitionTrigger(**watch(website)))
    assert told["failed"] == 3
    assert "503" in told["error"]


def test_a_trigger_survives_a_restart(website: Website) -> None:
    """Its plain values make the same trigger again."""
    path, values = NewPartitionTrigger(**watch(website)).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**values)
    assert again.serialize() == (path, values)


def january(etag: str = "a") -> Publications:
    """January, published."""
    return Publications({"2024-01": Publication("2024-01", FileVersion(etag, None, None))})


def test_the_watermark_moves_only_when_told() -> None:
    """An announcement is forgotten after a while; what was trained on never is."""
    store: dict[str, Any] = {}

    class Store:
        def get(self, key: str, default: Any = None) -> Any:
            return store.get(key, default)

        def set(self, key: str, value: Any) -> None:
            store[key] = value

    marks = Watermarks(Store(), "green", "https://months.example", DAY)
    assert marks.known() == marks.trained() == Publications({})
    marks.announce(january())
    assert marks.known() == january()
    assert marks.trained() == Publications({})
    impatient = Watermarks(Store(), "green", "https://months.example", -DAY)
    assert impatient.known() == Publications({})
    impatient.train(january(), "booked")
    assert impatient.known() == impatient.trained() == january()
    # What was republished and announced since is what is known.
    marks.announce(january("b"))
    assert marks.known() == january("b")
    assert marks.trained() == january()
    other = Watermarks(Store(), "yellow", "https://months.example", DAY)
    assert other.known() == Publications({})
