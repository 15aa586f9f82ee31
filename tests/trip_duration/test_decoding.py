"""Decoding: groups of columns side by side come to the same as all at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_loop.errors import ContractError
from trip_duration.decoding import decode, read_footer
from trip_duration.source.types import MonthFile

ROWS = 1_000
GROUPS = (("times", "zones"), ("miles",))


@pytest.fixture
def file(tmp_path: Path) -> MonthFile:
    """A file of many pages."""
    path = tmp_path / "month.parquet"
    table = pa.table(
        {
            "miles": pa.array([number / 8 for number in range(ROWS)]),
            "times": pa.array(range(ROWS), pa.timestamp("us")),
            "zones": pa.array([None if number % 7 == 0 else number for number in range(ROWS)]),
            "unread": ["text"] * ROWS,
        }
    )
    pq.write_table(table, path, use_dictionary=False, data_page_size=64, write_batch_size=10)
    return as_month(path)


def as_month(path: Path) -> MonthFile:
    """A file as the source hands it over."""
    return MonthFile(
        service="green",
        month="2024-01",
        path=str(path),
        size=path.stat().st_size,
        data_source="folder",
        url=str(path),
    )


def shortened(file: MonthFile, column: int, values: int) -> MonthFile:
    """The same file; its footer says of a column that it has fewer values.

    In the order of the footer: the rows of the file, the values of each column, the rows of the
    group, each as a varint behind the header of a 64-bit field (Thrift's compact protocol).
    """
    content = Path(file.path).read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    places, at = [], content.find(field(ROWS), start)
    while at >= 0:
        places.append(at)
        at = content.find(field(ROWS), at + 1)
    at, new = places[1 + column], field(values)
    assert len(new) == len(field(ROWS))
    path = Path(file.path).with_name("shortened.parquet")
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    return as_month(path)


def field(number: int) -> bytes:
    """A number of two bytes behind the header of a 64-bit field that follows the one before."""
    doubled = 2 * number
    return bytes((0x16, doubled & 0x7F | 0x80, doubled >> 7))


@pytest.mark.parametrize("batch_rows", [7, 64, ROWS, 2 * ROWS])
def test_groups_come_to_the_same_as_all_at_once(file: MonthFile, batch_rows: int) -> None:
    """The same columns, rows and batches."""
    together = [*decode(file, [[name for group in GROUPS for name in group]], batch_rows)]
    apart = [*decode(file, GROUPS, batch_rows)]
    assert apart == [batch.select(apart[0].schema.names) for batch in together]
    assert sum(batch.num_rows for batch in apart) == read_footer(file).rows == ROWS


def test_leaves_no_thread_behind(file: MonthFile) -> None:
    """Whoever stops early ends the decoding of all groups."""
    before = threading.active_count()
    batches = decode(file, GROUPS, 7)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("groups", [GROUPS, [["miles", "times", "zones"]]])
def test_refuses_columns_of_different_lengths(
    file: MonthFile, groups: list[list[str]], column: int
) -> None:
    """No row is put together from what does not belong to it."""
    spoiled = shortened(file, column, 600)
    with pytest.raises(ContractError, match="not a readable Parquet file"):
        read_all(spoiled, groups)


def read_all(file: MonthFile, groups: list[list[str]]) -> list[pa.RecordBatch]:
    """All batches of a file."""
    return [*decode(file, groups, 64)]
