"""The daily look at intervals, or sets of classes: measured, stored, corrected and judged."""

from __future__ import annotations

import datetime as dt
import logging

from model_loop.errors import StoredObjectError
from model_loop.monitoring.coverage import WatchedIntervals, WatchedSets, judge_days, measure_days
from model_loop.monitoring.interval_days import IntervalDay
from model_loop.monitoring.levels import Thresholds, WindowFinding
from model_loop.monitoring.records import FindingRecords, WatchedVersion
from model_loop.monitoring.tested import find_reference
from model_loop.monitoring.windows import WindowRows
from model_loop.tracking.corrections import correction_of, keep_correction, widening_of
from model_loop.tracking.intervals import find_decision, find_intervals
from model_loop.tracking.versions import ModelVersions

logger = logging.getLogger(__name__)


def find_watched(versions: ModelVersions, version: int) -> WatchedIntervals | WatchedSets | None:
    """Return intervals or sets of a version with their correction; None if it has none to read."""
    tracker, name = versions.tracker, versions.name
    try:
        intervals = find_intervals(tracker, name, version)
        decision = None if intervals else find_decision(tracker, name, version)
    except StoredObjectError as error:
        logger.warning("%s", error)
        return None
    if intervals is None and not (decision and decision.set_scores):
        return None
    tags = tracker.client.get_registered_model(name).tags
    correction, cuts = correction_of(tags, version), find_reference(tracker, name, version).cuts
    if intervals is not None:
        return WatchedIntervals(intervals, widening_of(tags, version), correction, cuts)
    return None if decision is None else WatchedSets(decision, correction, cuts)


def look_at_intervals(
    versions: ModelVersions,
    records: FindingRecords,
    watched: WatchedVersion,
    labelled: WindowRows,
    thresholds: Thresholds,
    *,
    learns: bool,
    now: dt.datetime | None = None,
) -> tuple[list[WindowFinding], list[IntervalDay]]:
    """Measure the closed days of a window, and correct the version's intervals or sets by them.

    A day counts once: another look at it changes neither the figures nor the correction.

    Parameters
    ----------
    labelled
        Rows of the version whose true value is known.
    learns
        Whether days of requests correct the intervals, and are stored. Days of partitions are
        stored, and correct nothing.

    Returns
    -------
    list of WindowFinding, list of IntervalDay
        The finding about all days, and all days; nothing of a version without intervals or sets.
    """
    known = find_watched(versions, watched.version)
    if known is None:
        return [], []
    days = {day.day: day for day in records.days(watched)}
    asked = watched.source == "request_log"
    new, correction = measure_days(
        labelled, known, days, now=now or dt.datetime.now(dt.UTC), learns=learns and asked
    )
    every = [day for _, day in sorted((days | {day.day: day for day in new}).items())]
    if new and (learns or not asked):
        # Before the correction: a look that ends in between measures no day by its own correction.
        records.add_days(watched, every, new)
    if correction != known.correction:
        keep_correction(versions.tracker, versions.name, watched.version, correction)
        logger.info("%s: intervals have correction %d now", watched.title, correction.version)
    of_sets = isinstance(known, WatchedSets)
    return [judge_days(every, thresholds, of_sets=of_sets)], every
