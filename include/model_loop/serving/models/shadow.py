"""Shadow predictions: a version on trial predicts trips that another version has answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import PART, PAUSE_SECONDS, Entry

logger = logging.getLogger(__name__)


def ask_shadow(shadow: ServedVersion, entries: Sequence[Entry]) -> dict[int, tuple[int, float]]:
    """Version and minutes, by the place of the entry, of those that hold what it needs."""
    said: dict[int, tuple[int, float]] = {}
    for first in range(0, len(entries), PART):
        if first:
            time.sleep(PAUSE_SECONDS)
        given = [entry.row for entry in entries[first : first + PART]]
        try:
            # Rows that a damaged spool has left may be of any length.
            rows = np.array(given, dtype=np.float64)
            able = np.flatnonzero(~np.isnan(rows[:, shadow.places]).any(axis=1))
            minutes = shadow.predict(rows[able])
        except Exception:
            # The shadow is on trial; the log is not.
            logger.exception("The shadow, version %d, failed", shadow.version)
            return {}
        for place, one in zip((first + able).tolist(), minutes.tolist(), strict=True):
            said[place] = (shadow.version, one)
    return said
