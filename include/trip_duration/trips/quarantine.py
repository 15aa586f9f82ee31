"""Rows that break a rule, kept aside with the reason.

The months themselves stay as they were published. A quarantine names rows by their number in the
file, and whoever reads the month passes them over: what table formats call positional deletes
(https://iceberg.apache.org/spec/#position-delete-files).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from trip_duration.trips.batches import TripBatch
from trip_duration.trips.contract import ALL_RULES, rules_with
from trip_duration.trips.services import DROPOFF_TIME, PICKUP_TIME

#: Number of the row in the file, from 0.
ROW = "row"
#: Names of the rules that the row breaks, separated by commas.
REASONS = "reasons"
#: Whether a recipe that knows no time may still learn from the row.
SET_ASIDE = "set_aside"

_BITS = "bits"

RowNumbers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint16]


@dataclass
class QuarantineBuilder:
    """Collects the broken rows of a month.

    Parameters
    ----------
    most
        Rows beyond this number are not kept, only counted: the month will be refused.
    """

    most: int
    parts: list[pd.DataFrame] = field(default_factory=list)
    kept: int = 0

    def add(self, batch: TripBatch, rows: RowNumbers, bits: Bits) -> None:
        """Keep some rows of a batch, by their number in the batch, with the rules they break."""
        if self.kept > self.most:
            return
        columns = {name: values[rows] for name, values in batch.columns.items()}
        for name in (PICKUP_TIME, DROPOFF_TIME):
            columns[name] = columns[name].view("datetime64[us]")
        self.parts.append(pd.DataFrame({ROW: rows + batch.first_row, _BITS: bits, **columns}))
        self.kept += len(rows)

    def build(self) -> pd.DataFrame:
        """One line for each row, in the order of the file, with its reasons."""
        if not self.parts:
            return _empty()
        found = pd.concat(self.parts, ignore_index=True).sort_values(ROW, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(found[ROW]) != 0])
        bits = np.bitwise_or.reduceat(found[_BITS].to_numpy(), first)
        lines = found.iloc[first].drop(columns=_BITS).reset_index(drop=True)
        lines.insert(1, REASONS, [", ".join(_names(one)) for one in bits.tolist()])
        lines.insert(2, SET_ASIDE, bits & _DROPPED == 0)
        return lines


def bit_of(rule: str) -> np.uint16:
    """The bit that stands for a rule."""
    return np.uint16(1 << [one.name for one in ALL_RULES].index(rule))


def usable(bits: Bits, *, keep_set_aside: bool) -> npt.NDArray[np.bool_]:
    """Which rows a reader takes, by the rules that they break."""
    return np.asarray(bits & _DROPPED == 0 if keep_set_aside else bits == 0)


def _names(bits: int) -> Sequence[str]:
    return [rule.name for rule in ALL_RULES if bits & int(bit_of(rule.name))]


#: The bits of the rules whose rows nobody takes.
_DROPPED = np.uint16(sum(int(bit_of(rule)) for rule in rules_with("drop")))


def _empty() -> pd.DataFrame:
    return pd.DataFrame(
        {
            ROW: np.empty(0, np.int64),
            REASONS: pd.Series([], dtype=str),
            SET_ASIDE: np.empty(0, dtype=bool),
        }
    )


def passed_over(quarantine: pd.DataFrame, *, keep_set_aside: bool) -> RowNumbers:
    """Numbers of the rows that a reader passes over, in order."""
    rows = quarantine[ROW].to_numpy(dtype=np.int64)
    return rows[~quarantine[SET_ASIDE].to_numpy(dtype=bool)] if keep_set_aside else rows
