"""Origin of trips: generated here, or published.

A comparison never mixes the two: what a model of generated trips comes to says nothing about real
ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

#: Data source of generated months, wherever their files lie.
SAMPLE = "sample"


class HasSource(Protocol):
    """Describe a month's file, as far as its source goes."""

    @property
    def data_source(self) -> str:
        """Return where the month is from."""


def data_source_of(months: Iterable[HasSource]) -> str:
    """Return what months are: ``sample`` as soon as one of them is generated."""
    kinds = {month.data_source for month in months}
    return SAMPLE if SAMPLE in kinds else ",".join(sorted(kinds))


def is_generated(data_source: str) -> bool:
    """Return whether a data source holds generated trips."""
    return data_source == SAMPLE


def source_label(data_source: str) -> str:
    """Return the words by which people are told a data source, everywhere the same."""
    return "SAMPLE data" if is_generated(data_source) else f"real data ({data_source})"
