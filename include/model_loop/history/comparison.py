"""A partition and its history, counted in the same bins."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.findings import FindingLevel
from model_loop.history.calendar import Calendar
from model_loop.history.coding import (
    HOUR,
    Codes,
    Coding,
    NumberCoder,
    complete,
)
from model_loop.history.counting import Counted, beyond_chance, deviation_by_chance
from model_loop.history.reference import ReferenceModel, fit_all
from model_loop.history.sketch import MICROSECONDS_PER_HOUR, Sketch
from model_loop.history.table import Array, ComparedTable, Values

#: Rows of history that are looked at, of all partitions together.
_MOST_ROWS = 49_152
_HOURS_PER_WEEK = 24 * 7
#: The days of a month after so many weeks are too few to tell.
_WEEKS = 4
#: A partition of fewer rows is not compared.
LEAST_ROWS = 1_000
#: Rows of history that a cause is tried on.
_TRIED_ROWS = 6_000
#: A week of fewer rows does not tell how much weeks vary.
_LEAST_WEEKLY = 300
#: Standard deviations within which a change counts as chance.
_CHANCE = 3.5
#: Name of what is left of a number when the other columns have explained it.
REST = "{name} given the other columns"


@dataclass(frozen=True)
class Coded:
    """Some rows with their codes.

    Parameters
    ----------
    values
        Columns, derived numbers, hour, and what the reference models leave of each number.
    codes
        The same rows, coded.
    """

    values: Values
    codes: dict[str, Codes]


class Past:
    """History: the partitions before, coded and counted.

    Parameters
    ----------
    table
        Columns and relations to compare.
    sketches
        The partitions, the oldest first; at least one of them has rows.
    calendar
        The days of the week that count.
    """

    def __init__(
        self, table: ComparedTable, sketches: Sequence[Sketch], calendar: Calendar
    ) -> None:
        self.table = table
        self.calendar = calendar
        self.sketches = [sketch for sketch in sketches if sketch.sampled]
        each = max(_MOST_ROWS // len(self.sketches), 1)
        chosen = [
            _chosen(calendar.chosen(sketch.sample[table.time]), each) for sketch in self.sketches
        ]
        parts = list(zip(self.sketches, chosen, strict=True))
        raw = {
            name: np.concatenate([sketch.sample[name][rows] for sketch, rows in parts])
            for name in self.sketches[0].sample
        }
        self.partition_of = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
        starts = np.array([sketch.start for sketch in self.sketches])[self.partition_of]
        weeks = (raw[table.time] - starts) // (MICROSECONDS_PER_HOUR * _HOURS_PER_WEEK)
        self.week_of = np.where(weeks < _WEEKS, self.partition_of * _WEEKS + weeks, -1)
        self.raw = raw
        values = complete(table, raw)
        self.coding = Coding.learn(table, values)
        codes = self.coding.codes(values)
        self.models = fit_all(table, self.coding, codes, values)
        rests = {
            name: self._rest(name, model, values, codes) for name, model in self.models.items()
        }
        self.rests = {name: NumberCoder.learn(rest, signed=True) for name, rest in rests.items()}
        self.coded = self._with_rests(values, codes, rests)

    def code(self, columns: Values) -> Coded:
        """Code rows as history is coded."""
        values = complete(self.table, columns)
        return self._all_coded(values, self.coding.codes(values))

    @functools.cached_property
    def tried(self) -> tuple[dict[str, Counted], dict[str, dict[str, Counted]]]:
        """Counts of the rows that causes are tried on, and of these after each cause."""
        return count(self, self._rows_to_try[1].codes), {}

    def after(
        self, change: Callable[[Values], Values], altered: frozenset[str]
    ) -> dict[str, Counted]:
        """Count the rows that causes are tried on after some of their columns were altered."""
        rows, plain = self._rows_to_try
        values = complete(self.table, change(rows))
        names = frozenset(name for name in self.coding.names if altered & {*self.sources_of(name)})
        codes = {**plain.codes, **self.coding.codes(values, names)}
        if altered == {self.table.time}:
            # The hour of the day is too weak an input to show in what is left.
            return count(self, codes)
        return count(self, self._all_coded(values, codes).codes)

    @functools.cached_property
    def _rows_to_try(self) -> tuple[Values, Coded]:
        step = max(len(self.partition_of) // _TRIED_ROWS, 1)
        rows = {name: values[::step] for name, values in self.raw.items()}
        return rows, self.code(rows)

    def _all_coded(self, values: dict[str, Array], codes: dict[str, Codes]) -> Coded:
        rests = {
            name: self._rest(name, model, values, codes) for name, model in self.models.items()
        }
        return self._with_rests(values, codes, rests)

    def _with_rests(
        self, values: Values, codes: dict[str, Codes], rests: Mapping[str, Array]
    ) -> Coded:
        titled = {REST.format(name=name): rest for name, rest in rests.items()}
        coded = {
            REST.format(name=name): self.rests[name].codes(rest, signed=True)
            for name, rest in rests.items()
        }
        return Coded({**values, **titled}, {**codes, **coded})

    def size(self, name: str) -> int:
        """Return the number of codes of a column."""
        rests = {REST.format(name=one): coder.size for one, coder in self.rests.items()}
        return rests.get(name) or self.coding.size(name)

    def scores(self, name: str) -> Array:
        """Return the middle rank of each code of a number."""
        rests = {REST.format(name=one): coder.scores for one, coder in self.rests.items()}
        return rests[name] if name in rests else self.coding.numbers[name].scores

    @functools.cached_property
    def counted(self) -> dict[str, Counted]:
        """All rows of history."""
        return count(self, self.coded.codes)

    @functools.cached_property
    def partitions(self) -> dict[str, list[Counted]]:
        """Each partition by itself."""
        return self._by(self.partition_of, len(self.sketches))

    @functools.cached_property
    def weeks(self) -> dict[str, list[Counted]]:
        """Each week that has enough rows."""
        return self._by(self.week_of, _WEEKS * len(self.sketches))

    @functools.cached_property
    def variation(self) -> dict[str, float]:
        """Variation of each column between weeks and between partitions, beyond chance."""
        found = {}
        for name, counted in self.counted.items():
            weekly = [beyond_chance(week, counted) for week in self.weeks[name]]
            monthly = [beyond_chance(one, counted) for one in self.partitions[name]]
            of_months = max(monthly) if len(monthly) > 1 else 0.0
            found[name] = max(float(np.mean(weekly)) if weekly else 0.0, of_months)
        return found

    def sources_of(self, name: str) -> tuple[str, ...]:
        """Return the columns that a column, a derived number or a rest is about."""
        for model in self.models:
            if name == REST.format(name=model):
                return (model,)
        return (self.table.time,) if name == HOUR else self.table.sources_of(name)

    def _by(self, groups: Codes, number: int) -> dict[str, list[Counted]]:
        found: dict[str, list[Counted]] = {}
        for name, codes in self.coded.codes.items():
            size = self.size(name)
            used = groups >= 0
            table = np.bincount(groups[used] * size + codes[used], minlength=number * size)
            rows = table.reshape(number, size)
            found[name] = [
                Counted(row / row.sum(), int(row.sum()))
                for row in rows
                if row.sum() >= _LEAST_WEEKLY
            ]
        return found

    def _rest(
        self, name: str, model: ReferenceModel, values: Values, codes: dict[str, Codes]
    ) -> Array:
        return self.coding.transformed(name, values[name]) - model.predict(codes)


class Comparison:
    """A new partition beside its history.

    Parameters
    ----------
    past
        History.
    sketch
        The new partition.
    """

    def __init__(self, past: Past, sketch: Sketch) -> None:
        self.past, self.sketch = past, sketch
        self.coded = past.code(sketch.sample)
        self.counted = count(past, self.coded.codes)
        self._explained: dict[str, FindingLevel] = {}

    @property
    def months_apart(self) -> float:
        """Months from the beginning of the latest partition of history to that of this one."""
        latest = max(sketch.start for sketch in self.past.sketches)
        return max(self.sketch.start - latest, 0) / (MICROSECONDS_PER_HOUR * 24 * 30.4)

    def explain(self, columns: Iterable[str], level: FindingLevel) -> None:
        """Note that a cause is known of whatever is unusual about some columns."""
        causes = set(columns)
        for name in self.counted:
            # The residual of a number depends on every other column.
            if name not in self.past.coding.names or causes & {*self.past.sources_of(name)}:
                self._explained.setdefault(name, level)

    def is_news(self, name: str, level: FindingLevel) -> bool:
        """Return whether a finding about a counted column says more than a known cause."""
        known = self._explained.get(name)
        return known is None or (known, level) == ("warning", "refused")

    @functools.cached_property
    def shift(self) -> dict[str, float]:
        """Total variation of each column from history, beyond the most that chance gives."""
        found = {}
        for name, counted in self.counted.items():
            before = self.past.counted[name]
            spread = _CHANCE * deviation_by_chance(before.shares, counted.rows, before.rows)
            found[name] = max(0.0, beyond_chance(counted, before) - spread)
        return found


def count(past: Past, codes: dict[str, Codes]) -> dict[str, Counted]:
    """Count coded rows."""
    return {name: Counted.of(found, past.size(name)) for name, found in codes.items()}


def _chosen(wanted: npt.NDArray[np.bool_], most: int) -> Codes:
    rows = np.flatnonzero(wanted)
    if len(rows) <= most:
        return rows
    return rows[np.asarray(np.arange(most) * (len(rows) / most), dtype=np.int64)]
