"""Intervals and decisions beside a registered version: written with its report, and found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from model_loop.errors import StoredObjectError
from model_loop.intervals.calibrated import Intervals
from model_loop.models.classification.decision import Decision
from model_loop.objects.documents import UNREADABLE, record_of
from model_loop.objects.tree import to_tree
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.names import DECISION, INTERVALS
from model_loop.tracking.runs import Tracker

Record = TypeVar("Record", Intervals, Decision)


def write_record(path: Path, record: Intervals | Decision) -> None:
    """Write a record as JSON of a few kilobytes."""
    path.write_text(json.dumps(to_tree(record)[0], separators=(",", ":")))


def find_intervals(tracker: Tracker, name: str, version: int) -> Intervals | None:
    """Return the intervals of a version; None if it has none, as those of 0.2.0 and before.

    Raises
    ------
    StoredObjectError
        If they are damaged, or of a version of this package that is not understood.
    mlflow.exceptions.MlflowException
        If there is no such version, or the server fails.
    """
    return _find(tracker, name, version, INTERVALS, Intervals)


def find_decision(tracker: Tracker, name: str, version: int) -> Decision | None:
    """Return the decision of a version; None if it has none, as a regressor.

    Raises
    ------
    StoredObjectError, mlflow.exceptions.MlflowException
        As `find_intervals`.
    """
    return _find(tracker, name, version, DECISION, Decision)


def _find(
    tracker: Tracker, name: str, version: int, artifact: str, kind: type[Record]
) -> Record | None:
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    content = read_artifact(tracker.client, run_id, artifact)
    if content is None:
        return None
    try:
        return record_of(kind, json.loads(content))
    except UNREADABLE as error:
        # Made with each version: ``intervals``, ``decision``.
        noun = artifact.removesuffix(".json")
        raise StoredObjectError(
            f"The {noun} of version {version} of {name}",
            f"cannot be read ({error})",
            f"Train a new version: {noun} {'are' if noun.endswith('s') else 'is'} made with it.",
        ) from error
