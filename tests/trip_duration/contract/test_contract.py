"""What a month must hold before it is cleaned."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trip_duration.conftest import GREEN, fetch

from model_loop.errors import ContractError
from trip_duration.contract.checking import check_month
from trip_duration.contract.rules import ContractLimits
from trip_duration.decoding import reading
from trip_duration.services import SERVICES

LIMITS = ContractLimits()


def rewrite(folder: Path, table: pa.Table) -> None:
    """Put another table in the month's place."""
    pq.write_table(table, folder / "green_tripdata_2024-01.parquet")


def published(folder: Path) -> pa.Table:
    """The month's table."""
    return pq.read_table(folder / "green_tripdata_2024-01.parquet")


def test_accepts_a_month(folder: Path, tmp_path: Path) -> None:
    """A month as published passes, with a column more than we know."""
    table = published(folder)
    rewrite(folder, table.append_column("cbd_congestion_fee", pa.nulls(table.num_rows)))
    check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


@pytest.mark.parametrize("kind", [pa.int64(), pa.int16()])
def test_widths_may_drift(folder: Path, tmp_path: Path, kind: pa.DataType) -> None:
    """Zone ids of another width pass: TLC changed theirs."""
    table = published(folder)
    index = table.schema.get_field_index("PULocationID")
    rewrite(folder, table.set_column(index, "PULocationID", table["PULocationID"].cast(kind)))
    check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<html><body>Access denied</body></html>", "not a readable Parquet file"),
        (b"PAR1 and then nothing of the kind PAR1", "not a readable Parquet file"),
    ],
)
def test_refuses_other_files(folder: Path, tmp_path: Path, content: bytes, message: str) -> None:
    """An empty file, a web page and garbage are refused by the month's name."""
    (folder / "green_tripdata_2024-01.parquet").write_bytes(content)
    with pytest.raises(ContractError, match=f"Month 2024-01 of green .* {message}"):
        check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


def test_refuses_truncated_file(folder: Path, tmp_path: Path) -> None:
    """A file that ends half way is refused."""
    file = folder / "green_tripdata_2024-01.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ContractError, match="not a readable Parquet file"):
        check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


def test_refuses_file_that_is_gone(folder: Path, tmp_path: Path) -> None:
    """A month whose file was removed after it was fetched is refused by name."""
    raw = fetch(str(folder), tmp_path)
    Path(raw.path).unlink()
    with pytest.raises(ContractError, match=r"Month 2024-01 of green .*fetch it again"):
        check_month(raw, GREEN, LIMITS)


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(5, "connection lost")])
def test_storage_errors_are_passed_on(folder: Path, tmp_path: Path, error: OSError) -> None:
    """What is the storage's fault is not blamed on the month, so that a task may try again."""
    raw = fetch(str(folder), tmp_path)
    with pytest.raises(OSError, match=str(error.strerror)), reading(raw):
        raise error


def test_refuses_missing_column(folder: Path, tmp_path: Path) -> None:
    """A missing column is named, and so are those that are there."""
    rewrite(folder, published(folder).drop_columns(["DOLocationID"]))
    with pytest.raises(ContractError, match=r"lacks the column DOLocationID; it has .*VendorID"):
        check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


@pytest.mark.parametrize("column", ["lpep_pickup_datetime", "PULocationID", "trip_distance"])
def test_refuses_text_for_numbers_and_times(folder: Path, tmp_path: Path, column: str) -> None:
    """A column of another kind is refused with what it is and what it must be."""
    table = published(folder)
    index = table.schema.get_field_index(column)
    rewrite(folder, table.set_column(index, column, table[column].cast(pa.string())))
    with pytest.raises(ContractError, match=f"has string in the column {column}, which must be a"):
        check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


def test_refuses_a_file_without_rows(folder: Path, tmp_path: Path) -> None:
    """A month without trips is refused."""
    rewrite(folder, published(folder).slice(0, 0))
    with pytest.raises(ContractError, match="has no rows"):
        check_month(fetch(str(folder), tmp_path), GREEN, LIMITS)


def test_refuses_another_service(folder: Path, tmp_path: Path) -> None:
    """Green trips under a yellow name are refused by the missing columns."""
    with pytest.raises(ContractError, match="tpep_pickup_datetime"):
        check_month(fetch(str(folder), tmp_path), SERVICES["yellow"], LIMITS)
