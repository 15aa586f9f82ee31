"""Rows in the order of their scores: all curves of a class come from these counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Points of a curve, at most.
CURVE_POINTS = 400

_Floats = npt.NDArray[np.float64]
_Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """Counts of rows whose score is at least a threshold.

    Parameters
    ----------
    thresholds
        The distinct scores, descending.
    hits, alarms
        Positive and negative rows with at least this score.
    """

    thresholds: _Floats
    hits: _Counts
    alarms: _Counts

    @classmethod
    def of(cls, positive: npt.NDArray[np.bool_], score: _Floats) -> Ranking:
        """Count the rows by their scores; both arrays of shape (rows,)."""
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        last = np.flatnonzero(np.diff(ordered, append=-np.inf))
        hits = np.cumsum(positive[order], dtype=np.int64)[last]
        return cls(ordered[last], hits, last + 1 - hits)

    @property
    def positives(self) -> int:
        """Number of positive rows."""
        return int(self.hits[-1]) if len(self.hits) else 0

    @property
    def negatives(self) -> int:
        """Number of negative rows."""
        return int(self.alarms[-1]) if len(self.alarms) else 0

    @property
    def is_mixed(self) -> bool:
        """True if there are positive and negative rows: without both, there is no curve."""
        return bool(self.positives and self.negatives)

    def area(self) -> float:
        """Return the area under the ROC curve."""
        return float(np.trapezoid(*self._roc()[::-1]))

    def average_precision(self) -> float:
        """Return the mean precision over the steps of recall."""
        return float(np.diff(self.hits, prepend=0) @ self._precision() / self.positives)

    def roc(self, most: int = CURVE_POINTS) -> tuple[_Floats, _Floats]:
        """Return false-positive and true-positive rates at the corners of the ROC curve."""
        x, y = self._roc()
        across, up = np.diff(self.alarms, prepend=0), np.diff(self.hits, prepend=0)
        turns = across[:-1] * up[1:] != across[1:] * up[:-1]
        corners = np.concatenate([[True], turns, [True]])
        return _thinned(x[corners], y[corners], most)

    def precision_recall(self, most: int = CURVE_POINTS) -> tuple[_Floats, _Floats]:
        """Return recall and precision, from the highest threshold to that of the last hit."""
        end = int(np.searchsorted(self.hits, self.positives)) + 1
        precision, recall = self._precision()[:end], self.hits[:end] / self.positives
        # The first step begins at a recall of 0.
        return _thinned(
            np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision]), most
        )

    def gains(self, most: int = CURVE_POINTS) -> tuple[_Floats, _Floats]:
        """Return the share of the rows with the highest scores, and that of the positives there."""
        rows = self.hits + self.alarms
        return _thinned(
            np.concatenate([[0.0], rows / rows[-1]]),
            np.concatenate([[0.0], self.hits / self.positives]),
            most,
        )

    def confusion(self, thresholds: _Floats) -> _Counts:
        """Count the rows that are predicted positive from each threshold on.

        Returns
        -------
        numpy.ndarray
            True negatives, false positives, false negatives and true positives, of shape
            (thresholds, 4).
        """
        above = np.searchsorted(-self.thresholds, -thresholds, side="right")
        hits = np.concatenate([[0], self.hits])[above]
        alarms = np.concatenate([[0], self.alarms])[above]
        return np.column_stack([self.negatives - alarms, alarms, self.positives - hits, hits])

    def _roc(self) -> tuple[_Floats, _Floats]:
        x = np.concatenate([[0], self.alarms]) / self.negatives
        return x, np.concatenate([[0], self.hits]) / self.positives

    def _precision(self) -> _Floats:
        precision: _Floats = self.hits / (self.hits + self.alarms)
        return precision


def _thinned(x: _Floats, y: _Floats, most: int) -> tuple[_Floats, _Floats]:
    """Keep some of the points, evenly along the curve, with both ends; none is moved."""
    if len(x) <= most:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    cells = np.floor(length / length[-1] * (most - 2)).astype(int)
    kept = np.flatnonzero(np.diff(cells, prepend=-1) > 0)
    kept = np.unique(np.append(kept, len(x) - 1))
    return x[kept], y[kept]
