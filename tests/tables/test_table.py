"""Tables of any kind: read as declared, or as all of their values say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.tables.conftest import declared, read, write

from model_loop.tables.raw import read_raw
from model_loop.tables.refused import TableFileError
from model_loop.tables.table import read_chunks, read_table, source_files


def test_types_are_found_in_the_values(tmp_path: Path) -> None:
    """Numbers, yes/no, times, categories and ids need no declaration."""
    rows = "".join(
        f"{row},2024-01-{row:02},{row % 2},{row / 4},{'ab'[row % 2]},N{row}X\n"
        for row in range(1, 31)
    )
    found = read(tmp_path, f"instant,day,holiday,temp,kind,key\n{rows}")
    kinds = {name: each.kind for name, each in found.formats.items()}
    assert kinds == {
        "instant": "id",
        "day": "time",
        "holiday": "yes_no",
        "temp": "number",
        "kind": "category",
        "key": "id",
    }
    assert found.frame["temp"].dtype == np.float64
    assert found.frame["day"].dtype == "datetime64[us]"
    assert found.frame["day"][0] == pd.Timestamp("2024-01-01")
    assert found.frame["holiday"].dtype == "boolean"
    assert found.frame["kind"].tolist()[:2] == ["b", "a"]
    assert (found.rows_read, found.rejected) == (30, ())


def test_an_unreadable_cell_rejects_its_row_alone(tmp_path: Path) -> None:
    """The reason names column and cell, and the row keeps its number."""
    found = read(tmp_path, "a,cnt\n1,2\nx,3\n4,5\n", '[columns.a]\ntype = "number"\n')
    assert found.frame["cnt"].tolist() == [2, 5]
    assert [(row.row, row.reason) for row in found.rejected] == [(2, "a = x is not a number")]
    assert found.row_number.tolist() == [1, 3]


def test_chunks_hold_the_same_values(tmp_path: Path) -> None:
    """Whatever a chunk holds, its columns are read as the whole file says."""
    rows = "".join(f"{row},{'x' if row == 90 else row},2024-01-01\n" for row in range(100))
    path = write(tmp_path, f"cnt,mixed,day\n{rows}")
    whole = read_table(declared(), [path])
    chunks = list(read_chunks(declared(), [path], 30))
    assert [len(chunk.frame) for chunk in chunks] == [30, 30, 30, 10]
    frame = pd.concat([chunk.frame for chunk in chunks], ignore_index=True)
    pd.testing.assert_frame_equal(frame, whole.frame)


def test_a_source_with_a_pattern_names_its_files(tmp_path: Path) -> None:
    """A partition is one of the files, and brackets in names are no pattern."""
    for month in ("2024-01", "2024-02"):
        write(tmp_path, "cnt\n1\n", f"rides [final] {month}.csv")
    source = f"{tmp_path}/rides [final] {{partition}}.csv"
    assert len(source_files(declared(source=source))) == 2
    assert source_files(declared(source=source), "2024-02") == [
        f"{tmp_path}/rides [final] 2024-02.csv"
    ]
    with pytest.raises(TableFileError, match="has no files"):
        source_files(declared(source=f"{tmp_path}/none-*.csv"))


def test_a_file_of_an_installed_package_is_a_source() -> None:
    """Public tables come as packages: the index is the one address that every machine reaches."""
    (file,) = source_files(declared(source="package://trip_duration/zones.csv"))
    assert read_raw([file]).rows == 265
    for name in ("no_such_package", "../etc", ""):
        with pytest.raises(TableFileError, match="not installed"):
            source_files(declared(source=f"package://{name}/zones.csv"))


def test_what_is_predicted_names_no_rows(tmp_path: Path) -> None:
    """Whole numbers that differ in each row are a quantity there."""
    rows = "".join(f"{row},{row}\n" for row in range(1, 60))
    found = read(tmp_path, f"row,cnt\n{rows}")
    assert [each.kind for each in found.formats.values()] == ["id", "number"]
