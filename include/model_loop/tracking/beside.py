"""Small files beside a stored model: what it has learned from, its intervals, and its decision."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model_loop.datasets.learned import LearnedValues
from model_loop.intervals.calibrated import Intervals
from model_loop.models.classification.decision import Decision
from model_loop.objects.documents import UNREADABLE, record_of, text_of
from model_loop.tracking.names import DECISION, INTERVALS

#: Folder of further files beside a model, as MLflow calls it, and ours in it.
_EXTRA_FILES, _LEARNED = "extra_files", "learned_values.json"

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", LearnedValues, Intervals, Decision)


@dataclass(frozen=True)
class Beside:
    """Data that are stored beside a model.

    Parameters
    ----------
    learned
        Values that it has learned from; None where they are unknown.
    intervals
        Intervals around its predictions; None where there are none.
    decision
        Threshold, calibration and class sets of a classifier; None of a regressor.
    """

    learned: LearnedValues | None = None
    intervals: Intervals | None = None
    decision: Decision | None = None

    def write(self, folder: Path) -> list[str]:
        """Write a file for each of them; return their paths."""
        stored = {_LEARNED: self.learned, INTERVALS: self.intervals, DECISION: self.decision}
        written = []
        for name, content in stored.items():
            if content is not None:
                (folder / name).write_text(text_of(content))
                written.append(str(folder / name))
        return written


def learned_of(folder: Path) -> LearnedValues | None:
    """Return what a stored model has learned from; None if that is not there or cannot be read."""
    return _beside(folder, _LEARNED, LearnedValues)


def intervals_of(folder: Path) -> Intervals | None:
    """Return the intervals of a stored model; None if they are not there or cannot be read."""
    return _beside(folder, INTERVALS, Intervals)


def decision_of(folder: Path) -> Decision | None:
    """Return the decision of a stored model; None if it is not there or cannot be read."""
    return _beside(folder, DECISION, Decision)


def _beside(folder: Path, name: str, kind: type[Kind]) -> Kind | None:
    place = folder / _EXTRA_FILES / name
    if not place.exists():
        return None
    try:
        return record_of(kind, json.loads(place.read_bytes()))
    except UNREADABLE as error:
        # The model answers all the same, without notices or limits.
        logger.warning("%s cannot be read: %s", place, error)
        return None
