"""Environments of code packages, built by uv from wheels in a folder."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.runner.conftest import PYTHON, add_wheel

from model_loop.errors import InvalidInputError
from model_loop.runner.environments import (
    SITE,
    EnvironmentBuildError,
    ensure_environment,
    lock_requirements,
    remove_unused,
)
from model_loop.runner.pythons import find_python


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of packages, the only one that uv looks at."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return folder


def test_wheels_are_unpacked_and_no_code_of_theirs_runs(index: Path, tmp_path: Path) -> None:
    """All users may read them; they are compiled, because nobody can write there later."""
    add_wheel(index, tmp_path / "marker")
    folder = tmp_path / "environments"
    with ThreadPoolExecutor(2) as both:
        made = [
            both.submit(ensure_environment, ["sample-rules==1.0"], PYTHON, folder) for _ in range(2)
        ]
    first, second = (one.result() for one in made)
    assert first == second
    assert [path.name for path in folder.iterdir() if path.name[0] != "."] == [first.name]
    assert not (tmp_path / "marker").exists()
    assert [*(first / SITE / "__pycache__").glob("sample_rules.*.pyc")]
    for path in (first, *first.rglob("*")):
        assert path.stat().st_mode & stat.S_IROTH, path
    # There it is, and the same again costs nothing, without uv.
    code = f"import sys; sys.path.append({str(first / SITE)!r}); import sample_rules"
    subprocess.run([find_python(PYTHON), "-I", "-S", "-c", code], check=True)
    (index / "sample_rules-1.0-py3-none-any.whl").unlink()
    assert ensure_environment(["sample-rules==1.0"], PYTHON, folder) == first


def test_nothing_is_built_from_source(index: Path, tmp_path: Path) -> None:
    """A package without a wheel is an error with uv's log, and leaves nothing."""
    source = tmp_path / "setup.py"
    source.write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'marker')!r}).touch()\n")
    with tarfile.open(index / "sample_rules-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "sample_rules-1.0/setup.py")
    with pytest.raises(EnvironmentBuildError, match="sample-rules") as caught:
        ensure_environment(["sample-rules==1.0"], PYTHON, tmp_path / "environments")
    assert "wheel" in caught.value.remedy
    assert not (tmp_path / "marker").exists()
    assert {path.name[0] for path in (tmp_path / "environments").iterdir()} == {"."}
    assert not [*(tmp_path / "environments").glob("*/requirements.txt")]


def test_options_and_unknown_pythons_are_refused(tmp_path: Path) -> None:
    """Before anything is made."""
    with pytest.raises(InvalidInputError, match="not a package with its version"):
        ensure_environment(["--index-url=x"], PYTHON, tmp_path / "environments")
    with pytest.raises(InvalidInputError, match=f"Choose one of: .*{PYTHON}"):
        ensure_environment([], "3.2", tmp_path / "environments")
    assert not (tmp_path / "environments").exists()


def test_environments_that_no_version_uses_go_by_their_age(index: Path, tmp_path: Path) -> None:
    """Those that are used or were asked for lately stay, and so does uv's cache."""
    add_wheel(index, tmp_path / "marker")
    folder = tmp_path / "environments"
    kept = ensure_environment(["sample-rules==1.0"], PYTHON, folder)
    lately = ensure_environment([], PYTHON, folder)
    old = folder / ("0" * 64)
    half = folder / f".{'1' * 64}-killed"
    for path in (old, half):
        (path / SITE).mkdir(parents=True)
    long_ago = time.time() - 10 * 86_400
    for path in (kept, lately, old, half, folder / ".cache"):
        path.mkdir(exist_ok=True)
        os.utime(path, (long_ago, long_ago))
    assert ensure_environment([], PYTHON, folder) == lately
    wanted = [half.name, old.name]
    assert remove_unused(folder, {kept.name}, 7, only_look=True) == wanted
    assert remove_unused(folder, {kept.name}, 30) == []
    assert remove_unused(folder, {kept.name}, 7) == wanted
    there = {path.name for path in folder.iterdir() if path.is_dir()}
    assert there == {kept.name, lately.name, ".cache"}
    assert remove_unused(tmp_path / "none", set(), 0) == []


def test_what_was_fixed_is_installed_and_nothing_else(index: Path, tmp_path: Path) -> None:
    """A wheel of the same name and version with another content is refused."""
    add_wheel(index, tmp_path / "marker")
    folder = tmp_path / "environments"
    (line,) = locked = lock_requirements(["sample-rules"], PYTHON, folder)
    assert line.startswith("sample-rules==1.0 --hash=sha256:")
    assert lock_requirements([], PYTHON, folder) == ()
    made = ensure_environment(["sample-rules"], PYTHON, folder, locked)
    assert (made / SITE / "sample_rules.py").exists()
    assert made != ensure_environment(["sample-rules"], PYTHON, folder)
    # A dependency that was not fixed stays out.
    add_wheel(index, tmp_path / "marker", "sample_outer", ["sample-rules"])
    both = lock_requirements(["sample-outer"], PYTHON, folder)
    (outer,) = (each for each in both if each.startswith("sample-outer=="))
    alone = ensure_environment(["sample-outer"], PYTHON, folder, (outer,))
    assert not (alone / SITE / "sample_rules.py").exists()
    whole = ensure_environment(["sample-outer"], PYTHON, folder, both)
    assert (whole / SITE / "sample_rules.py").exists()
    add_wheel(index, tmp_path / "another marker")
    other = tmp_path / "other environments"
    with pytest.raises(EnvironmentBuildError, match=r"(?i)hash"):
        ensure_environment(["sample-rules"], PYTHON, other, locked)
    assert lock_requirements(["sample-rules"], PYTHON, other) != locked
    for wrong in ("sample-rules==1.0", f"-r {line}", "sample-rules @ file:///x --hash=sha256:0"):
        with pytest.raises(InvalidInputError, match="has no version with digests"):
            ensure_environment(["sample-rules"], PYTHON, other, (wrong,))
