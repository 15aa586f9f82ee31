"""Partitions on the tracking server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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
    return log_partitions([verdict])[0]


def log_partitions(verdicts: Sequence[Verdict]) -> list[str]:
    """Log many partitions, one after the other; return their addresses."""
    logs = {variant: _log_of(variant) for variant in {each.variant for each in verdicts}}
    return [logs[each.variant](each, each.findings) for each in verdicts]


def log_findings(partition: Any, findings: Sequence[Finding]) -> str:  # noqa: ANN401 - fetched, or a verdict
    """Log the findings of a partition, and what else is known of it; return its address.

    Parameters
    ----------
    partition
        A verdict, or what was fetched where the contract is broken.
    """
    return _log_of(partition.variant)(partition, findings)


def _log_of(variant: str) -> Callable[[Any, Sequence[Finding]], str]:
    settings, dataset = get_settings(), dataset_of_variant(variant)
    tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment)
    log = partition_log_of(dataset)

    def logged(partition: Any, findings: Sequence[Finding]) -> str:  # noqa: ANN401 - as above
        address = tracker.run_url(log(tracker, partition, findings))
        logger.info("Logged at %s", address)
        return address

    return logged
