"""Read what a version came to on its test rows, which its errors of today are compared with."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from model_loop.datasets.classes import HALF
from model_loop.errors import StoredObjectError
from model_loop.models.gate_rules import GateRules
from model_loop.models.slices import Cut
from model_loop.monitoring.performance import ReferenceErrors
from model_loop.monitoring.profile import VersionProfile, find_profile
from model_loop.objects.documents import UNREADABLE, record_of
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.intervals import find_decision
from model_loop.tracking.names import CUTS
from model_loop.tracking.runs import Tracker

logger = logging.getLogger(__name__)

#: Artifact of a training run; see `tracking.models.log_model_report`.
_SLICES = "errors_by_slice.csv"


def find_reference(tracker: Tracker, name: str, version: int) -> ReferenceErrors:
    """Return the test errors of a registered version from its run.

    Empty where the version has no run here, or was trained without test rows.
    """
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    if not run_id:
        return ReferenceErrors(version)
    metrics = tracker.client.get_run(run_id).data.metrics
    profile = _profile(tracker, name, version)
    classified = "test_log_loss" in metrics
    tested = classified or "test_rmse" in metrics
    return ReferenceErrors(
        version,
        metrics.get("test_rmse"),
        metrics.get("test_log_loss" if classified else "test_mae"),
        _reference_slices(tracker, run_id) if tested else {},
        profile.days if profile else None,
        _cuts(tracker, run_id, profile),
        {name: value for name, value in metrics.items() if name.startswith("test_")},
        _threshold(tracker, name, version) if classified else HALF,
        profile.classes if profile else None,
    )


def _threshold(tracker: Tracker, name: str, version: int) -> float:
    try:
        decision = find_decision(tracker, name, version)
    except StoredObjectError as error:
        logger.warning("The threshold is not known: %s", error)
        return HALF
    return HALF if decision is None else decision.threshold_in_force


def _profile(tracker: Tracker, name: str, version: int) -> VersionProfile | None:
    try:
        return find_profile(tracker, name, version)
    except StoredObjectError as error:
        logger.warning("How much days differ is not known: %s", error)
        return None


def _cuts(tracker: Tracker, run_id: str, profile: VersionProfile | None) -> tuple[Cut, ...]:
    """Return the rules of the slices that the evaluation was logged with.

    Versions before 0.2 have them in their profiles, if at all.
    """
    content = read_artifact(tracker.client, run_id, CUTS)
    if content is None:
        return profile.cuts if profile else ()
    try:
        return tuple(map(_cut_of, json.loads(content)))
    except UNREADABLE as error:
        logger.warning("%s of run %s cannot be read: %s", CUTS, run_id, error)
        return ()


def _cut_of(stored: Mapping[str, Any]) -> Cut:
    """Return a rule of slices; earlier versions have written lists, and no format."""
    lists = {name: {"$tuple": value} for name, value in stored.items() if isinstance(value, list)}
    return record_of(Cut, {**stored, **lists})


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
    error = "log_loss" if "log_loss" in table else "rmse"
    return dict(zip(keys, table[error].astype(float), strict=True))
