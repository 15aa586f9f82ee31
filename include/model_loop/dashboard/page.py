"""Contents of a page, as plain values: drawn, shown as a table and exported as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: A spreadsheet would take text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Figure = Mapping[str, Any]
"""Plotly's ``data`` and ``layout``; colours that begin with ``@`` are names of the theme."""


@dataclass(frozen=True)
class Table:
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
    """Reason why there is nothing to show, and the DAG that fills it.

    Parameters
    ----------
    why
        A sentence.
    dag_id
        The DAG that fills it; empty if none does.
    """

    why: str
    dag_id: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart with the data behind it.

    Parameters
    ----------
    name
        Of its CSV; unique on its page.
    title
        What it shows.
    unit
        Of what is measured.
    about
        What it says, for those who cannot see it too.
    table
        The data behind it.
    empty
        What is said where there are no rows.
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
    table: Table
    empty: Empty
    figure: Figure | None = None
    wide: bool = False
    height: int = 300
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """A figure that stands for itself.

    Parameters
    ----------
    label, value, detail
        What, how much, and what else is to be known.
    level
        ``ok``, ``warn`` or ``act``; empty where it is neither good nor bad.
    """

    label: str
    value: str
    detail: str = ""
    level: str = ""


@dataclass(frozen=True)
class Choice:
    """A field by which a page is asked for something else.

    Parameters
    ----------
    name, label
        In the address, and for people.
    value
        What is chosen.
    options
        Values with what they are called.
    """

    name: str
    label: str
    value: str
    options: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """Charts under a heading."""

    heading: str
    charts: Sequence[Chart]
    about: str = ""


@dataclass(frozen=True)
class Page:
    """One page.

    Parameters
    ----------
    name, title
        In the address, and for people.
    lead
        What it is about.
    cards, choices, sections
        What it shows.
    notes
        What cannot be told at the moment, and why.
    extra
        What its own template needs.
    waiting
        Whether something is being looked up: the browser asks again.
    """

    name: str
    title: str
    lead: str
    cards: Sequence[Card] = ()
    choices: Sequence[Choice] = ()
    sections: Sequence[Section] = ()
    notes: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    waiting: bool = False

    @property
    def charts(self) -> Iterator[Chart]:
        """All of them."""
        for section in self.sections:
            yield from section.charts


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell
