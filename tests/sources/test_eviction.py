"""The bound of the cache: what was used least recently goes, and what is in use stays."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.websites import website_over
from upath import UPath

from model_loop.errors import TransientSourceError
from model_loop.objects.files import held
from model_loop.partitions.checked import COPIES
from model_loop.settings import get_settings
from model_loop.sources.cache import FOLDER, FileVersion, find_cached, record_download
from model_loop.sources.copies import copies_in
from model_loop.sources.eviction import CacheRules, cached_copies, room_for, trim_cache

DAY = 86_400.0


def cached(root: Path, name: str, days: float, folder: str = FOLDER) -> UPath:
    """Return a fetched file of a thousand bytes, last used some days ago."""
    path = UPath(root / folder / name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1_000)
    record_download(path, f"https://example.org/{name}", FileVersion(name, None, 1_000))
    used = time.time() - days * DAY
    os.utime(path.path, (used, used))
    return path


def names(root: Path) -> list[str]:
    """Return the names of the files in the cache, the least recently used first."""
    return [each.path.name for each in cached_copies(UPath(root))]


def test_what_was_used_least_recently_goes_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As much goes as the bound asks, with the notes beside it, and the log names it."""
    for place, days in enumerate((5, 9, 2, 7)):
        cached(tmp_path, f"{place}.csv", days, COPIES if place % 2 else FOLDER)
    rules = CacheRules(2_500, DAY)
    looked = trim_cache(UPath(tmp_path), rules, only_look=True)
    assert names(tmp_path) == ["1.csv", "3.csv", "0.csv", "2.csv"]
    with caplog.at_level(logging.INFO):
        removed = trim_cache(UPath(tmp_path), rules)
    assert [each.path.name for each in removed] == ["1.csv", "3.csv"]
    assert removed == looked
    assert names(tmp_path) == ["0.csv", "2.csv"]
    assert not list(tmp_path.rglob("1.csv.source.json"))
    assert caplog.text.count("Removed from the cache") == 2
    assert not trim_cache(UPath(tmp_path), rules)


def test_a_use_is_remembered(tmp_path: Path) -> None:
    """A file that is found in the cache is the last to go."""
    path = cached(tmp_path, "a.csv", 9)
    cached(tmp_path, "b.csv", 5)
    assert find_cached(path, "https://example.org/a.csv")
    assert names(tmp_path) == ["b.csv", "a.csv"]


@pytest.mark.parametrize(("most", "left"), [(0, 2), (1, 0), (2_000, 2)])
def test_the_bound(tmp_path: Path, most: int, left: int) -> None:
    """Zero is none."""
    for name in ("a.csv", "b.csv"):
        cached(tmp_path, name, 9)
    trim_cache(UPath(tmp_path), CacheRules(most, DAY))
    assert len(names(tmp_path)) == left


def test_what_is_new_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Then the cache is larger than its bound, and the log says by how much."""
    cached(tmp_path, "new.csv", 0.5)
    cached(tmp_path, "old.csv", 1.5)
    removed = trim_cache(UPath(tmp_path), CacheRules(100, DAY), wanted=50)
    assert [each.path.name for each in removed] == ["old.csv"]
    assert "950 bytes larger than its bound of 100" in caplog.text


def test_what_a_process_reads_stays(tmp_path: Path) -> None:
    """A file that another process holds is passed over, however old."""
    path, _ = cached(tmp_path, "a.csv", 9), cached(tmp_path, "b.csv", 5)
    program = (
        "import sys; from upath import UPath; from model_loop.objects.files import held\n"
        "with held(UPath(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        removed = trim_cache(UPath(tmp_path), CacheRules(500, DAY))
        assert [each.path.name for each in removed] == ["b.csv"]
        process.communicate("")
    with held(path):
        pass
    trim_cache(UPath(tmp_path), CacheRules(500, DAY))
    assert names(tmp_path) == []


def test_files_of_the_user_are_no_cache(tmp_path: Path) -> None:
    """Whatever else lies under the storage root stays."""
    for name in (f"{FOLDER}/own.csv", "products/tables/t/whole/0-rows.parquet", "rows.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")
    assert names(tmp_path) == []


def test_a_download_makes_room_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that are about to come count, and the bound is that of the settings."""
    monkeypatch.setenv("MODEL_LOOP_CACHE_BYTES", "2500")
    get_settings.cache_clear()
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "c.csv").write_bytes(b"y" * 1_000)
    store = tmp_path / "store"
    cached(store, "a.csv", 9)
    cached(store, "b.csv", 5)
    with website_over(tmp_path / "web") as site:
        path, *_ = copies_in(UPath(store), 5.0).fetch(f"{site.url}/c.csv")
    assert Path(path).read_bytes() == b"y" * 1_000
    assert names(store) == ["b.csv", "c.csv"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """The error says what did not fit, where, and which setting bounds the cache."""
    with (
        pytest.raises(TransientSourceError, match="does not fit") as error,
        room_for("https://example.org/a.csv", UPath(tmp_path), None),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "MODEL_LOOP_CACHE_BYTES" in error.value.remedy
    with pytest.raises(PermissionError), room_for("a", UPath(tmp_path), None):
        raise PermissionError(errno.EACCES, "no")
