"""The steps of `maintenance`: plain functions that the DAG file wraps as tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from trip_duration.settings import get_settings

logger = logging.getLogger(__name__)


def remove_old_products(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove training sets and months that nobody needs; say which."""
    from trip_duration.training_set.retention import Retention, plan_pruning, prune

    root = get_settings().storage_root
    pruning = plan_pruning(root, Retention(params["versions"], params["days"]))
    for what in (*(product.key for product in pruning.products), *pruning.files):
        logger.info("No longer needed: %s", what)
    if not params["only_look"]:
        prune(root, pruning)
    logger.info("%s %s", "Would remove" if params["only_look"] else "Removed", pruning)
    return {
        "training_sets": len(pruning.products),
        "files": len(pruning.files),
        "bytes": pruning.size,
        "removed": not params["only_look"],
    }
