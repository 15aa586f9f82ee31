"""Values that a version has learned from, column by column: what its notices are made of.

Stored beside each version, and small: an answer says of a value that it is unlike all of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnRange:
    """Values of one column in the rows that a version has learned from.

    Numbers are as rows of requests have them: times are seconds since 1970 on the clocks of the
    table, yes and no are 1 and 0.

    Parameters
    ----------
    name
        Name of the column in frames.
    given, missing
        Rows that have a value, and rows that have none.
    first, last
        Smallest and largest number, without outliers; None where there is none.
    lowest, highest
        Numbers from one to the other are like those that were learned: a margin stands beside the
        first and the last where rows are few, and beside times.
    outliers
        Rows whose number is beyond these.
    categories
        Every category, the most frequent first; None of a column with too many of them.
    """

    name: str
    given: int
    missing: int
    first: float | None = None
    last: float | None = None
    lowest: float | None = None
    highest: float | None = None
    outliers: int = 0
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LearnedValues:
    """Values of every column that a version reads.

    Parameters
    ----------
    columns
        One of each.
    """

    columns: tuple[ColumnRange, ...]
