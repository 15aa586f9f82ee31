"""A chart as plain values: the figure that a browser draws, and the data behind it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: A spreadsheet would take text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Figure = Mapping[str, Any]
"""Plotly's ``data`` and ``layout``; colours that begin with ``@`` are names of the theme."""


@dataclass(frozen=True)
class ChartTable:
    """Rows under named columns.

    Parameters
    ----------
    columns
        Their names, with units where they have any.
    rows
        Cells of each row; None where there is nothing.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]] = ()

    def csv(self) -> str:
        """Convert to CSV; text that looks like a formula is quoted by an apostrophe."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([[_safe(cell) for cell in row] for row in self.rows])
        return out.getvalue()


@dataclass(frozen=True)
class Empty:
    """Reason why there is nothing to show, and the job that fills it.

    Parameters
    ----------
    why
        A sentence.
    job
        Job whose DAG fills it; empty if none does.
    """

    why: str
    job: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart with the data behind it.

    Parameters
    ----------
    name
        Of its CSV; unique on its page.
    title
        Subject of the chart.
    unit
        Of what is measured.
    about
        Content in words, also for people who cannot see it.
    table
        The data behind it.
    empty
        Text where there are no rows.
    figure
        How it is drawn; None shows the table alone.
    wide
        Whether it takes the whole width.
    height
        Pixels.
    links
        Address by the text of a cell of the first column.
    """

    name: str
    title: str
    unit: str
    about: str
    table: ChartTable
    empty: Empty
    figure: Figure | None = None
    wide: bool = False
    height: int = 300
    links: Mapping[str, str] = field(default_factory=dict)


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell
