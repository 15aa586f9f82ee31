"""Sketches of months that tests damage: from frames, and of parts of a month."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model_loop.errors import ContractError
from model_loop.findings import Finding
from model_loop.history.calendar import Calendar
from model_loop.history.comparison import Past
from model_loop.history.judging import judge
from model_loop.history.sketch import Sketch, SketchBuilder
from model_loop.history.table import Array, Table
from model_loop.trips.batches import TripBatch
from model_loop.trips.contract.checking import MonthReading
from model_loop.trips.contract.quarantine import Bits, usable
from model_loop.trips.contract.rules import Limits, month_bounds
from model_loop.trips.months import Month
from model_loop.trips.sample import generate_month
from model_loop.trips.sample_options import SampleOptions
from model_loop.trips.services import DURATION, get_service
from model_loop.trips.source.types import MonthFile
from model_loop.trips.table import trip_table

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
    return _reading(trips, month, folder, None).findings().sketch


def verdict(
    trips: pd.DataFrame, month: str, history: Sequence[Sketch], folder: Path
) -> tuple[str, tuple[Finding, ...]]:
    """Return ``refused``, ``warning`` or ``nothing``, and the findings."""
    try:
        sketch = sketch_of(trips, month, folder)
    except ContractError as error:
        found = Finding("contract", None, month, "refused", str(error), error.remedy)
        return "refused", (found,)
    findings = judge(TABLE, sketch, history, prepare=_remembered)
    return level_of(findings), findings


def _remembered(table: Table, sketches: Sequence[Sketch], calendar: Calendar) -> Past:
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
    rows = _Rows()
    reading = _reading(trips, month, folder, rows)
    report = reading.findings().report
    broken = {count.rule: count.rows / report.rows for count in report.rules}
    start, end = month_bounds(Month.parse(month))
    columns = {name: np.concatenate(parts) for name, parts in rows.parts.items()}
    sound = np.concatenate(rows.sound)
    times = columns[TABLE.time]
    for first in range(start, end - days * _DAY + 1, days * _DAY):
        within = np.flatnonzero(sound & (times >= first) & (times < first + days * _DAY))
        part = {name: values[within] for name, values in columns.items()}
        name = f"{np.datetime64(first, 'us').astype('datetime64[D]')} ({days})"
        builder = SketchBuilder(TABLE, name, first, first + days * _DAY, len(within))
        builder.add(0, np.ones(len(within), dtype=bool), part, _Taker(part).take)
        yield builder.build(report.missing_shares, broken)


@dataclasses.dataclass
class _Taker:
    columns: dict[str, Array]

    def take(self, name: str, rows: Array) -> Array:
        """Return rows of a column."""
        return self.columns[name][rows]


class _Rows:
    """Collects all rows of a month while it is checked."""

    columns = tuple(column.name for column in TABLE.columns if column.name != DURATION)

    def __init__(self) -> None:
        self.parts: dict[str, list[Array]] = {column.name: [] for column in TABLE.columns}
        self.sound: list[Array] = []

    def add(self, batch: TripBatch, bits: Bits) -> None:
        """Take a batch."""
        for name, parts in self.parts.items():
            parts.append(batch[name].copy())
        self.sound.append(usable(bits, keep_set_aside=False))


def _reading(trips: pd.DataFrame, month: str, folder: Path, observer: _Rows | None) -> MonthReading:
    path = folder / f"green_tripdata_{month}.parquet"
    trips.to_parquet(path)
    size = path.stat().st_size
    raw = MonthFile("green", month, str(path), size, "folder", path.as_uri())
    return MonthReading(raw, GREEN, Limits(), observer)
