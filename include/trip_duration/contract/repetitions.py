"""Rows that repeat an earlier row, found in eight bytes for each row.

A hash of every row is kept and sorted; only where two agree are the rows themselves compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from trip_duration.batches import TripBatch
from trip_duration.contract.rules import IDENTITY

Hashes = npt.NDArray[np.uint64]

# Odd constants with well mixed bits: the fractional parts of the golden ratio and of the square
# roots of primes, as SHA-512 uses them (FIPS 180-4, section 5.3.5).
_FACTORS = tuple(
    np.uint64(factor | 1)
    for factor in (
        0x9E3779B97F4A7C15,
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
    )
)


class Repetitions:
    """The hashes of a month's rows.

    Parameters
    ----------
    rows
        Rows of the month.
    """

    def __init__(self, rows: int) -> None:
        self._hashes = np.empty(rows, dtype=np.uint64)

    def add(self, batch: TripBatch) -> None:
        """Remember the rows of a batch."""
        row_hashes(batch, out=self._hashes[batch.first_row : batch.first_row + batch.rows])

    def suspects(self) -> Hashes:
        """The hashes that more than one row has; empty for nearly every month.

        The order of the rows is lost with this.
        """
        self._hashes.sort()
        again: Hashes = self._hashes[1:][self._hashes[1:] == self._hashes[:-1]]
        self._hashes = again
        return again


def row_hashes(batch: TripBatch, out: Hashes | None = None) -> Hashes:
    """A hash of each row's identity, shape (rows,); in *out* where that is given.

    Multilinear: the sum of all columns, each multiplied by a factor of its own (Lemire and Kaser,
    Strongly universal string hashing is fast, https://doi.org/10.1093/comjnl/bxt070).
    """
    mixed = np.empty(batch.rows, dtype=np.uint64) if out is None else out
    first, *others = zip(_identity(batch), _FACTORS, strict=False)
    _multiply(batch, *first, out=mixed)
    product = np.empty_like(mixed)
    for name, factor in others:
        mixed += _multiply(batch, name, factor, out=product)
    return mixed


def _multiply(batch: TripBatch, name: str, factor: np.uint64, out: Hashes) -> Hashes:
    values = batch[name]
    # Bit by bit; zones are half as wide as everything else.
    bits = values.view(np.uint32 if values.itemsize < out.itemsize else np.uint64)
    np.multiply(bits, factor, out=out)
    return out


def repeated_rows(
    batches: Iterable[TripBatch], suspects: Hashes
) -> Iterator[tuple[TripBatch, npt.NDArray[np.int64]]]:
    """Read a month again, and name the rows of each batch that repeat an earlier row."""
    seen: pd.DataFrame | None = None
    wanted = np.unique(suspects)
    for batch in batches:
        rows = np.flatnonzero(np.isin(row_hashes(batch), wanted))
        if not len(rows):
            yield batch, rows
            continue
        lines = pd.DataFrame({name: batch[name][rows] for name in _identity(batch)})
        before = 0 if seen is None else len(seen)
        seen = lines if seen is None else pd.concat([seen, lines], ignore_index=True)
        yield batch, rows[seen.duplicated().to_numpy()[before:]]


def _identity(batch: TripBatch) -> list[str]:
    return [name for name in IDENTITY if name in batch.columns]
