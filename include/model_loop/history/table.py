"""Declaration of a table whose partitions are compared with each other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = Mapping[str, Array]
"""Columns by name, each of shape (rows,). Numbers are float64 with NaN where missing, categories
numbers that are whole, times int64 microseconds."""

ColumnKind = Literal["number", "category", "time"]

#: Units that are mixed up in practice, each in the unit that is 1.
_UNITS: tuple[Mapping[str, float], ...] = (
    {"mm": 0.001, "cm": 0.01, "m": 1.0, "km": 1_000.0, "in": 0.0254, "ft": 0.3048, "mi": 1_609.344},
    {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0},
    {"g": 0.001, "kg": 1.0, "t": 1_000.0, "oz": 0.028349523, "lb": 0.45359237},
)
#: Factors by which a unit that is mixed up in practice multiplies, with the words for a message.
DURATIONS: Mapping[str, float] = {
    "seconds in place of minutes": 60.0,
    "hours in place of minutes": 1 / 60,
}
DECIMALS: Mapping[str, float] = {
    "a decimal point moved by one place to the right": 10.0,
    "a decimal point moved by one place to the left": 0.1,
    "a decimal point moved by two places to the right": 100.0,
    "a decimal point moved by two places to the left": 0.01,
    "thousands in place of ones": 0.001,
    "ones in place of thousands": 1_000.0,
}


@dataclass(frozen=True)
class ComparedColumn:
    """A column of a table.

    Parameters
    ----------
    name
        Name in requests and findings.
    kind
        ``number``, ``category`` (also texts that were given numbers), or ``time``.
    units
        For a number: factors by which another unit would multiply it, by the words for it.
    outcome
        Whether it is known only together with the target, so that nothing may predict from it.
    text
        For a category: whether its numbers stand for texts, so that neighbours are no relatives.
    """

    name: str
    kind: ColumnKind
    units: Mapping[str, float] | None = None
    outcome: bool = False
    text: bool = False


@dataclass(frozen=True)
class Derived:
    """A number that is computed from columns, such as the ratio of two of them.

    Parameters
    ----------
    name
        Name in findings.
    title
        Name for people.
    columns
        The columns that it is computed from, and derived numbers that were declared before it.
    compute
        Function of these that returns the numbers; NaN where there is none.
    input
        Whether the target and other numbers may be predicted from it.
    fixed
        Whether nothing but an error moves the median of this logarithm of a ratio.
    usual
        Between which bounds its median lies in any sound partition; None if nobody can say.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    compute: Callable[[Values], Array]
    input: bool = False
    fixed: bool = False
    usual: tuple[float, float] | None = None


@dataclass(frozen=True)
class Relation:
    """Two numbers of which the larger one goes with the larger other in any sound partition.

    Parameters
    ----------
    one, other
        Names of columns or derived numbers.
    least
        Their rank correlation in a sound partition is at least so high; a lower one is a warning.
    refused
        As good as no relation: nobody may learn from the partition.
    """

    one: str
    other: str
    least: float
    refused: float


@dataclass(frozen=True)
class ComparedClasses:
    """The classes of the target, whose shares are compared.

    Parameters
    ----------
    name
        Name of their column in sketches.
    column
        Column of the file that findings name.
    title
        The target for people.
    texts_of
        Function of rows that returns the label of each.
    numbers
        Numbers that stand for the labels whose shares are reported, by label.
    """

    name: str
    column: str
    title: str
    texts_of: Callable[[Any], Any]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class ComparedTable:
    """The columns that are compared, and what follows from them.

    Parameters
    ----------
    columns
        Those that a partition has.
    time
        Name of the column that says when a row was.
    target
        Name of the number that is predicted.
    identity
        Columns that tell one row from another when its time is left out.
    derived
        Numbers that are computed from the columns.
    related
        Relations that hold in any sound partition, for one that has no history.
    classes
        Classes of the target; None of a number.
    """

    columns: tuple[ComparedColumn, ...]
    time: str
    target: str
    identity: tuple[str, ...]
    derived: tuple[Derived, ...] = ()
    related: tuple[Relation, ...] = ()
    classes: ComparedClasses | None = None

    def of_kind(self, kind: ColumnKind) -> tuple[str, ...]:
        """Return the names of the columns of a kind."""
        return tuple(column.name for column in self.columns if column.kind == kind)

    def column(self, name: str) -> ComparedColumn:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)

    def limited_to(self, names: frozenset[str]) -> ComparedTable:
        """Return the table without the columns that a partition does not have."""
        return ComparedTable(
            columns=tuple(column for column in self.columns if column.name in names),
            time=self.time,
            target=self.target,
            identity=tuple(name for name in self.identity if name in names),
            derived=tuple(
                one for one in self.derived if names.issuperset(self.sources_of(one.name))
            ),
            related=tuple(
                it
                for it in self.related
                if names.issuperset((*self.sources_of(it.one), *self.sources_of(it.other)))
            ),
            classes=self.classes if self.classes and self.classes.name in names else None,
        )

    def bounded(self) -> ComparedTable:
        """Return the table with only those derived numbers that have bounds or a relation."""
        needed = {part for one in self.derived if one.usual for part in (one.name, *one.columns)}
        needed |= {name for it in self.related for name in (it.one, it.other)}
        return dataclasses.replace(
            self, derived=tuple(one for one in self.derived if one.name in needed)
        )

    def sources_of(self, name: str) -> tuple[str, ...]:
        """Return the columns that a column, or a derived number, is made of."""
        for one in self.derived:
            if one.name == name:
                return tuple(
                    dict.fromkeys(it for part in one.columns for it in self.sources_of(part))
                )
        return (name,)

    def title_of(self, name: str) -> str:
        """Return the words for a column, or a derived number."""
        return next((one.title for one in self.derived if one.name == name), name)


def units_of(unit: str) -> Mapping[str, float]:
    """Return the factors by which another unit, or a moved decimal point, multiplies a number."""
    others = {
        f"{other} in place of {unit}": units[unit] / size
        for units in _UNITS
        if unit in units
        for other, size in units.items()
        if other != unit
    }
    return {**others, **DECIMALS}


def ratio_bounds(least: float, most: float) -> tuple[float, float]:
    """Return the bounds of a logarithm of a ratio."""
    return math.log(least), math.log(most)
