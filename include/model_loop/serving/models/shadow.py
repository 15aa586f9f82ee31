"""Shadow predictions: a version on trial predicts rows that another version has answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from model_loop.datasets.stored import digest_of_text
from model_loop.intervals.grid import DEFAULT_LEVEL
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.model import Targets
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import PART, PAUSE_SECONDS, Entry, Shadowed

logger = logging.getLogger(__name__)

#: Seconds that the log waits for a shadow that another process answers for.
_REMOTE_SECONDS = 1.0
_THREADS = ThreadPoolExecutor(4, "shadows")
_ASKED: dict[tuple[str, int], Future[Targets]] = {}


def ask_shadows(
    shadows: Mapping[str, ServedVersion], entries: Sequence[Entry]
) -> dict[int, Shadowed]:
    """Return what shadows say, by the place of the entry, of those that hold what they need.

    Parameters
    ----------
    shadows
        The version on trial of each variant that has one.
    """
    said: dict[int, Shadowed] = {}
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
                predictions = _ask(service, shadow, rows[able])
            except _BusyError:
                break
            except Exception:
                # The shadow is on trial; the log is not.
                logger.exception("The shadow of %s, version %d, failed", service, shadow.version)
                break
            answered = [entries[some[place]] for place in able.tolist()]
            found = _numbers(shadow, predictions, answered)
            for place, one in zip(able.tolist(), found, strict=True):
                said[some[place]] = (shadow.version, *one)
    return said


class _BusyError(Exception):
    """The version has not answered the rows before."""


def _ask(service: str, shadow: ServedVersion, rows: Rows) -> Targets:
    """Return what a shadow predicts; one that another process answers for has little time.

    Raises
    ------
    TimeoutError
        If it takes longer: the log waits no further, and the rows have no shadow.
    _BusyError
        If it is still at earlier rows.
    """
    if not shadow.remote:
        return shadow.predict(rows)
    key = (service, shadow.version)
    if key in _ASKED and not _ASKED[key].done():
        raise _BusyError
    _ASKED[key] = _THREADS.submit(shadow.predict, rows)
    return _ASKED[key].result(_REMOTE_SECONDS)


def _numbers(
    shadow: ServedVersion, predicted: Targets, answered: Sequence[Entry]
) -> list[tuple[float, dict[str, float] | None]]:
    """Return the number of each prediction, and its probabilities of classes."""
    if shadow.deciding is None:
        return [(number, None) for number in predicted.tolist()]
    outcomes = shadow.deciding.outcomes(predicted, DEFAULT_LEVEL)
    if shadow.deciding.classes.is_binary:
        return [(outcome.number, outcome.probabilities) for outcome in outcomes]
    return [
        # A class that the shadow has not learned has no probability.
        (outcome.probabilities.get(str(entry.label), 0.0), outcome.probabilities)
        for outcome, entry in zip(outcomes, answered, strict=True)
    ]


def _as_array(rows: Sequence[Sequence[Any]]) -> Rows:
    """Return rows as float64, or as objects where they hold texts."""
    cells = np.array(rows, dtype=object)
    try:
        return cells.astype(np.float64)
    except ValueError:
        return cells
