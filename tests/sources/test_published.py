"""What declared sources have published: files of partitions, and tables that come as one."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.websites import Website, website_over

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.errors import SourceError
from model_loop.sources import download
from model_loop.sources.publications import Publications
from model_loop.sources.published import PublishedSource

NOTHING = Publications({})
TOML = """
name = "meters"
source = "{source}"
target = "load"
partition = "{partition}"
labels_after = "2 days"
[time]
column = "at"
time_zone = "Europe/Paris"
[columns.at]
type = "time"
[columns.load]
type = "number"
"""


@pytest.fixture
def website(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    """A website over the same folder."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)
    with website_over(tmp_path) as site:
        yield site


def source_at(address: str, partition: str, root: Path) -> PublishedSource:
    """Declare such a table, and return its source."""
    text = TOML.format(source=address, partition=partition)
    use_dataset(dataset_of(parse_declaration(text, "meters.toml")))
    return PublishedSource("meters", address, str(root / "storage"), 2.0)


def news(before: Publications, after: Publications) -> list[str]:
    """Return what is news, in words."""
    return [str(one) for one in before.news(after)]


@pytest.mark.parametrize(
    ("partition", "keys", "other"),
    [
        ("month", ("2024-01", "2024-02"), "2024-13"),
        ("week", ("2023-W52", "2024-W01"), "2024-01"),
        ("day", ("2024-02-28", "2024-02-29"), "2024-02-30x"),
    ],
)
def test_files_of_a_folder_are_listed(
    tmp_path: Path, partition: str, keys: tuple[str, str], other: str
) -> None:
    """Those that have ended; a file whose content is another one is news, a touched one is not."""
    first, second = (tmp_path / f"meters-{key}.csv" for key in keys)
    source = source_at(str(tmp_path / "meters-{partition}.csv"), partition, tmp_path)
    assert source.look(NOTHING) == NOTHING
    first.write_text("at,load\n")
    for name in (other, {"month": "2099-01", "week": "2099-W01", "day": "2099-01-01"}[partition]):
        (tmp_path / f"meters-{name}.csv").write_text("at,load\n")
    one = source.look(NOTHING)
    assert news(NOTHING, one) == [f"{keys[0]} is new"]
    os.utime(first, (0, 0))
    assert news(one, source.look(one)) == []
    first.write_text("at,load\n2024-01-01,1\n")
    second.write_text("at,load\n")
    two = source.look(one)
    assert news(one, two) == [f"{keys[0]} is republished", f"{keys[1]} is new"]
    assert two.newest == keys[1]


def test_a_partition_is_news_when_its_true_values_have_come(tmp_path: Path) -> None:
    """Two days after the day has ended in Paris, as the declaration says."""
    today = dt.datetime.now(tz=ZoneInfo("Europe/Paris")).date()
    for days in range(2, 5):
        (tmp_path / f"{today - dt.timedelta(days=days)}.csv").write_text("at,load\n")
    source = source_at(str(tmp_path / "{partition}.csv"), "day", tmp_path)
    assert source.look(NOTHING).newest == str(today - dt.timedelta(days=3))


def test_a_website_is_asked_one_by_one(tmp_path: Path, website: Website) -> None:
    """From the newest that is known on, up to the first that is not there."""
    for key in ("2023-12", "2024-01", "2024-02", "2024-04"):
        (tmp_path / f"meters-{key}.csv").write_text("at,load\n")
    source = source_at(f"{website.url}/meters-{{partition}}.csv", "month", tmp_path)
    found = source.look(NOTHING, "2023-12")
    assert sorted(found.known) == ["2024-01", "2024-02"]
    (tmp_path / "meters-2024-02.csv").write_text("at,load\n2024-02-01,1\n")
    assert news(found, source.look(found)) == ["2024-02 is republished"]


def test_a_whole_table_is_news_when_its_content_changes(tmp_path: Path) -> None:
    """Also where it is cut by its time, and where it is several files."""
    first = tmp_path / "meters-a.csv"
    for partition in ("month", "whole"):
        source = source_at(str(tmp_path / "meters-*.csv"), partition, tmp_path)
        with pytest.raises(SourceError, match="has no file"):
            source.look(NOTHING)
        first.write_text("at,load\n")
        one = source.look(NOTHING)
        assert news(NOTHING, one) == ["whole is new"]
        os.utime(first, (0, 0))
        assert news(one, source.look(one)) == []
        second = tmp_path / "meters-b.csv"
        second.write_text("at,load\n")
        assert news(one, source.look(one)) == ["whole is republished"]
        first.unlink()
        second.unlink()


def test_another_source_than_the_declared_one_is_looked_at(tmp_path: Path) -> None:
    """As a form may name it."""
    source_at(str(tmp_path / "{partition}.csv"), "month", tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2024-05.csv").write_text("at,load\n")
    other = PublishedSource("meters", str(tmp_path / "b" / "{partition}.csv"), str(tmp_path), 2.0)
    assert other.look(NOTHING).newest == "2024-05"
