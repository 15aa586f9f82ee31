"""Partitions on the tracking server."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from model_loop.findings import Finding
from model_loop.settings import get_settings
from model_loop.tracking.runs import Tracker
from trip_duration.history import HistoryVerdict
from trip_duration.source.types import RawMonth
from trip_duration.tracked_months import log_month
from trip_duration.tracked_months import log_refused as log_refusal

logger = logging.getLogger(__name__)


def log_partition(verdict: HistoryVerdict) -> str:
    """Log the profile, report, findings and figures of a partition; return its address."""
    settings = get_settings()
    tracker = Tracker(settings.tracking_uri, settings.experiment)
    run_id = log_month(tracker, verdict.month, verdict.findings)
    logger.info("Logged at %s", tracker.run_url(run_id))
    return tracker.run_url(run_id)


def log_refused(raw: RawMonth, findings: Sequence[Finding]) -> None:
    """Log the findings that refuse a partition."""
    settings = get_settings()
    tracker = Tracker(settings.tracking_uri, settings.experiment)
    logger.info("Logged at %s", tracker.run_url(log_refusal(tracker, raw, findings)))
