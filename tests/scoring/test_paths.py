"""Which files are read and written for a caller."""

from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.scoring.paths import (
    choose_outputs,
    find_inputs,
    output_of,
    rejected_of,
    require_allowed,
    to_path,
)


def test_what_lies_under_a_root_is_allowed(tmp_path: Path) -> None:
    """Local folders with and without file://, and buckets."""
    for path, roots in (
        (to_path(tmp_path / "a.csv"), [f"file://{tmp_path}"]),
        (to_path(f"file://{tmp_path}/a.csv"), ["", str(tmp_path)]),
        (UPath("s3://bucket/in/a.csv"), [str(tmp_path), "s3://bucket/in"]),
    ):
        assert require_allowed(path, roots) == path


def test_kinds_of_storage_in_capitals(tmp_path: Path) -> None:
    """FILE:// is file://, and a kind that is unknown is refused by its name."""
    assert to_path(f"FILE://{tmp_path}/a.csv") == to_path(tmp_path / "a.csv")
    assert to_path("S3://bucket/a.csv") == UPath("s3://bucket/a.csv")
    with pytest.raises(InvalidInputError, match=r"nowhere://a.csv' is not an address of a storage"):
        to_path("nowhere://a.csv")


def test_what_lies_elsewhere_is_not(tmp_path: Path) -> None:
    """Neither other folders, nor steps up, nor links that lead out."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    for path in (
        to_path("/etc/passwd"),
        to_path(tmp_path / "rooted" / "a.csv"),
        to_path(root / ".." / "a.csv"),
        to_path(root / "link" / "a.csv"),
        UPath("s3://bucket/a.csv"),
        UPath("s3://bucket/in/../a.csv"),
        UPath("s3://bucket/inside/a.csv"),
        UPath("https://bucket/in/a.csv"),
    ):
        with pytest.raises(InvalidInputError, match="lies outside of the folders"):
            require_allowed(path, [str(root), "s3://bucket/in"])


def test_a_folder_means_its_files_without_results(tmp_path: Path) -> None:
    """Results are no input of the next run."""
    for name in (
        "b.csv",
        "a.parquet",
        "a.predictions.parquet",
        "a.rejected.csv",
        "c.txt",
        ".d.csv",
        "UPPER.CSV",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in find_inputs(to_path(tmp_path))] == [
        "UPPER.CSV",
        "a.parquet",
        "b.csv",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [("c.txt", "is none of CSV, Parquet, Arrow, JSON lines"), ("c.csv", "is not there")],
)
def test_what_is_no_input(tmp_path: Path, name: str, message: str) -> None:
    """Other kinds of files, files that are not there, and empty folders."""
    with pytest.raises(InvalidInputError, match=message):
        find_inputs(to_path(tmp_path / name))
    with pytest.raises(InvalidInputError, match="holds no file that can be scored"):
        find_inputs(to_path(tmp_path))


def test_results_lie_beside_the_input_or_where_they_are_wanted() -> None:
    """A file for one input, a folder for any number."""
    trips = UPath("/in/trips.csv")
    assert str(output_of(trips)) == "/in/trips.predictions.csv"
    assert str(rejected_of(output_of(trips))) == "/in/trips.rejected.csv"
    assert str(output_of(UPath("/in/T.CSV"))) == "/in/T.predictions.CSV"
    assert choose_outputs([UPath("/in/T.CSV")], UPath("/o.csv")) == [UPath("/o.csv")]
    assert str(rejected_of(UPath("/out/done.csv"))) == "/out/done.rejected.csv"
    assert choose_outputs([trips], UPath("/out")) == [UPath("/out/trips.predictions.csv")]
    assert choose_outputs([trips], UPath("/out/done.csv")) == [UPath("/out/done.csv")]


@pytest.mark.parametrize(
    ("inputs", "output"),
    [(["a.csv"], "b.parquet"), (["a.csv"], "a.csv"), (["a.csv", "b.csv"], "c.csv")],
)
def test_an_output_that_does_not_fit(inputs: list[str], output: str) -> None:
    """Of another kind, the input itself, or one for several."""
    with pytest.raises(InvalidInputError, match="Give a folder"):
        choose_outputs([UPath(one) for one in inputs], UPath(output))
