"""Differences that are the way of a table: those of the calendar, and within its history."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pytest

from model_loop.findings import Finding, FindingLevel
from model_loop.history.declared import sketch_of
from model_loop.history.sketch import Sketch
from model_loop.history.table import ComparedColumn, ComparedTable
from model_loop.history.variation import told, without_calendar

MONTHS = ("2023-11", "2023-12", "2024-01", "2024-02")
NUMBERS = ("year", "month", "day", "hour", "hour here", "size", "days open", "same", "value")
TABLE = ComparedTable(
    columns=(
        ComparedColumn("at", "time"),
        *(ComparedColumn(name, "number") for name in NUMBERS),
        ComparedColumn("weekday", "category"),
        ComparedColumn("batch", "category", text=True),
    ),
    time="at",
    target="value",
    identity=NUMBERS,
)
#: What says nothing but when a row was.
OF_THE_CALENDAR = {"year", "month", "day", "hour", "hour here", "weekday", "batch"}


def rows_of(month: str) -> pd.DataFrame:
    """Draw the rows of a month, times in UTC; some columns are on clocks five hours behind."""
    rng = np.random.default_rng(int(month.replace("-", "")))
    start = pd.Timestamp(f"{month}-01")
    hours = rng.integers(0, start.days_in_month * 24, 3_000)
    at = pd.Series(start + pd.to_timedelta(hours, unit="h"))
    there = at - pd.Timedelta(hours=5)
    return pd.DataFrame(
        {
            "at": at,
            "year": at.dt.year.astype(float),
            "month": at.dt.month.astype(float),
            "day": there.dt.day.astype(float),
            "hour": at.dt.hour.astype(float),
            "hour here": there.dt.hour.astype(float),
            "weekday": (at.dt.weekday + 1.0) % 7,
            "batch": f"delivered in {month}",
            "size": rng.integers(1, 13, len(at)).astype(float),
            "days open": rng.integers(0, 7, len(at)).astype(float),
            "same": 1.0,
            "value": rng.normal(size=len(at)),
        }
    )


def sketch(month: str, rows: pd.DataFrame) -> Sketch:
    """Sketch a month."""
    start = dt.datetime.fromisoformat(f"{month}-01")
    after = (start + dt.timedelta(days=32)).replace(day=1)
    return sketch_of(TABLE, month, (start, after), rows)


def compared(damage: dict[str, float] | None = None) -> set[str]:
    """Return the columns that are left out, where some of the last month are multiplied."""
    tables = {month: rows_of(month) for month in MONTHS}
    for name, factor in (damage or {}).items():
        tables[MONTHS[-1]][name] *= factor
    left = without_calendar(TABLE, [sketch(month, rows) for month, rows in tables.items()])
    return {column.name for column in TABLE.columns} - {column.name for column in left.columns}


def test_columns_of_the_calendar_are_not_compared() -> None:
    """Each month has other months, years and weeks than those before it."""
    assert compared() == OF_THE_CALENDAR


@pytest.mark.parametrize("name", ["month", "hour", "weekday"])
def test_a_column_of_the_calendar_that_breaks_is_compared(name: str) -> None:
    """It follows the calendar in history alone."""
    assert compared({name: 10}) == OF_THE_CALENDAR - {name}


def finding(code: str, level: FindingLevel = "refused") -> Finding:
    """Return a finding on the latest month."""
    return Finding(code, "value", "2024-07", level, "It differs.", "Look.")


def shown(found: Finding, differ: Sequence[int], months: int = 6, code: str = "") -> list[str]:
    """Return the levels of what is told, where some months of history differ from the others."""
    rows = rows_of(MONTHS[0])
    history = [
        dataclasses.replace(sketch(MONTHS[0], rows), partition=str(n)) for n in range(months)
    ]

    def compare(one: Sketch, others: Sequence[Sketch]) -> Iterator[Finding]:
        assert sorted(each.partition for each in (one, *others)) == list(map(str, range(months)))
        if int(one.partition) in differ:
            yield finding(code or found.code, "warning")

    return [each.level for each in told([found], history, compare)]


def test_what_history_finds_in_itself_is_not_told() -> None:
    """Two of six months that differ so from the others say that it is the way of the table."""
    found = finding("weaker_relation")
    assert shown(found, []) == ["refused"]
    assert shown(found, [4]) == ["refused"], "one of them may be damaged"
    assert shown(finding("weaker_relation", "warning"), []) == ["warning"]
    assert shown(finding("weaker_relation", "warning"), [4]) == []
    assert shown(found, [0, 4]) == []
    assert shown(found, [0, 4], code="distribution") == ["refused"], "another kind"
    assert shown(finding("another_unit"), [0, 4]) == ["refused"], "no matter of chance"


def test_few_months_refuse_nothing() -> None:
    """They do not tell how much months vary."""
    assert shown(finding("weaker_relation"), [], 2) == []
    assert shown(finding("another_unit"), [], 2) == ["warning"]
    assert shown(finding("weaker_relation"), [], 3) == ["refused"]
    assert shown(finding("weaker_relation"), [1], 3) == []
