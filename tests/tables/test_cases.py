"""Small inputs that readers of this field have failed on, retold with rentals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables.conftest import declared, read, write

from model_loop.tables.refused import TableFileError
from model_loop.tables.table import Table, read_table, source_files

HEADER = "starts_at,station,count"
GOOD = "2024-01-15 08:30:00,74,1.2"
TYPES = '[time]\ncolumn = "starts_at"\n[columns.station]\ntype = "category"\n'


def rentals(folder: Path, *rows: str, header: str = HEADER, end: str = "\n") -> Table:
    """Read some rows."""
    return read(folder, "".join(f"{line}{end}" for line in (header, *rows)), TYPES)


def test_a_quote_within_a_cell(tmp_path: Path) -> None:
    """Is text, and spoils no other row of a thousand."""
    rows = [f"{GOOD},n{row}" for row in range(1_000)]
    rows[2] = f"{GOOD},rider is 6'2\" tall"
    table = rentals(tmp_path, *rows, header=f"{HEADER},note")
    assert (len(table.frame), table.rejected) == (1_000, ())
    assert table.frame["note"][2] == "rider is 6'2\" tall"


def test_offsets_of_hours_beside_none(tmp_path: Path) -> None:
    """Are converted like any other offset."""
    table = rentals(
        tmp_path,
        "2024-01-15 08:30:00+00,1,1",
        "2024-01-15 08:30:00-05,1,1",
        "2024-01-15 08:30:00,1,1",
    )
    assert table.frame["starts_at"].dt.hour.tolist() == [8, 13, 8]


def test_values_out_of_all_bounds(tmp_path: Path) -> None:
    """Reject their rows, or are numbers that a contract judges."""
    table = rentals(tmp_path, GOOD, "9999-01-01 00:00:00,1,1", "2024-01-15 08:30:00,1,1e39", GOOD)
    assert [row.row for row in table.rejected] == [2]
    assert table.frame["count"].tolist() == [1.2, 1e39, 1.2]
    moments = pa.array([2**63 - 1, 1_705_307_400_000], pa.timestamp("ms"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"starts_at": moments, "station": [1, 2]}), path)
    typed = read_table(declared(TYPES), [str(path)])
    assert [row.row for row in typed.rejected] == [1]
    assert typed.frame["starts_at"].tolist() == [pd.Timestamp("2024-01-15 08:30:00")]


def test_a_view_of_text_in_parquet(tmp_path: Path) -> None:
    """Is text like any other."""
    path = tmp_path / "a.parquet"
    table = pa.table({"note": pa.array(["a", "b"], pa.string_view()), "count": ["1", "x"]})
    pq.write_table(table, path)
    number = '[columns.count]\ntype = "number"\n'
    found = read_table(declared(number), [str(path)])
    assert found.frame["note"].tolist() == ["a"]
    assert [row.reason for row in found.rejected] == ["count = x is not a number"]


def test_a_folder_among_files(tmp_path: Path) -> None:
    """Is refused by its name where it is read, and no pattern takes it for a file."""
    (tmp_path / "2024-01.csv").mkdir()
    write(tmp_path, f"{HEADER}\n{GOOD}\n", "2024-02.csv")
    files = source_files(declared(source=f"{tmp_path}/*.csv"))
    assert files == [f"{tmp_path}/2024-02.csv"]
    with pytest.raises(TableFileError, match=r"2024-01\.csv is not there"):
        read_table(declared(), [str(tmp_path / "2024-01.csv")])


def test_rows_that_end_with_cr_alone(tmp_path: Path) -> None:
    """As spreadsheets of former years write them."""
    assert len(rentals(tmp_path, GOOD, GOOD, end="\r").frame) == 2


def test_brackets_in_names(tmp_path: Path) -> None:
    """Of files and of columns: they stay as they are."""
    path = write(tmp_path, "distance [km],[/h]\n1.5,2\n", "rides [final].csv")
    (found,) = source_files(declared(source=path))
    assert list(read_table(declared(), [found]).frame) == ["distance [km]", "[/h]"]


def test_a_blank_second_line_and_empty_fields_more(tmp_path: Path) -> None:
    """In each row, with CR LF."""
    table = rentals(tmp_path, "", f"{GOOD},,", f"{GOOD},,", end="\r\n")
    assert (len(table.frame), table.rejected) == (2, ())


@pytest.mark.parametrize("written", ["01/15/2024 08:30:00 AM", "2024-01-15 08:30:00 UTC"])
def test_times_of_public_exports(tmp_path: Path, written: str) -> None:
    """Are read as they are."""
    table = rentals(tmp_path, f"{written},74,1")
    assert table.frame["starts_at"].tolist() == [pd.Timestamp("2024-01-15 08:30:00")]


def test_codes_with_a_fraction(tmp_path: Path) -> None:
    """As pandas writes whole numbers beside missing ones."""
    table = rentals(tmp_path, "2024-01-15 08:30:00,74.0,1", "2024-01-15 08:30:00,,1")
    assert table.frame["station"].tolist()[0] == "74"


def test_short_times(tmp_path: Path) -> None:
    """Without seconds, and days."""
    table = rentals(tmp_path, "2024-01-15T08:30,1,1", "2024-01-15,1,1")
    assert table.frame["starts_at"].tolist() == [
        pd.Timestamp("2024-01-15 08:30:00"),
        pd.Timestamp("2024-01-15"),
    ]


def test_sentinels_decimal_commas_and_rows_without_text(tmp_path: Path) -> None:
    """All at once, as a sensor of air quality leaves them."""
    text = "Date;Time;CO(GT);T;;\n" + "10/03/2004;18.00.00;2,6;13,6;;\n" * 3
    text += "13/03/2004;19.00.00;-200;13,3;;\n;;;;;\n;;;;;\n"
    table = read(tmp_path, text, "missing_values = [-200]\n")
    assert table.formats["Date"].time_format == "%d/%m/%Y"
    assert table.frame["CO(GT)"].tolist()[:3] == [2.6] * 3
    assert table.frame["CO(GT)"].isna().tolist() == [False, False, False, True]
    assert (list(table.frame), table.rejected) == (["Date", "Time", "CO(GT)", "T"], ())
