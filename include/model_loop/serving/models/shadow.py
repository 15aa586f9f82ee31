"""Shadow predictions: a version on trial predicts rows that another version has answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model_loop.datasets.stored import digest_of_text
from model_loop.scoring.rows import Rows
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import PART, PAUSE_SECONDS, Entry

logger = logging.getLogger(__name__)


def ask_shadows(
    shadows: Mapping[str, ServedVersion], entries: Sequence[Entry]
) -> dict[int, tuple[int, float]]:
    """Return version and prediction, by the place of the entry, of those that hold what it needs.

    Parameters
    ----------
    shadows
        The version on trial of each variant that has one.
    """
    said: dict[int, tuple[int, float]] = {}
    for service, shadow in shadows.items():
        digest = digest_of_text(shadow.declaration)
        given = {
            place: row
            for place, entry in enumerate(entries)
            if entry.service == service and (row := entry.row_by(digest)) is not None
        }
        places = list(given)
        for first in range(0, len(places), PART):
            if first:
                time.sleep(PAUSE_SECONDS)
            some = places[first : first + PART]
            try:
                # Rows that a damaged spool has left may be of any length.
                rows = _as_array([given[place] for place in some])
                needed = rows[:, shadow.places]
                # Only NaN differs from itself.
                able = np.flatnonzero((needed == needed).all(axis=1))  # noqa: PLR0124 - as said
                predictions = shadow.predict(rows[able])
            except Exception:
                # The shadow is on trial; the log is not.
                logger.exception("The shadow of %s, version %d, failed", service, shadow.version)
                break
            for place, one in zip(able.tolist(), predictions.tolist(), strict=True):
                said[some[place]] = (shadow.version, one)
    return said


def _as_array(rows: Sequence[Sequence[Any]]) -> Rows:
    """Return rows as float64, or as objects where they hold texts."""
    cells = np.array(rows, dtype=object)
    try:
        return cells.astype(np.float64)
    except ValueError:
        return cells
