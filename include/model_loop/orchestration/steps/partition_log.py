"""Partitions on the tracking server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from model_loop.datasets.registry import dataset_of_variant
from model_loop.findings import Finding
from model_loop.settings import get_settings
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.partitions import partition_log_of

if TYPE_CHECKING:
    from model_loop.training_set.preparation import Verdict

logger = logging.getLogger(__name__)


def log_partition(verdict: Verdict) -> str:
    """Log the profile, report, findings and figures of a partition; return its address."""
    return log_findings(verdict, verdict.findings)


def log_partitions(verdicts: Sequence[Verdict]) -> list[str]:
    """Log many partitions, one after the other; return their addresses."""
    return [log_partition(verdict) for verdict in verdicts]


def log_findings(partition: Any, findings: Sequence[Finding]) -> str:  # noqa: ANN401 - fetched, or a verdict
    """Log the findings of a partition, and what else is known of it; return its address.

    Parameters
    ----------
    partition
        A verdict, or what was fetched where the contract is broken.
    """
    settings, dataset = get_settings(), dataset_of_variant(partition.variant)
    tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment)
    log = partition_log_of(dataset)
    address = tracker.run_url(log(tracker, partition, findings))
    logger.info("Logged at %s", address)
    return address
