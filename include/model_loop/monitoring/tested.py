"""Read what a version came to on its test rows, which its errors of today are compared with."""

from __future__ import annotations

import io
import logging

import pandas as pd

from model_loop.errors import StoredObjectError
from model_loop.models.gate_rules import GateRules
from model_loop.models.intervals import DaySpread
from model_loop.models.slices import Cut
from model_loop.monitoring.performance import ReferenceErrors
from model_loop.monitoring.profile import find_profile
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.runs import Tracker

logger = logging.getLogger(__name__)

#: Artifact of a training run; see `tracking.models.log_model_report`.
_SLICES = "errors_by_slice.csv"


def find_reference(tracker: Tracker, name: str, version: int) -> ReferenceErrors:
    """Return what a version of a registered model came to on its test rows, as its run tells.

    Empty where the version has no run here, or was trained without test rows.
    """
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    if not run_id:
        return ReferenceErrors(version)
    metrics = tracker.client.get_run(run_id).data.metrics
    return ReferenceErrors(
        version,
        metrics.get("test_rmse"),
        metrics.get("test_mae"),
        _reference_slices(tracker, run_id) if "test_rmse" in metrics else {},
        *_profiled(tracker, name, version),
    )


def _profiled(
    tracker: Tracker, name: str, version: int
) -> tuple[DaySpread | None, tuple[Cut, ...]]:
    """Return how much days differ, and the rules of slices, where a profile holds them."""
    try:
        profile = find_profile(tracker, name, version)
    except StoredObjectError as error:
        logger.warning("How much days differ is not known: %s", error)
        return None, ()
    return (profile.days, profile.cuts) if profile else (None, ())


def _reference_slices(tracker: Tracker, run_id: str) -> dict[tuple[str, str], float]:
    content = read_artifact(tracker.client, run_id, _SLICES)
    if content is None:
        # Runs of models that were trained elsewhere have no such table.
        return {}
    table = pd.read_csv(io.BytesIO(content), dtype={"slice": str, "value": str})
    # The name of the column in runs of versions before 0.2.
    table = table.rename(columns={"trips": "rows"})
    table = table[table["rows"] >= GateRules.slice_rows]
    keys = zip(table["slice"], table["value"], strict=True)
    return dict(zip(keys, table["rmse"].astype(float), strict=True))
