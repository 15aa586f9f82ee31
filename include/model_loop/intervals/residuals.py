"""Residuals that may calibrate an interval: of rows that their model did not learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.errors import InvalidInputError
from model_loop.intervals.scores import Numbers

#: Parts whose rows may calibrate. Of folds, each row was predicted by a model of other rows.
CALIBRATING = ("validation", "folds", "calibration")


def digest_of(actual: Numbers) -> str:
    """Return the digest (sha256, hex) of rows, for which their true values stand in their order."""
    return hashlib.sha256(np.ascontiguousarray(actual, dtype=np.float64).data).hexdigest()


@dataclass(frozen=True)
class Residuals:
    """True values with their predictions, and where both come from.

    Parameters
    ----------
    part
        Part that the rows are of, one of `CALIBRATING`.
    actual, predicted
        True values and predictions, each of shape (rows,).
    learned
        Digests of the rows that the predicting model has learned from; see `digest_of`.
    judged
        Digest of the rows by which models are judged, that of no rows if empty.
    times
        Seconds since 1970 on the clocks of the table, shape (rows,); None if there are none.

    Raises
    ------
    InvalidInputError
        If the rows are not such that an interval of them would hold for others.
    """

    part: str
    actual: Numbers
    predicted: Numbers
    learned: Collection[str] = field(repr=False)
    judged: str = field(repr=False)
    times: Numbers | None = None

    def __post_init__(self) -> None:
        """Refuse rows that were learned from, or that are kept to judge by."""
        given, rows = f"Residuals of the part {self.part!r}", self.rows
        if self.part not in CALIBRATING or rows == self.judged:
            raise InvalidInputError(
                given,
                "are not of rows that may calibrate an interval",
                f"Those of {', '.join(CALIBRATING)} may: models are judged by others.",
            )
        if rows in self.learned:
            raise InvalidInputError(
                given,
                "are of rows that the model has learned from: later ones are missed by more",
                "Predict them by a model that was fitted without them.",
            )
        numbers = (self.actual, self.predicted)
        if not len(self.actual) or not all(np.isfinite(values).all() for values in numbers):
            raise InvalidInputError(
                given, "hold no row, or a value that is not finite", "Leave such rows out."
            )

    @property
    def rows(self) -> str:
        """Digest of the rows."""
        return digest_of(self.actual)


def part_of(residuals: Residuals, rows: npt.NDArray[Any]) -> Residuals:
    """Return the residuals of some rows, given by a mask or by their positions."""
    return replace(
        residuals,
        actual=residuals.actual[rows],
        predicted=residuals.predicted[rows],
        times=None if residuals.times is None else residuals.times[rows],
    )
