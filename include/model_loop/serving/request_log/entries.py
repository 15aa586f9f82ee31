"""Entries of the request log, and the batches in which they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from model_loop.serving.models.predictor import ServedVersion

#: Entries that are worked on without a break. After each such part comes a moment without work:
#: answers wait for the interpreter's lock, or on a small machine for the core.
PART = 100
PAUSE_SECONDS = 0.0005

#: Parts of the champion's answers to requests that were assigned to the challenger: its declaration
#: refuses the rows, it has failed, it is being loaded, or it cannot be loaded.
REFUSED, FAILED, LOADING, UNLOADABLE = "refused", "failed", "loading", "unloadable"
STAND_INS = (REFUSED, FAILED, LOADING, UNLOADABLE)


class Entry(NamedTuple):
    """One prediction.

    Parameters
    ----------
    prediction_id
        At most 32 characters.
    at
        Seconds since 1970.
    service, version, part
        Variant and version that answered, and its part: ``champion``, ``challenger``, ``form``, or
        one of `STAND_INS`.
    caller, key
        Name of the token or user, and the key that the request came with.
    prediction, latency_ms
        Prediction, and time of the answer.
    row
        The row, in the order of the table's columns.
    declaration
        Digest of the stored declaration by which it was read; empty where there is none.
    shadowed
        Digest of the shadow's declaration, and the row as that one reads it; None where it is the
        same, or refuses the row.
    lower, upper, level
        Interval around the prediction; see `scoring.limits`.
    label, probabilities
        Predicted class, and the probability of each class by its label; None of a number. The
        prediction is a probability then; see `scoring.outcomes.Outcome`.
    """

    prediction_id: str
    at: float
    service: str
    version: int
    part: str
    caller: str
    key: str | None
    prediction: float
    latency_ms: float
    row: Sequence[Any]
    declaration: str = ""
    shadowed: tuple[str, Sequence[Any]] | None = None
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    label: str | int | None = None
    probabilities: dict[str, float] | None = None

    def row_by(self, declaration: str) -> Sequence[Any] | None:
        """Return the row as a declaration reads it; None where it has not read it."""
        if declaration == self.declaration:
            return self.row
        if self.shadowed is not None and self.shadowed[0] == declaration:
            return self.shadowed[1]
        return None


Shadowed = tuple[int, float, dict[str, float] | None]
"""Version of a shadow, its prediction, and its probabilities of classes; see `Batch`."""


class Batch(msgspec.Struct, tag=True):
    """Entries to write in one transaction.

    Parameters
    ----------
    entries
        Predictions.
    lost
        Predictions that were dropped, in all, by the name of the spool that has counted them.
    shadow
        Version and prediction of a shadow that was asked already, by the place of the entry; of
        several classes, its probability of the class that was answered. For classes also the
        probability of each.
    declarations
        Stored declarations that the database may not have yet, by their digests.
    """

    entries: list[Entry]
    lost: dict[str, int] = {}
    shadow: dict[int, Shadowed] = {}
    declarations: dict[str, str] = {}


class WriteResult(msgspec.Struct):
    """Result of writing a batch.

    Parameters
    ----------
    left
        Places of the entries that are not written, and have to be tried again.
    unfit
        Places of those that no database takes.
    noted
        Whether the losses are written down.
    problem
        Reason why something is left; empty if nothing is.
    shadowed, shadow_difference
        Number of the written ones that the shadow has answered too, and by how much it differs
        from them in all.
    """

    left: list[int] = []
    unfit: list[int] = []
    noted: bool = True
    problem: str = ""
    shadowed: int = 0
    shadow_difference: float = 0.0


class Writer(Protocol):
    """Writes batches into the database, one after the other."""

    def start(self) -> None:
        """Get ready."""

    def follow(self, shadows: Mapping[str, ServedVersion]) -> None:
        """From now on, ask these versions of each variant too what they say of what is written."""

    def write(self, batch: Batch) -> WriteResult:
        """Write a batch; entries that are written already are not doubled."""

    def close(self) -> None:
        """End; nothing is written afterwards."""
