"""Rows mean the same in a file as in a request: the two readers are asked for the same cells."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.literals import MISSING_WORDS, NO, YES
from model_loop.datasets.reading import Problem
from model_loop.scoring.columns import check_rows
from model_loop.tables.table import read_table

DECLARATION = """
name = "mixed"
target = "y"
source = "mixed.csv"
missing_values = [-999]
[dialect]
delimiter = ";"
[time]
column = "at"
stored_in = "UTC"
time_zone = "America/New_York"
[columns.at]
type = "time"
format = "ISO8601"
[columns.day]
type = "time"
format = "%d.%m.%Y %H:%M"
[columns.code]
type = "category"
[columns.size]
type = "number"
decimal_char = "."
[columns.price]
type = "number"
decimal_char = ","
[columns.clock]
type = "time"
format = "%I:%M %p"
[columns.week]
type = "time"
format = "%G-W%V"
[columns.serial]
type = "time"
format = "excel"
[columns.cost]
type = "number"
decimal_char = "."
unit = "$"
[columns.yes]
type = "yes_no"
[columns.y]
type = "number"
decimal_char = "."
"""
DATASET = dataset_of(Declaration.model_validate(tomllib.loads(DECLARATION)))
NAMES = ("at", "day", "code", "size", "price", "clock", "week", "serial", "cost", "yes")
TIMES = {"at", "day", "clock", "week", "serial"}
NOON = dt.datetime(2024, 1, 15, 12)  # noqa: DTZ001 - the table's clocks

words = st.sampled_from(sorted(MISSING_WORDS | YES | NO))
numbers = st.sampled_from(
    [
        "$5",
        "-$1,234.50",
        "($5)",
        "5 $",
        "5-",
        "(5)",
        "5 €",
        "45306",
        "45306.25",
        "0",
        "-1",
        "74.0",
        "1545",
        "-999",
        "-999.0",
        "1.5",
        "1,5",
        "1.234,5",
        "1,234.5",
        "1e3",
        "+3",
    ]
)
times = st.sampled_from(
    [
        *("2024-03-10 07:30:00", "2024-03-10T02:30Z", "2024-11-03 05:30:00.25", "2024-01-15"),
        *("2024-01-15T08:30:00+01:00", "15.01.2024 08:30", "3.11.2024 5:30", "2024-02-30", "24:00"),
        *(
            "14:05",
            "2:05 PM",
            "02:05pm",
            "12:00 AM",
            "08:30:15.5",
            "2020-W53",
            "2021-W53",
            "2024-W5",
        ),
    ]
)
cells = words | numbers | times | st.sampled_from(["AA", " EV ", "Ü", "n o"])


def value_of(name: str, read: Any) -> Any:
    """Return a cell of a file as rows of requests have it."""
    if pd.isna(read):
        return None
    if name in TIMES:
        return pd.Timestamp(read).value // 1_000 / 1e6
    return str(read) if name == "code" else float(read)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(filled=st.dictionaries(st.sampled_from(NAMES), cells, min_size=1, max_size=2))
def test_the_same_cells_are_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, filled: dict[str, str]
) -> None:
    """Through a file, a request, and rows that are scored in a batch."""
    row = tuple(filled.get(name, "") for name in NAMES)
    path: Path = tmp_path_factory.mktemp("rows") / "mixed.csv"
    path.write_text(f"{';'.join((*NAMES, 'y'))}\n{';'.join((*row, '1'))}\n")
    assert DATASET.declaration is not None
    table = read_table(DATASET.declaration, [str(path)])
    problems: list[Problem] = []
    asked = dict(zip(NAMES, row, strict=True))
    read = DATASET.reader.read(asked, lambda: NOON, problems)
    requested = dict(zip(DATASET.columns.names, read.cells, strict=True))
    assert bool(table.rejected) == bool(problems), (asked, problems)
    checked = check_rows(DATASET, pd.DataFrame([asked]), NAMES)
    assert (checked.reasons[0] is not None) == bool(problems)
    if problems:
        return
    for name in NAMES:
        in_file = value_of(name, table.frame[name].iloc[0])
        in_request, in_batch = (
            None if pd.isna(one) else one for one in (requested[name], checked.rows[name].iloc[0])
        )
        assert in_file == in_request == in_batch, (name, asked[name])
