"""Rows that break a rule, kept aside with the reason.

The months themselves stay as they were published. A quarantine names rows by their number in the
file, and whoever reads the month passes them over: what table formats call positional deletes
(https://iceberg.apache.org/spec/#position-delete-files).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from trip_duration.batches import Array, TripBatch
from trip_duration.contract.rules import ALL_RULES, rules_with
from trip_duration.services import (
    AMOUNT,
    DROPOFF_TIME,
    DURATION,
    PICKUP_TIME,
    REQUIRED_COLUMNS,
)

#: Number of the row in the file, from 0.
ROW = "row"
#: Names of the rules that the row breaks, separated by commas.
REASONS = "reasons"
#: True for rows from which a recipe that knows no time may still learn.
SET_ASIDE = "set_aside"

_BITS = "bits"
#: Columns that are kept of a row, by our names.
KEPT = (*REQUIRED_COLUMNS, AMOUNT, DURATION)

RowNumbers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint16]

#: No row.
NONE: RowNumbers = np.empty(0, np.int64)


class QuarantineBuilder:
    """Collects the broken rows of a month.

    Parameters
    ----------
    most
        Rows beyond this number are not kept, only counted: the month will be refused.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept = 0
        self._parts: list[dict[str, Array]] = []

    def add(self, batch: TripBatch, rows: RowNumbers, bits: Bits) -> None:
        """Keep some rows of a batch, by their number in the batch, with the rules they break."""
        if self.kept > self.most:
            return
        columns = {name: batch[name][rows] for name in KEPT if name in batch.columns}
        self._parts.append({ROW: rows + batch.first_row, _BITS: bits, **columns})
        self.kept += len(rows)

    def build(self) -> pd.DataFrame:
        """One line for each row, in the order of the file, with its reasons."""
        if not self._parts:
            return _empty()
        lines = {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }
        bits = lines.pop(_BITS)
        for name in (PICKUP_TIME, DROPOFF_TIME):
            lines[name] = lines[name].view("datetime64[us]")
        reasons = {one: ", ".join(_names(one)) for one in set(bits.tolist())}
        return pd.DataFrame(
            {
                ROW: lines.pop(ROW),
                REASONS: [reasons[one] for one in bits.tolist()],
                SET_ASIDE: bits & _DROPPED == 0,
                **lines,
            }
        )


def bit_of(rule: str) -> np.uint16:
    """The bit that stands for a rule."""
    return np.uint16(1 << [one.name for one in ALL_RULES].index(rule))


def usable(bits: Bits, *, keep_set_aside: bool) -> npt.NDArray[np.bool_]:
    """Return the mask of the rows that a reader uses, by the rules that they break."""
    return np.asarray(bits & _DROPPED == 0 if keep_set_aside else bits == 0)


def _names(bits: int) -> Sequence[str]:
    return [rule.name for rule in ALL_RULES if bits & int(bit_of(rule.name))]


#: The bits of the rules whose rows nobody takes.
_DROPPED = np.uint16(sum(int(bit_of(rule)) for rule in rules_with("drop")))


def _empty() -> pd.DataFrame:
    return pd.DataFrame(
        {
            ROW: NONE,
            REASONS: pd.Series([], dtype=str),
            SET_ASIDE: np.empty(0, dtype=bool),
        }
    )


def passed_over(quarantine: pd.DataFrame, *, keep_set_aside: bool) -> RowNumbers:
    """Numbers of the rows that a reader passes over, in order."""
    rows = quarantine[ROW].to_numpy(dtype=np.int64)
    return rows[~quarantine[SET_ASIDE].to_numpy(dtype=bool)] if keep_set_aside else rows
