"""What is news about a source's months, against a real web server."""

from __future__ import annotations

import datetime as dt
import os
import threading
from pathlib import Path

import pytest
from tests.trip_duration.conftest import GREEN, JANUARY
from tests.websites import Website

from model_loop.errors import NotPublishedError, SourceError, TransientSourceError
from model_loop.sources.publications import Publications
from model_loop.sources.published import PublishedSource
from trip_duration.months import Month, MonthSplit
from trip_duration.source.fetching import look_up_month

DECEMBER = "2023-12"
NOTHING = Publications({})


def look(source: str, known: Publications = NOTHING) -> Publications:
    """What a source has now."""
    return PublishedSource("green", source, "", 2.0).look(known, DECEMBER)


def publish(folder: Path, month: str) -> None:
    """Put the file of January there under another month's name."""
    content = (folder / f"green_tripdata_{JANUARY}.parquet").read_bytes()
    (folder / f"green_tripdata_{month}.parquet").write_bytes(content)


@pytest.fixture(params=["folder", "website"])
def source(request: pytest.FixtureRequest, folder: Path, website: Website) -> str:
    """The same months in two places."""
    return str(folder) if request.param == "folder" else website.url


def test_months_that_follow_are_found(source: str, folder: Path) -> None:
    """All that follow without a gap are news, once."""
    first = look(source)
    assert [str(one) for one in NOTHING.news(first)] == ["2024-01 is new"]
    publish(folder, "2024-02")
    publish(folder, "2024-04")
    second = look(source, first)
    assert [str(one) for one in first.news(second)] == ["2024-02 is new"]
    assert second.news(look(source, second)) == []


def test_a_republished_month_is_news(source: str, folder: Path) -> None:
    """Another time or size of the file is another publication."""
    first = look(source)
    os.utime(folder / f"green_tripdata_{JANUARY}.parquet", (0, 0))
    assert [str(one) for one in first.news(look(source, first))] == ["2024-01 is republished"]


def test_an_etag_decides(website: Website) -> None:
    """A changed ETag is news; the same one is none, whatever the time says."""
    website.etag = '"first"'
    first = look(website.url)
    assert first.news(look(website.url, first)) == []
    website.etag = '"second"'
    assert [one.kind for one in first.news(look(website.url, first))] == ["republished"]


def test_publications_come_back_from_a_state_store(source: str) -> None:
    """Their plain values say the same again."""
    found = look(source)
    assert Publications.from_json(found.to_json()) == found
    assert found.newest == str(JANUARY)


def test_a_source_that_fails_is_no_source_without_months(website: Website, tmp_path: Path) -> None:
    """Server errors and a missing folder are errors, a missing file is an answer."""
    website.status = 503
    with pytest.raises(TransientSourceError, match="503"):
        look(website.url)
    with pytest.raises(SourceError, match="does not exist"):
        look(str(tmp_path / "nowhere"))
    website.status = 403
    assert look(website.url) == NOTHING
    assert issubclass(NotPublishedError, SourceError)


def test_sample_months_come_out_with_delay() -> None:
    """The generator publishes like TLC: the month that has just ended is not there yet."""
    today = dt.datetime.now(tz=dt.UTC)
    last = Month(today.year, today.month).previous()
    assert look_up_month("sample", GREEN, last, timeout_seconds=1) is None
    old = look_up_month("sample", GREEN, Month(2024, 1), timeout_seconds=1)
    assert old is not None
    assert old.is_same(old)


def test_a_thousand_looks_leak_nothing(website: Website) -> None:
    """No file, connection or thread stays open."""
    known = look(website.url)
    before = open_files(), threading.active_count()
    for _ in range(1_000):
        assert known.news(look(website.url, known)) == []
    assert open_files() <= before[0] + 2
    assert threading.active_count() <= before[1] + 2


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_window_ends_at_its_newest_month() -> None:
    """The newest judges, the one before is tuned on, those before are learned from."""
    split = MonthSplit.ending_at(Month(2024, 2), 3)
    assert [str(month) for month in split.all] == [
        "2023-10",
        "2023-11",
        "2023-12",
        "2024-01",
        "2024-02",
    ]
    assert (split.validation, split.test) == ((Month(2024, 1),), (Month(2024, 2),))
