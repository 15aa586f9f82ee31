"""Contents of a page, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_loop.charts.chart import Chart


@dataclass(frozen=True)
class Card:
    """A single figure with its label.

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
class PageField:
    """A field that changes the content of a page.

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
class ChartGroup:
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
        Parts that cannot be shown at the moment, and the reasons.
    extra
        What its own template needs.
    waiting
        Whether something is being read: the browser asks again.
    """

    name: str
    title: str
    lead: str
    cards: Sequence[Card] = ()
    choices: Sequence[PageField] = ()
    sections: Sequence[ChartGroup] = ()
    notes: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    waiting: bool = False

    @property
    def charts(self) -> Iterator[Chart]:
        """All of them."""
        for section in self.sections:
            yield from section.charts
