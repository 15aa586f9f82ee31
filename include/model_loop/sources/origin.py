"""Origin of rows: generated here, or published.

A comparison never mixes the two: what a model of generated rows comes to says nothing about real
ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

#: Data source of generated partitions, wherever their files lie.
SAMPLE = "sample"


class HasSource(Protocol):
    """Describe the file of a partition, as far as its source goes."""

    @property
    def data_source(self) -> str:
        """Return the source of the file."""


def data_source_of(files: Iterable[HasSource]) -> str:
    """Return the sources of files: ``sample`` as soon as one of them is generated."""
    kinds = {file.data_source for file in files}
    return SAMPLE if SAMPLE in kinds else ",".join(sorted(kinds))


def is_generated(data_source: str) -> bool:
    """Return whether a data source holds generated rows."""
    return data_source == SAMPLE


def source_label(data_source: str) -> str:
    """Return the name of a data source for people, everywhere the same."""
    return "SAMPLE data" if is_generated(data_source) else f"real data ({data_source})"
