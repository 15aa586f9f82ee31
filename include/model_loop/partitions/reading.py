"""The typed table of a dataset, as pandas reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from model_loop.datasets.declaration import ColumnDeclaration, Declaration


@dataclass(frozen=True)
class ColumnFormat:
    """How a column was read."""

    kind: str
    missing: frozenset[str] = frozenset()
    decimal: str = "."
    time_format: str = "iso"


@dataclass(frozen=True)
class Table:
    """Rows of a dataset."""

    frame: pd.DataFrame
    rows_read: int
    rejected: tuple[Any, ...]
    formats: Mapping[str, ColumnFormat]


def read_table(
    declaration: Declaration,
    files: Sequence[str],
    *,
    variant: str | None = None,  # noqa: ARG001 - of the reader's interface
) -> Table:
    """Read files of a dataset as one table."""
    raw = pd.concat([pd.read_csv(f, dtype=str) for f in files], ignore_index=True)
    formats: dict[str, ColumnFormat] = {}
    frame: dict[str, Any] = {}
    for name in map(str, raw):
        declared = declaration.columns.get(name, ColumnDeclaration())
        time = declaration.time
        kind = declared.type or ("time" if time and time.column == name else None)
        values = raw[name].str.strip()
        values = values.mask(values.isin(["", "NA", "?"]))
        if kind is None:
            numbers = pd.to_numeric(values, errors="coerce")
            if numbers.notna().sum() == values.notna().sum():
                kind = "number"
            elif (
                pd.to_datetime(values, errors="coerce", format="ISO8601").notna().sum()
                == values.notna().sum()
            ):
                kind = "time"
            else:
                kind = "category"
        formats[name] = ColumnFormat(kind)
        if kind == "number":
            frame[name] = pd.to_numeric(values, errors="coerce").astype(np.float64)
        elif kind == "time":
            found = pd.to_datetime(values, errors="coerce", format="ISO8601", utc=True)
            if time and not raw[name].str.endswith("Z").any():
                found = found.dt.tz_localize(None).dt.tz_localize(ZoneInfo(time.stored_in))
            zone = ZoneInfo(time.time_zone) if time else ZoneInfo("UTC")
            frame[name] = found.dt.tz_convert(zone).dt.tz_localize(None).astype("datetime64[us]")
        elif kind == "yes_no":
            frame[name] = (
                values.str.lower()
                .map(
                    {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False}
                )
                .astype("boolean")
            )
        else:
            frame[name] = values.astype(pd.StringDtype("pyarrow", na_value=np.nan))
    return Table(pd.DataFrame(frame), len(raw), (), formats)
