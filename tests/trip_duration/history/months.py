"""Sketches of months that tests damage: from frames, and of parts of a month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model_loop.errors import ContractError
from model_loop.findings import Finding
from model_loop.history.calendar import Calendar
from model_loop.history.comparison import Past
from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch, SketchBuilder
from model_loop.history.table import ComparedTable
from trip_duration.batches import read_batches
from trip_duration.contract.checking import check_month
from trip_duration.contract.rules import REPEATED, ContractLimits, month_bounds
from trip_duration.months import Month
from trip_duration.sample import generate_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.source.types import MonthFile
from trip_duration.table import trip_table

GREEN = get_service("green")
TABLE = trip_table("green")
_DAY = 86_400_000_000


def generated(month: str, trips: int, seed: int, service: str = "green") -> pd.DataFrame:
    """Generate a sound month."""
    options = SampleOptions(trips=trips, seed=seed)
    made: pd.DataFrame = generate_month(
        get_service(service), Month.parse(month), options
    ).to_pandas()
    return made


def published(folder: Path, month: str) -> pd.DataFrame:
    """Read a published month."""
    return pd.read_parquet(folder / f"green_tripdata_{month}.parquet")


def sketch_of(trips: pd.DataFrame, month: str, folder: Path) -> Sketch:
    """Write a month and check it as every month is checked.

    Raises
    ------
    ContractError
        If it breaks its contract.
    """
    return check_month(_write(trips, month, folder), GREEN, ContractLimits()).sketch


def verdict(
    trips: pd.DataFrame, month: str, history: Sequence[Sketch], folder: Path
) -> tuple[str, tuple[Finding, ...]]:
    """Return ``refused``, ``warning`` or ``nothing``, and the findings."""
    try:
        sketch = sketch_of(trips, month, folder)
    except ContractError as error:
        found = Finding("contract", None, month, "refused", str(error), error.remedy)
        return "refused", (found,)
    findings = judge_partition(TABLE, sketch, history, prepare=_remembered)
    return level_of(findings), findings


def _remembered(table: ComparedTable, sketches: Sequence[Sketch], calendar: Calendar) -> Past:
    """Prepare a history once for all months that are compared with it."""
    key = (*map(id, sketches), calendar)
    if key not in _PREPARED:
        # The sketches stay in it, so that no other ones get their ids.
        _PREPARED.clear()
        _PREPARED[key] = Past(table, sketches, calendar)
    return _PREPARED[key]


_PREPARED: dict[tuple[object, ...], Past] = {}


def level_of(findings: Sequence[Finding]) -> str:
    """Return the gravest level, or ``nothing``."""
    levels = {finding.level for finding in findings}
    return "refused" if "refused" in levels else "warning" if levels else "nothing"


def parts_of(trips: pd.DataFrame, month: str, days: int, folder: Path) -> Iterator[Sketch]:
    """Yield sketches of successive parts of a month, so many days each."""
    raw = _write(trips, month, folder)
    checked = check_month(raw, GREEN, ContractLimits())
    report, quarantine = checked.report, checked.quarantine
    broken = {count.rule: count.rows / report.rows for count in report.rules}
    batches = [batch.columns for batch in read_batches(raw, GREEN, GREEN.columns)]
    columns = {
        column.name: np.concatenate([batch[column.name] for batch in batches])
        for column in TABLE.columns
    }
    # In sketches, a row that repeats another counts as any other.
    sound = np.ones(report.rows, dtype=bool)
    sound[quarantine.row[quarantine.reasons != REPEATED.name]] = False
    start, end = month_bounds(Month.parse(month))
    times = columns[TABLE.time]
    for first in range(start, end - days * _DAY + 1, days * _DAY):
        within = np.flatnonzero(sound & (times >= first) & (times < first + days * _DAY))
        part = {name: values[within] for name, values in columns.items()}
        name = f"{np.datetime64(first, 'us').astype('datetime64[D]')} ({days})"
        builder = SketchBuilder(TABLE, name, first, first + days * _DAY, len(within))
        builder.add(0, np.ones(len(within), dtype=bool), part)
        yield builder.build(report.missing_shares, broken)


def _write(trips: pd.DataFrame, month: str, folder: Path) -> MonthFile:
    path = folder / f"green_tripdata_{month}.parquet"
    trips.to_parquet(path)
    return MonthFile("green", month, str(path), path.stat().st_size, "folder", path.as_uri())
