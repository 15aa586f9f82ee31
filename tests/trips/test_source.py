"""Sources of months."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.trips.conftest import GREEN, JANUARY, OPTIONS, Website, fetch

from trip_duration.errors import InvalidInputError, SourceError, TransientSourceError
from trip_duration.trips.months import Month
from trip_duration.trips.source import check_months


def test_folder_is_read_in_place(folder: Path, tmp_path: Path) -> None:
    """A folder's file is described by its digest and not copied."""
    raw = fetch(str(folder), tmp_path / "storage")
    file = folder / "green_tripdata_2024-01.parquet"
    assert Path(raw.path) == file
    assert raw.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert raw.size == file.stat().st_size
    assert not (tmp_path / "storage").exists()


def test_sample_label_survives_the_folder(folder: Path, tmp_path: Path) -> None:
    """A generated file is called sample wherever it is found; a file without the mark is not."""
    assert fetch(str(folder), tmp_path).data_source == "sample"
    file = folder / "green_tripdata_2024-01.parquet"
    pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    assert fetch(str(folder), tmp_path).data_source == "folder"


def test_missing_month_names_what_is_there(folder: Path) -> None:
    """A folder without the month is refused at once, naming the file and what the folder holds."""
    with pytest.raises(SourceError, match=r"lacks green_tripdata_2024-02.*2024-01\.parquet"):
        check_months(str(folder), GREEN, [JANUARY, Month(2024, 2)], timeout_seconds=1)


def test_missing_folder() -> None:
    """A folder that is not there is refused."""
    with pytest.raises(SourceError, match="does not exist"):
        check_months("/nonexistent/months", GREEN, [JANUARY], timeout_seconds=1)


@pytest.mark.parametrize("source", ["ftp://example.com", "", " "])
def test_unknown_kind_of_source(source: str) -> None:
    """A source that we cannot read, or none, is refused with the kinds that we can."""
    with pytest.raises(InvalidInputError, match=rf"'{source}'.*Give sample, tlc, a folder"):
        check_months(source, GREEN, [JANUARY], timeout_seconds=1)


def test_folder_as_file_address(folder: Path, tmp_path: Path) -> None:
    """A file:// address is read with its escapes: the one that we report leads back to the file."""
    odd = folder.rename(tmp_path / "a folder, 100% odd")
    raw = fetch(odd.as_uri(), tmp_path / "storage")
    assert raw.url == (odd / "green_tripdata_2024-01.parquet").as_uri()
    assert fetch(raw.url.rpartition("/")[0], tmp_path / "storage") == raw


def test_sample_is_generated_once(tmp_path: Path) -> None:
    """A generated month is kept, and the same options find it again."""
    first = fetch("sample", tmp_path)
    written = Path(first.path).stat().st_mtime_ns
    assert fetch("sample", tmp_path) == first
    assert Path(first.path).stat().st_mtime_ns == written
    assert first.data_source == "sample"
    assert "seed=1" in first.url


def test_download(website: Website, folder: Path, tmp_path: Path) -> None:
    """A download equals the published file and leaves nothing else behind."""
    raw = fetch(website.url, tmp_path / "storage")
    published = (folder / "green_tripdata_2024-01.parquet").read_bytes()
    assert raw.digest == hashlib.sha256(published).hexdigest()
    assert raw.last_modified is not None
    assert [path.name for path in (tmp_path / "storage").rglob("*") if path.is_file()] == [
        "green_tripdata_2024-01.parquet"
    ]


@pytest.mark.parametrize("status", [403, 404])
def test_unpublished_month_is_final(website: Website, tmp_path: Path, status: int) -> None:
    """403 and 404 mean that the month is not published: trying again is of no use."""
    website.status = status
    with pytest.raises(SourceError, match=rf"not published \(HTTP {status}\)") as caught:
        fetch(website.url, tmp_path)
    assert not isinstance(caught.value, TransientSourceError)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_server_errors_may_pass(website: Website, status: int) -> None:
    """429 and 5xx may pass: they are told apart, so that a task tries again."""
    website.status = status
    with pytest.raises(TransientSourceError, match=f"HTTP {status}"):
        check_months(website.url, GREEN, [JANUARY], timeout_seconds=2)


def test_slow_server(website: Website) -> None:
    """A server that does not answer in time may answer later."""
    website.stall_seconds = 30
    with pytest.raises(TransientSourceError, match=r"did not answer.*timed out"):
        check_months(website.url, GREEN, [JANUARY], timeout_seconds=0.2)


def test_malformed_address() -> None:
    """What is no address is the user's to change: trying again is of no use."""
    with pytest.raises(InvalidInputError, match="is no address"):
        check_months("http://", GREEN, [JANUARY], timeout_seconds=1)


def test_no_server() -> None:
    """An address where nobody answers is named."""
    with pytest.raises(TransientSourceError, match=r"127\.0\.0\.1:9.*did not answer"):
        check_months("http://127.0.0.1:9", GREEN, [JANUARY], timeout_seconds=1)


def test_interrupted_download_leaves_nothing(website: Website, tmp_path: Path) -> None:
    """A download that breaks off is an error that may pass, and leaves no file."""
    website.cut_off = True
    with pytest.raises(TransientSourceError, match="broke off"):
        fetch(website.url, tmp_path)
    stored = list((tmp_path / "months" / "green" / "https").rglob("*.parquet*"))
    assert stored == []


def test_interrupted_download_keeps_the_former_file(website: Website, tmp_path: Path) -> None:
    """A later download that breaks off does not harm the file that was there."""
    before = fetch(website.url, tmp_path)
    website.cut_off = True
    with pytest.raises(TransientSourceError):
        fetch(website.url, tmp_path)
    assert hashlib.sha256(Path(before.path).read_bytes()).hexdigest() == before.digest


def test_tasks_may_fetch_at_once(tmp_path: Path) -> None:
    """Several that ask for the same month at the same time all get it."""
    with ThreadPoolExecutor(4) as pool:
        fetched = list(pool.map(lambda _: fetch("sample", tmp_path), range(8)))
    assert set(fetched) == {fetched[0]}


def test_options_never_mix(tmp_path: Path) -> None:
    """Months generated with other options lie elsewhere."""
    first = fetch("sample", tmp_path)
    second = fetch("sample", tmp_path, dataclasses.replace(OPTIONS, seed=2))
    assert first.path != second.path
    assert first.digest != second.digest
