"""Values as codes of bins that history has made, so that everything is a matter of counts.

Code 0 stands for a missing value. A number that cannot be negative in history has codes of its own
for negative values and for zero; the bins that follow are quantiles of history, the outermost of
which hold one row in a thousand. A category has a code for each of history's values, the most
frequent first, and one for what history has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.history.table import Array, ComparedTable, Values

Codes = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

_PROBABILITIES = np.array(
    [0.001, 0.005, 0.02, *np.linspace(0.05, 0.95, 19), 0.98, 0.995, 0.999], dtype=np.float64
)
MISSING, NEGATIVE, ZERO, _FIRST = 0, 1, 2, 3
#: Categories beyond so many share a code.
_MOST_CATEGORIES = 500
#: With more negative values, the sign is an ordinary one.
_MOST_NEGATIVE = 0.01
#: Name of the hour of the day, which every table with a time has.
HOUR = "hour of the day"

_MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True)
class NumberCoder:
    """Codes of a number.

    Parameters
    ----------
    edges
        Upper edges of the bins but the last.
    scores
        Middle rank of each code in history, from 0 to 1; NaN of a missing value.
    """

    edges: Array
    scores: Array

    @classmethod
    def learn(cls, values: Array, *, signed: bool) -> NumberCoder:
        """Learn from history; a *signed* number has no codes of its own for zero and below."""
        known = np.sort(values[np.isfinite(values)])
        positive = known if signed else known[np.searchsorted(known, 0.0, side="right") :]
        edges = np.unique(_quantiles(positive, _PROBABILITIES))
        below = len(known) - len(positive)
        negative = int(np.searchsorted(known, 0.0)) if below else 0
        ends = np.searchsorted(positive, edges, side="right")
        counts = np.diff(ends, prepend=0, append=len(positive))
        shares = np.array([negative, below - negative, *counts]) / max(len(known), 1)
        middle = np.cumsum(shares) - shares / 2
        return cls(edges, np.concatenate([[np.nan], middle]))

    @property
    def size(self) -> int:
        """Number of codes."""
        return len(self.edges) + 1 + _FIRST

    def codes(self, values: Array, *, signed: bool) -> Codes:
        """Code values."""
        codes: Codes = np.searchsorted(self.edges, values, side="left") + _FIRST
        if not signed:
            codes[values == 0] = ZERO
            codes[values < 0] = NEGATIVE
        codes[np.isnan(values)] = MISSING
        return codes


@dataclass(frozen=True)
class CategoryCoder:
    """Codes of a category: 0 missing, then history's values, then everything else.

    Values are whole numbers from 0; of texts, the numbers that stand for them.

    Parameters
    ----------
    known
        History's values in their own order.
    """

    known: Array

    @classmethod
    def learn(cls, values: Array) -> CategoryCoder:
        """Learn from history."""
        known, counts = np.unique(values[values >= 0], return_counts=True)
        if len(known) > _MOST_CATEGORIES:
            known = np.sort(known[np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]])
        return cls(known.astype(np.float64))

    @property
    def size(self) -> int:
        """Number of codes."""
        return len(self.known) + 2

    @property
    def unseen(self) -> int:
        """The code of values that history does not have."""
        return len(self.known) + 1

    def codes(self, values: Array) -> Codes:
        """Code values."""
        places = np.minimum(np.searchsorted(self.known, values), max(len(self.known) - 1, 0))
        equal = self.known[places] == values if len(self.known) else np.zeros(len(values), bool)
        codes: Codes = np.where(equal, places + 1, self.unseen)
        codes[np.isnan(values)] = MISSING
        return codes


@dataclass(frozen=True)
class Coding:
    """The coders of all columns of a table."""

    numbers: dict[str, NumberCoder]
    signed: frozenset[str]
    categories: dict[str, CategoryCoder]

    @classmethod
    def learn(cls, table: ComparedTable, values: Values) -> Coding:
        """Learn from the rows of history."""
        derived = [one.name for one in table.derived]
        numbers = (*table.of_kind("number"), *derived)
        signed = frozenset(
            name
            for name in numbers
            if name in derived or np.mean(values[name] < 0) > _MOST_NEGATIVE
        )
        return cls(
            {name: NumberCoder.learn(values[name], signed=name in signed) for name in numbers},
            signed,
            {
                name: CategoryCoder.learn(values[name])
                for name in (*table.of_kind("category"), HOUR)
            },
        )

    @property
    def names(self) -> frozenset[str]:
        """Names of the columns."""
        return frozenset({*self.numbers, *self.categories})

    def codes(self, values: Values, only: frozenset[str] | None = None) -> dict[str, Codes]:
        """Code all columns, or only some."""
        wanted = self.names if only is None else only
        numbers = {
            name: coder.codes(values[name], signed=name in self.signed)
            for name, coder in self.numbers.items()
            if name in wanted
        }
        return numbers | {
            name: coder.codes(values[name])
            for name, coder in self.categories.items()
            if name in wanted
        }

    def size(self, name: str) -> int:
        """Return the number of codes of a column."""
        return (self.numbers.get(name) or self.categories[name]).size

    def transformed(self, name: str, values: Array) -> Array:
        """Return a number on the scale on which it is predicted: logarithms of what is positive."""
        if name in self.signed:
            return values
        with np.errstate(all="ignore"):
            return np.where(values > 0, np.log(values), np.nan)


def _quantiles(ordered: Array, probabilities: Shares) -> Array:
    """Return quantiles of numbers in order, as np.quantile, without another partition."""
    if not len(ordered):
        return np.empty(0)
    places = probabilities * (len(ordered) - 1)
    lower = places.astype(np.int64)
    upper = np.minimum(lower + 1, len(ordered) - 1)
    found: Array = ordered[lower] + (places - lower) * (ordered[upper] - ordered[lower])
    return found


def complete(table: ComparedTable, columns: Values) -> dict[str, Array]:
    """Add the derived numbers and the hour of the day to the columns of some rows."""
    values = {name: columns[name].astype(np.float64) for name in columns if name != table.time}
    values[HOUR] = ((columns[table.time] // _MICROSECONDS_PER_HOUR) % 24).astype(np.float64)
    values[table.time] = columns[table.time]
    with np.errstate(all="ignore"):
        for one in table.derived:
            found = one.compute(values)
            values[one.name] = np.where(np.isfinite(found), found, np.nan)
    return values
