"""Large folders: several files for a partition, folders of Hive, files of many row groups."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_loop.datasets.addresses import key_in
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import ContractError, InvalidInputError, SourceError
from model_loop.partitions.checked import CheckedTableStore, FetchedTable, keys_of_files
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files
from model_loop.partitions.types import SourceFile
from model_loop.sources.publications import Publications
from model_loop.sources.published import PublishedSource
from model_loop.tables.table import read_table
from model_loop.tables.typed import TypedFile

MONTHS = ("2024-01", "2024-02", "2024-03")
ROWS = 60


def rows_of(month: str, seed: int = 0) -> pd.DataFrame:
    """Return rows of a month."""
    draw = np.random.default_rng(seed)
    begin = np.datetime64(f"{month}-01", "us")
    at = begin + np.sort(draw.integers(0, 28 * 1_440, ROWS)).astype("m8[m]")
    return pd.DataFrame({"at": at, "size": draw.uniform(0, 9, ROWS), "y": draw.normal(0, 1, ROWS)})


def declared(source: Path | str, part: str = "month", extra: str = "") -> Declaration:
    """Return the declaration of a table in some files."""
    text = f'name = "folders"\nsource = "{source}"\ntarget = "y"\npartition = "{part}"\n'
    return parse_declaration(f'{text}[time]\ncolumn = "at"\n{extra}', "folders.toml")


def write(path: Path, rows: pd.DataFrame, group: int = 10_000) -> None:
    """Write rows as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), path, row_group_size=group)


def fetched(declaration: Declaration, files: tuple[SourceFile, ...], key: str) -> FetchedTable:
    """Return the files of a partition, with a completed declaration."""
    text = text_of_declaration(complete_files(declaration, files, "folders"))
    chosen = tuple(file for file in files if file.partition == key)
    return FetchedTable("folders", key, text, chosen)


