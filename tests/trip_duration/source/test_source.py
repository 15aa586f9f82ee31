"""Sources of months."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.trip_duration.conftest import GREEN, JANUARY, OPTIONS, fetch

from model_loop.errors import InvalidInputError, SourceError
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.source.fetching import check_months


def test_folder_is_read_in_place(folder: Path, tmp_path: Path) -> None:
    """A folder's file is described by its digest and not copied."""
    raw = fetch(str(folder), tmp_path / "storage")
    file = folder / "green_tripdata_2024-01.parquet"
    assert Path(raw.path) == file
    assert raw.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert raw.size == file.stat().st_size
    assert not list((tmp_path / "storage").rglob("*.parquet"))


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


def test_changed_file_of_a_folder(folder: Path, tmp_path: Path) -> None:
    """The digest of a folder's file is remembered until the file changes."""
    first = fetch(str(folder), tmp_path)
    assert fetch(str(folder), tmp_path) == first
    write_month(
        folder / "green_tripdata_2024-01.parquet", GREEN, JANUARY, SampleOptions(trips=301, seed=2)
    )
    second = fetch(str(folder), tmp_path)
    assert second.digest == hashlib.sha256(Path(second.path).read_bytes()).hexdigest()
    assert second.digest != first.digest


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
