"""Months as files and as a website."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.websites import Website, website_over

from model_loop.sources import download
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.source.types import RawMonth

GREEN = get_service("green")
JANUARY = Month(2024, 1)
OPTIONS = SampleOptions(trips=300, seed=1)


def fetch(source: str, storage: Path, options: SampleOptions = OPTIONS) -> RawMonth:
    """January of the green taxis."""
    return fetch_month(source, GREEN, JANUARY, str(storage), sample=options, timeout_seconds=2.0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are tried again at once."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with January of the green taxis."""
    path = tmp_path / "months"
    write_month(path / f"green_tripdata_{JANUARY}.parquet", GREEN, JANUARY, OPTIONS)
    return path


@pytest.fixture
def website(folder: Path) -> Iterator[Website]:
    """A real web server over the folder."""
    with website_over(folder) as site:
        yield site
