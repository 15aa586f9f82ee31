"""Likely causes: what somebody may have done to the rows of history to make these of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from model_loop.history.table import Array, ComparedTable, Values

Change = Callable[[dict[str, Array]], None]
"""Alters columns in place."""

_MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Cause:
    """One way in which rows are damaged.

    Parameters
    ----------
    code
        Code of the finding.
    columns
        The columns that it alters.
    message
        Description, as a clause that continues "…% of the rows".
    remedy
        Remedy, as a sentence.
    change
        Does it to some rows.
    """

    code: str
    columns: tuple[str, ...]
    message: str
    remedy: str
    change: Change

    def apply(self, columns: Values) -> dict[str, Array]:
        """Return the columns after it."""
        changed = dict(columns)
        self.change(changed)
        return changed


def causes_of(table: ComparedTable) -> Iterator[Cause]:
    """Yield every cause that a table can suffer from."""
    for name in table.of_kind("number"):
        for words, factor in (table.column(name).units or {}).items():
            yield _unit(name, words, factor)
        yield _shuffled(name)
        yield _noisy(name)
    for name in table.of_kind("category"):
        yield _shuffled(name)
        if not table.column(name).text:
            yield from (_recoded(name, step) for step in (-1, 1))
    for kind in ("number", "category"):
        for one, other in itertools.combinations(table.of_kind(kind), 2):
            yield _swapped(one, other)
    for name in table.of_kind("time"):
        for hours in (*range(-12, 0), *range(1, 13)):
            yield _clock(name, hours)
        yield _half_day(name)


def _unit(name: str, words: str, factor: float) -> Cause:
    def change(columns: dict[str, Array]) -> None:
        columns[name] = columns[name] * factor

    return Cause(
        "another_unit",
        (name,),
        f"seem to hold {name} in another unit ({words}, a factor of {factor:.4g})",
        f"Convert {name} to the unit of the earlier partitions, or fetch the file again.",
        change,
    )


def _shuffled(name: str) -> Cause:
    def change(columns: dict[str, Array]) -> None:
        columns[name] = np.random.default_rng(0).permutation(columns[name])

    return Cause(
        "shuffled_column",
        (name,),
        f"seem to hold the {name} of other rows: its values were shuffled or shifted",
        "Fetch the file again: the values of a row no longer belong together.",
        change,
    )


def _noisy(name: str) -> Cause:
    def change(columns: dict[str, Array]) -> None:
        values = columns[name]
        noise = np.random.default_rng(0).normal(0.0, 0.6, len(values))
        columns[name] = values * np.exp(noise)

    return Cause(
        "noisy_column",
        (name,),
        f"seem to hold {name} with noise in it",
        f"Check how {name} is recorded, and fetch the file again.",
        change,
    )


def _recoded(name: str, step: int) -> Cause:
    def change(columns: dict[str, Array]) -> None:
        columns[name] = columns[name] + step

    return Cause(
        "recoded_categories",
        (name,),
        f"seem to have codes of {name} that are {'one higher' if step > 0 else 'one lower'} "
        "than before",
        f"Map the codes of {name} to those of the earlier partitions.",
        change,
    )


def _swapped(one: str, other: str) -> Cause:
    def change(columns: dict[str, Array]) -> None:
        columns[one], columns[other] = columns[other], columns[one]

    return Cause(
        "swapped_columns",
        (one, other),
        f"seem to have {one} and {other} swapped",
        f"Exchange the columns {one} and {other}, or fetch the file again.",
        change,
    )


def _clock(name: str, hours: int) -> Cause:
    def change(columns: dict[str, Array]) -> None:
        columns[name] = columns[name] + hours * _MICROSECONDS_PER_HOUR

    return Cause(
        "another_clock",
        (name,),
        f"seem to have {name} on another clock ({hours:+d} hours: another time zone)",
        f"Convert {name} to the time zone of the earlier partitions.",
        change,
    )


def _half_day(name: str) -> Cause:
    half = 12 * _MICROSECONDS_PER_HOUR

    def change(columns: dict[str, Array]) -> None:
        day = columns[name] - columns[name] % (2 * half)
        columns[name] = day + columns[name] % half

    return Cause(
        "another_clock",
        (name,),
        f"seem to have {name} on a clock of twelve hours (AM and PM were lost)",
        f"Read {name} with AM and PM.",
        change,
    )


def altered(names: Mapping[str, tuple[str, ...]], cause: Cause) -> tuple[str, ...]:
    """Return which of the counted columns a cause can alter, by what each is made of."""
    return tuple(
        name for name, sources in names.items() if not set(sources).isdisjoint(cause.columns)
    )
