"""Files of a source: one for each partition, a pattern of several, or one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.errors import SourceError
from model_loop.partitions.checked import keys_of_files
from model_loop.partitions.source import find_files, resolved_source

TEXT = 'name = "t"\ntarget = "y"\npartition = "month"\nsource = "{source}"\n[time]\ncolumn = "at"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three months, and a file that is none."""
    for month in ("2024-01", "2024-02", "2024-03"):
        (tmp_path / f"t-{month}.csv").write_text(f"at,y\n{month}-05,1\n{month}-06,2\n")
    (tmp_path / "t-latest.csv").write_text("at,y\n2024-03-05,1\n")
    return tmp_path


def test_one_file_for_each_partition(folder: Path) -> None:
    """Only names that hold a key are partitions, and each is counted by itself."""
    declared = resolved_source(
        parse_declaration(TEXT.replace("{source}", "t-{partition}.csv"), "t.toml"), folder
    )
    assert [each.partition for each in find_files(declared, "t")] == [
        "2024-01",
        "2024-02",
        "2024-03",
    ]
    (chosen,) = find_files(declared, "t", ["2024-02"])
    assert chosen.path == str(folder / "t-2024-02.csv")
    files = find_files(declared, "t")
    assert keys_of_files(declared, files) == ("2024-01", "2024-02", "2024-03")


def test_a_partition_that_is_not_there_is_named(folder: Path) -> None:
    """The error names what is missing, and what there is."""
    declared = resolved_source(
        parse_declaration(TEXT.replace("{source}", "t-{partition}.csv"), "t.toml"), folder
    )
    with pytest.raises(SourceError, match=r"no file of 2024-07") as error:
        find_files(declared, "t", ["2024-07"])
    assert "2024-01, 2024-02, 2024-03" in error.value.remedy


def test_several_files_are_one_table(folder: Path) -> None:
    """A pattern is one table, whatever its files are called."""
    declared = resolved_source(
        parse_declaration(TEXT.replace("{source}", "t-2024-*.csv"), "t.toml"), folder
    )
    files = find_files(declared, "t")
    assert len(files) == 3
    assert keys_of_files(declared, files) == ("whole",)
