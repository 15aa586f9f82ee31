"""Columns of a table: names, type, bounds and moment, said once.

Requests, forms, files, the log and the description for machines are derived from it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

Kind = Literal["number", "category", "time", "yes_no"]
#: Values that stand for one that a request leaves out: the present moment, and the one that is
#: computed from the other values of the row.
Default = Literal["", "now", "computed"]


@dataclass(frozen=True)
class Scale:
    """Bins in which values are counted, from 0 on; each value in the nearest of them.

    Parameters
    ----------
    width
        Distance of two bins, in the unit of the column; 1 of whole numbers.
    end
        The last bin; larger values are counted in it.
    """

    width: float
    end: float

    @property
    def bins(self) -> int:
        """Number of bins."""
        return round(self.end / self.width) + 1

    @property
    def whole(self) -> bool:
        """True if each bin is a value, so that values can be compared as categories are."""
        return self.width == 1


@dataclass(frozen=True)
class Column:
    """A column that a model may be asked with.

    Parameters
    ----------
    name
        Name in frames, and in stored models.
    field
        Name in requests, forms and the log.
    kind
        Type of its values. Categories are codes (whole numbers, which may have names) or texts.
    title, description
        For people, in forms and descriptions.
    known
        The moment from which its value is known.
    lowest, highest
        Bounds, both included; of a time, years.
    noun
        Word for one value, in messages.
    published
        Names in published files and in requests of their readers, by variant.
    aliases
        Further names in requests.
    text
        Whether categories are texts; otherwise they are codes.
    categories
        Texts that are known beforehand; others are unknown to a model, and not refused.
    unit
        For people.
    required
        Whether a model needs a value. A value of another column may be unknown to it.
    default
        Assumed where the value of a required column is left out; empty if the row is refused.
    example
        A value, as JSON.
    scale
        How profiles count its values; None of a time. Drift compares a whole scale value by value,
        any other one by deciles.
    """

    name: str
    field: str
    kind: Kind
    title: str
    description: str
    known: str
    lowest: float
    highest: float
    noun: str = "number"
    published: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unit: str = ""
    required: bool = False
    default: Default = ""
    example: Any = None
    scale: Scale | None = None
    aliases: tuple[str, ...] = ()
    text: bool = False
    categories: tuple[str, ...] = ()

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Every name under which a value may be given, that of requests first."""
        return tuple(
            dict.fromkeys((self.field, self.name, *self.published.values(), *self.aliases))
        )

    @property
    def wanted(self) -> str:
        """A value and its bounds in words: ``a number from 1 to 265``."""
        article = "an" if self.noun[0] in "aeiou" else "a"
        bounds = self.bounds
        return f"{article} {self.noun} {'from ' if ' to ' in bounds else ''}{bounds}".rstrip()

    @property
    def bounds(self) -> str:
        """Bounds in words: ``1 to 265``, ``of 0 or more min``; the unit alone without any."""
        unit = f" {self.unit}" if self.unit else ""
        if math.isfinite(self.lowest) and math.isfinite(self.highest):
            return f"{_number(self.lowest)} to {_number(self.highest)}{unit}"
        if math.isfinite(self.lowest):
            return f"of {_number(self.lowest)} or more{unit}"
        if math.isfinite(self.highest):
            return f"of {_number(self.highest)} or less{unit}"
        return f"of{unit}" if unit else ""


def _number(bound: float) -> str:
    return f"{bound:,.0f}" if float(bound).is_integer() else f"{bound:,g}"


class Columns(tuple[Column, ...]):  # noqa: SLOT001 - it caches what is derived
    """The columns of a table, in the order in which rows of numbers hold them."""

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names in frames."""
        return tuple(column.name for column in self)

    @functools.cached_property
    def fields(self) -> tuple[str, ...]:
        """Names in requests."""
        return tuple(column.field for column in self)

    @functools.cached_property
    def places(self) -> Mapping[str, int]:
        """Places in a row, by names in frames."""
        return MappingProxyType({name: place for place, name in enumerate(self.names)})

    @functools.cached_property
    def by_any_name(self) -> Mapping[str, int]:
        """Places in a row, by every name that is taken."""
        return MappingProxyType(
            {name: place for place, column in enumerate(self) for name in column.names}
        )

    @functools.cached_property
    def required(self) -> frozenset[str]:
        """Names in frames of the columns that a model needs a value of."""
        return frozenset(column.name for column in self if column.required)

    @functools.cached_property
    def texts(self) -> frozenset[str]:
        """Names in frames of the columns whose values are texts."""
        return frozenset(column.name for column in self if column.text)

    @functools.cached_property
    def computed(self) -> frozenset[str]:
        """Names in frames of the columns that are computed where they are left out."""
        return frozenset(column.name for column in self if column.default == "computed")

    def given(self, names: Iterable[str]) -> set[str]:
        """Return the columns, by names in frames, that are given under any of their names."""
        places = self.by_any_name
        return {self[places[name]].name for name in names if name in places}

    def by_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        """Return the columns of some types."""
        return tuple(column for column in self if column.kind in kinds)
