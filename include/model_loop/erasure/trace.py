"""Results of a search: where rows of an identity are, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Fate of rows: they go, their inputs go, what was made of them goes, or nothing can be
#: done here.
Fate = Literal["removed", "masked", "made again", "not changed"]


@dataclass(frozen=True)
class Trace:
    """Rows of an identity in one place.

    Parameters
    ----------
    store
        Kind of the place, as a person says it.
    address
        Table, file, or version of a model.
    rows
        Number of rows; 0 of what was made of such rows.
    outcome
        What becomes of them.
    note
        What has to be known, or done elsewhere.
    """

    store: str
    address: str
    rows: int
    outcome: Fate
    note: str = ""

    @property
    def is_left(self) -> bool:
        """True if it cannot be changed here."""
        return self.outcome == "not changed"
