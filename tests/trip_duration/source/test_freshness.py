"""Whether a month is still what its source publishes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.trip_duration.conftest import fetch
from tests.websites import Website

from trip_duration.source.freshness import is_unchanged
from trip_duration.source.types import RawMonth


def unchanged(raw: RawMonth) -> bool:
    """Whether it is, with little patience."""
    return is_unchanged(raw, timeout_seconds=0.5)


@pytest.fixture
def downloaded(website: Website, tmp_path: Path) -> RawMonth:
    """A month from the website."""
    return fetch(website.url, tmp_path)


def test_file(folder: Path, tmp_path: Path) -> None:
    """A folder's file counts by its content: another one, or none, is a change."""
    raw = fetch(str(folder), tmp_path)
    assert unchanged(raw)
    file = Path(raw.path)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not unchanged(raw)
    file.unlink()
    assert not unchanged(raw)


def test_website_by_its_headers(downloaded: RawMonth, website: Website) -> None:
    """The same time and size are no change, and cost no download; another time is one."""
    assert unchanged(downloaded)
    assert website.downloads == 1
    assert not unchanged(dataclasses.replace(downloaded, last_modified="long ago"))
    assert not unchanged(dataclasses.replace(downloaded, size=1))
    assert not unchanged(dataclasses.replace(downloaded, last_modified=None))


def test_website_by_its_etag(website: Website, tmp_path: Path) -> None:
    """Where both sides know an ETag, it decides."""
    website.etag = '"first"'
    raw = fetch(website.url, tmp_path)
    assert unchanged(dataclasses.replace(raw, last_modified="long ago"))
    website.etag = '"second"'
    assert not unchanged(raw)


@pytest.mark.parametrize("status", [404, 500])
def test_website_that_does_not_have_it(downloaded: RawMonth, website: Website, status: int) -> None:
    """What cannot be looked up counts as changed; fetching it says why."""
    website.status = status
    assert not unchanged(downloaded)


def test_website_that_is_silent(downloaded: RawMonth, website: Website) -> None:
    """So does a website that does not answer in time."""
    website.stall_seconds = 5.0
    assert not unchanged(downloaded)


def test_kept_file_that_is_gone(downloaded: RawMonth) -> None:
    """A month whose file is gone has to be fetched again."""
    Path(downloaded.path).unlink()
    assert not unchanged(downloaded)
