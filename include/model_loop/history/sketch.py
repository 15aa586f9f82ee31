"""Sketches of partitions, which later ones are compared with: a bounded sample and exact counts.

The sample is drawn while the rows go by, one row of every stratum of successive rows, so that it
reaches over the whole file whatever its order. Counts by the hour, missing values and broken rules
are exact. A *key* is a hash of what a row holds besides its time; the smallest keys are kept: two
partitions that hold the same rows keep the same keys (bottom-k sketch, Cohen and Kaplan, 2007).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_loop.history.table import Array, ComparedTable, Values

#: Rows of a sample. A share of a thousandth of them is known to within a third of itself.
SAMPLE_ROWS = 16_384
#: Keys that are kept.
KEYS = 4_096
#: Raised whenever the same rows would give another sketch.
SKETCH_VERSION = 1

MICROSECONDS_PER_HOUR = 3_600_000_000

#: Odd constants with well mixed bits (fractional parts of square roots of primes, FIPS 180-4).
_FACTORS = (
    0x9E3779B97F4A7C15,
    0x6A09E667F3BCC909,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
)


@dataclass(frozen=True)
class Sketch:
    """A partition in small.

    Parameters
    ----------
    partition
        For example ``2024-01``.
    start
        Its first moment, in microseconds since 1970.
    rows
        Rows of the partition, sound or not.
    sound
        Rows that are neither set aside nor dropped.
    per_hour
        Sound rows in each hour since the start, shape (hours,).
    missing
        Share of missing values, by column; exact.
    broken
        Share of rows that break a rule of the contract, by rule; exact.
    sample
        Sound rows: columns by name, each of shape (sampled,).
    keys
        The smallest keys in order, those of repeated rows repeatedly.
    """

    partition: str
    start: int
    rows: int
    sound: int
    per_hour: Array
    missing: Mapping[str, float]
    broken: Mapping[str, float]
    sample: Mapping[str, Array]
    keys: Array

    @property
    def sampled(self) -> int:
        """Number of rows in the sample."""
        return len(next(iter(self.sample.values()), ()))

    def per_day(self) -> Array:
        """Return the sound rows of each day."""
        daily: Array = self.per_hour.reshape(-1, 24).sum(axis=1)
        return daily


class SketchBuilder:
    """Collects the sketch of a partition, batch by batch.

    Parameters
    ----------
    table
        Columns to compare.
    partition
        Name of the partition.
    start, end
        Its first moment and that of the next one, in microseconds since 1970.
    rows
        Number of rows that will come.
    """

    def __init__(
        self, table: ComparedTable, partition: str, start: int, end: int, rows: int
    ) -> None:
        self._table, self._partition, self._start = table, partition, start
        self._rows, self._sound = rows, 0
        self._hours = (end - start) // MICROSECONDS_PER_HOUR
        self._per_hour = np.zeros(self._hours, dtype=np.int64)
        self._numbers = _sampled_rows(rows)
        self._parts: dict[str, list[Array]] = {column.name: [] for column in table.columns}
        self._keys = np.empty(0, dtype=np.uint64)

    def add(self, first_row: int, sound: npt.NDArray[np.bool_], columns: Values) -> None:
        """Add successive rows.

        Parameters
        ----------
        first_row
            Number of the first of them in the partition.
        sound
            Rows to be looked at.
        columns
            All columns of the table, each of shape (rows,).
        """
        self._sound += int(np.count_nonzero(sound))
        hours = (columns[self._table.time] - self._start) // MICROSECONDS_PER_HOUR
        everything = self._sound == first_row + len(sound)
        self._per_hour += np.bincount(hours if everything else hours[sound], minlength=self._hours)
        low, high = np.searchsorted(self._numbers, (first_row, first_row + len(sound)))
        rows = self._numbers[low:high] - first_row
        rows = rows[sound[rows]]
        for name, parts in self._parts.items():
            parts.append(columns[name][rows])
        self._add_keys(columns, sound)

    def build(self, missing: Mapping[str, float], broken: Mapping[str, float]) -> Sketch:
        """Return the sketch of what was added."""
        return Sketch(
            partition=self._partition,
            start=self._start,
            rows=self._rows,
            sound=self._sound,
            per_hour=self._per_hour,
            missing=dict(missing),
            broken=dict(broken),
            sample={
                name: np.concatenate(parts) if parts else np.empty(0)
                for name, parts in self._parts.items()
            },
            keys=np.sort(self._keys),
        )

    def _add_keys(self, columns: Values, sound: npt.NDArray[np.bool_]) -> None:
        keys = _keys_of([columns[name] for name in self._table.identity])
        limit = self._keys.max() if len(self._keys) == KEYS else np.iinfo(np.uint64).max
        known = np.concatenate([self._keys, keys[sound & (keys < limit)]])
        self._keys = np.partition(known, KEYS)[:KEYS] if len(known) > KEYS else known


def _sampled_rows(rows: int) -> npt.NDArray[np.int64]:
    """Draw one row of every stratum, the same for every partition with so many rows."""
    if rows <= SAMPLE_ROWS:
        return np.arange(rows)
    draws = np.random.default_rng(rows).random(SAMPLE_ROWS)
    return np.asarray((np.arange(SAMPLE_ROWS) + draws) * (rows / SAMPLE_ROWS), dtype=np.int64)


def _keys_of(columns: list[Array]) -> npt.NDArray[np.uint64]:
    """Hash rows: a sum of products, whose low bits are mixed in so that the order is random."""
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    product = np.empty_like(mixed)
    for number, values in enumerate(columns):
        turn, which = divmod(number, len(_FACTORS))
        bits = values.view(f"u{values.itemsize}")
        mixed += np.multiply(bits, np.uint64(_FACTORS[which] ^ (turn << 1)), out=product)
    mixed ^= np.right_shift(mixed, np.uint64(29), out=product)
    mixed *= np.uint64(_FACTORS[2])
    mixed ^= np.right_shift(mixed, np.uint64(32), out=product)
    return mixed
