"""Stored files that are damaged, or of another version: the work goes on, and they are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_cli import run

#: Contents that are of no version.
GARBAGE = ("", "[1, 2, 3]", '{"$dataclass": "trip_duration', "\0\xff nothing that JSON knows")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which months were prepared, and the digest of their training set."""
    folder = tmp_path_factory.mktemp("prepared")
    return folder, prepare(folder)[0]


def prepare(folder: Path) -> tuple[str, str]:
    """Prepare months; return the digest of the training set, and what was logged."""
    done = run("prepare", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["digest"], done.stderr


def _garbage(number: int, _stored: dict[str, Any]) -> str:
    return GARBAGE[number % len(GARBAGE)]


def _older(_number: int, stored: dict[str, Any]) -> str:
    """Leave out a field that cannot be done without."""
    del stored[next(name for name in stored if name != "format")]
    return json.dumps(stored)


def _newer(_number: int, stored: dict[str, Any]) -> str:
    """Add a field, of a format that is not known."""
    return json.dumps({**stored, "added": {"format": "of_tomorrow/1"}})


@pytest.mark.parametrize(("damage", "lost"), [(_garbage, 4), (_older, 4), (_newer, 0)])
def test_preparation_goes_on(
    prepared: tuple[Path, str],
    tmp_path: Path,
    damage: Callable[[int, dict[str, Any]], str],
    lost: int,
) -> None:
    """Whatever cannot be read is moved aside, told, and made again; what can is read."""
    folder = tmp_path / "copy"
    shutil.copytree(prepared[0], folder)
    kept = sorted(folder.rglob("storage/**/*.json"))
    assert {path.relative_to(folder / ".state/storage").parts[0] for path in kept} == {
        "months",
        "products",
    }
    for number, path in enumerate(kept):
        path.write_text(damage(number, json.loads(path.read_text())))
    digest, told = prepare(folder)
    assert digest == prepared[1]
    aside = sorted(folder.rglob("*.unreadable-*"))
    assert len(aside) == lost
    for path in aside:
        assert path.name in told.replace("\n", "")
    assert prepare(folder)[0] == digest
    assert sorted(folder.rglob("*.unreadable-*")) == aside
