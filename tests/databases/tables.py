"""A table of rides in a database, and its declaration."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from upath import UPath

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.partitions.source import find_files
from model_loop.partitions.types import SourceFile
from model_loop.sources.copies import copies_in
from model_loop.tables.table import Table, read_table

DECLARATION = """
name = "rides_of_base"
target = "minutes"
partition = "month"
[source]
connection = "warehouse"
table = "public.rides"
[time]
column = "began"
time_zone = "America/New_York"
[columns.id]
type = "id"
[columns.minutes]
type = "number"
[columns.rain]
type = "yes_no"
"""
ROWS = 900


class Runs(Protocol):
    """Something that runs statements of SQL."""

    def __call__(self, *statements: str) -> list[tuple[Any, ...]]:
        """Return the rows of the last statement."""
        ...


def fill(run: Runs, kind: str = "timestamptz", rows: int = ROWS) -> None:
    """Make the table: rows of three months, of whose times some are missing."""
    run(
        "DROP TABLE IF EXISTS public.rides",
        "CREATE TABLE public.rides AS SELECT "  # noqa: S608 - of this test
        f"(TIMESTAMP '2024-01-01 00:30' + i * INTERVAL '144 minutes')::{kind} AS began, "
        "i::numeric(20, 0) + 9007199254740993 AS id, "
        "(10 + i % 7)::numeric(10, 2) + 0.25 AS minutes, "
        "CASE WHEN i % 3 = 0 THEN NULL ELSE i % 2 = 0 END AS rain, "
        "CASE WHEN i % 5 = 0 THEN NULL ELSE 'n' || i % 4 END AS area "
        f"FROM generate_series(0, {rows - 1}) AS g(i)",
        "UPDATE public.rides SET began = NULL WHERE id % 100 = 7",
    )


def declared(**changes: str) -> Declaration:
    """Return the declaration, with some of its lines replaced."""
    text = DECLARATION
    for line, other in changes.items():
        before = {"table": 'table = "public.rides"', "connection": 'connection = "warehouse"',
                  "time_zone": 'time_zone = "America/New_York"', "partition": 'partition = "month"',
                  "column": 'column = "began"'}[line]  # fmt: skip
        assert before in text
        text = text.replace(before, other)
    return parse_declaration(text, "rides.toml")


@dataclass
class Storage:
    """A storage for copies of partitions."""

    folder: Path
    timeout_seconds: float = 10.0

    def find(self, declaration: Declaration, *keys: str) -> tuple[SourceFile, ...]:
        """Return the partitions of a declaration as files."""
        copies = copies_in(UPath(self.folder), self.timeout_seconds)
        return find_files(declaration, declaration.name, keys, copies=copies)


def read(declaration: Declaration, files: Sequence[SourceFile]) -> Table:
    """Return the rows of files as the declaration types them."""
    return read_table(declaration, [file.path for file in files])


def month_bounds(key: str) -> tuple[dt.date, dt.date]:
    """Return the first day of a month, and the first after it."""
    first = dt.date.fromisoformat(f"{key}-01")
    return first, (first + dt.timedelta(days=32)).replace(day=1)