@pytest.fixture(params=["year={year}/month={month}/*.parquet", "{partition}/part-*.parquet"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the pattern of folders with two files for each month, and one that is none."""
    for place, month in enumerate(MONTHS):
        year, number = month.split("-")
        name = f"year={year}/month={int(number)}" if "=" in request.param else month
        for part in range(2):
            write(tmp_path / name / f"part-{part}.parquet", rows_of(month, 10 * place + part))
    write(tmp_path / "year=2024" / "month=13" / "part-0.parquet", rows_of("2024-12"))
    write(tmp_path / "latest" / "part-0.parquet", rows_of("2024-12"))
    return f"{tmp_path}/{request.param}"


def test_a_partition_of_several_files_is_one(folder: str, tmp_path: Path) -> None:
    """Its files are read together, and have one digest: that of all of them."""
    declaration = declared(folder)
    files = find_files(declaration, "folders")
    assert keys_of_files(declaration, files) == MONTHS
    assert len(files) == 6
    assert len(find_files(declaration, "folders", ["2024-02"])) == 2
    with pytest.raises(SourceError, match="has no file of 2024-07"):
        find_files(declaration, "folders", ["2024-07"])
    store = CheckedTableStore(str(tmp_path / "store"))
    checked = [store.check(fetched(declaration, files, key)) for key in MONTHS]
    assert [each.report.rows_read for each in checked] == [2 * ROWS] * 3
    before = [each.fetched.digest for each in checked]
    assert len({*before}) == 3
    write(Path(files[3].path), rows_of("2024-02", 99))
    again = find_files(declaration, "folders")
    after = [fetched(declaration, again, key).digest for key in MONTHS]
    same = [one == other for one, other in zip(before, after, strict=True)]
    assert same == [True, False, True]


def test_a_look_finds_the_same_partitions(folder: str, tmp_path: Path) -> None:
    """A partition is another one when any of its files is."""
    declaration = declared(folder, extra='[columns.size]\ntype = "number"\n')
    use_dataset(dataset_of(declaration))
    source = PublishedSource("folders", folder, str(tmp_path / "store"), 5.0)
    assert not source.is_one_table
    seen = source.look(Publications({}))
    assert tuple(seen.known) == MONTHS
    (path,) = [file.path for file in find_files(declaration, "folders", ["2024-03"])][:1]
    write(Path(path), rows_of("2024-03", 99))
    assert [str(news) for news in seen.news(source.look(seen))] == ["2024-03 is republished"]


def test_names_of_folders_are_columns(tmp_path: Path) -> None:
    """Values of the keys that a source names are columns of their rows, unless a file has them."""
    for region in ("north", "south"):
        write(tmp_path / f"region={region}" / "a=b" / "2024-01.parquet", rows_of("2024-01"))
    declaration = declared(f"{tmp_path}/region=*/*/{{partition}}.parquet")
    files = find_files(declaration, "folders")
    assert keys_of_files(declaration, files) == ("2024-01",)
    frame = read_table(declaration, [file.path for file in files]).frame
    assert frame["region"].tolist() == ["north"] * ROWS + ["south"] * ROWS
    assert "a" not in frame
    completed = complete_files(declaration, files, "folders")
    assert completed.columns["region"].type == "category"
    write(
        tmp_path / "region=south" / "a=b" / "2024-01.parquet", rows_of("2024-01").assign(region="x")
    )
    write(
        tmp_path / "region=north" / "a=b" / "2024-01.parquet", rows_of("2024-01").assign(region="y")
    )
    frame = read_table(declaration, [file.path for file in files]).frame
    assert set(frame["region"]) == {"x", "y"}


@pytest.mark.parametrize(
    ("source", "part", "address", "key"),
    [
        ("d/year={year}/week={week}/*", "week", "d/year=2024/week=7/a.csv", "2024-W07"),
        ("y={year}/m={month}/d={day}/*.csv", "day", "y=2024/m=03/d=9/a.csv", "2024-03-09"),
        ("y={year}/{year}-{month}.csv", "month", "y=2024/2024-03.csv", "2024-03"),
        ("y={year}/{year}-{month}.csv", "month", "y=2023/2024-03.csv", None),
        ("y={year}/m={month}/*.csv", "month", "y=2024/m=03/deeper/a.csv", None),
    ],
)
def test_keys_in_addresses(source: str, part: str, address: str, key: str | None) -> None:
    """Numbers of folders are keys with their zeros; a star is no way down."""
    assert key_in(source, address, part) == key


@pytest.mark.parametrize(
    "source", ["{year}.csv", "{month}.csv", "{year}-{partition}.csv", "{year}-{week}.csv"]
)
def test_half_a_key_is_refused(source: str) -> None:
    """The parts of a key go together."""
    with pytest.raises(InvalidInputError, match="source = "):
        declared(source)


def test_row_groups_without_wanted_rows_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file of several months, those that are wanted are decoded, and give equal rows."""
    whole = pd.concat([rows_of(month, place) for place, month in enumerate(MONTHS)])
    write(tmp_path / "all.parquet", whole, group=20)
    declaration = declared(tmp_path / "all.parquet")
    (file,) = find_files(declaration, "folders")
    text = text_of_declaration(complete_files(declaration, (file,), "folders"))
    asked = FetchedTable("folders", "whole", text, (file,), ("2024-02",))
    read = list[int]()
    batches = TypedFile.batches

    def counted(self: TypedFile, *args: Any, **kwargs: Any) -> Any:
        for batch in batches(self, *args, **kwargs):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(TypedFile, "batches", counted)
    checked = CheckedTableStore(str(tmp_path / "store")).check(asked)
    # Two days around it belong to clocks of other places.
    assert ROWS <= sum(read) <= ROWS + 40
    found = checked.load_rows()
    pd.testing.assert_series_equal(
        found["size"], whole["size"][ROWS : 2 * ROWS].reset_index(drop=True)
    )
    missing = dataclasses.replace(asked, wanted=("2024-02", "2024-09"))
    with pytest.raises(ContractError, match="has no row of 2024-09") as error:
        CheckedTableStore(str(tmp_path / "store")).check(missing)
    assert "from 2024-01 to 2024-03" in error.value.remedy
