"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from trip_duration.errors import ContractError
from trip_duration.objects.files import whole_file


def write_half(target: UPath) -> None:
    """Begin to write, and fail."""
    with whole_file(target) as partial:
        partial.write_text("half")
        raise ContractError("The file", "breaks off", "Try again.")


def test_failure_keeps_the_former_file(tmp_path: Path) -> None:
    """An error while writing leaves what was there, and nothing else."""
    target = UPath(tmp_path / "file")
    target.write_text("former")
    with pytest.raises(ContractError):
        write_half(target)
    assert target.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_writers_do_not_meet(tmp_path: Path) -> None:
    """Two that write the same file at once both succeed, and the file is whole."""
    target = UPath(tmp_path / "folder" / "file")
    with whole_file(target) as first, whole_file(target) as second:
        first.write_text("same")
        second.write_text("same")
    assert target.read_text() == "same"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_object_storage() -> None:
    """It works the same where files are no local ones."""
    target = UPath("memory://trips-test-files/folder/file")
    for content in ("former", "later"):
        with whole_file(target) as partial:
            partial.write_text(content)
    assert target.read_text() == "later"
    assert [path.name for path in target.parent.iterdir()] == ["file"]
