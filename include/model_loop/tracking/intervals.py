"""Intervals beside a registered version: written with its report, and found again."""

from __future__ import annotations

import json
from pathlib import Path

from model_loop.errors import StoredObjectError
from model_loop.intervals.calibrated import Intervals
from model_loop.objects.documents import UNREADABLE, record_of
from model_loop.objects.tree import to_tree
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.names import INTERVALS
from model_loop.tracking.runs import Tracker


def write_intervals(path: Path, intervals: Intervals) -> None:
    """Write intervals as JSON of a few kilobytes."""
    path.write_text(json.dumps(to_tree(intervals)[0], separators=(",", ":")))


def find_intervals(tracker: Tracker, name: str, version: int) -> Intervals | None:
    """Return the intervals of a version; None if it has none, as those of 0.2.0 and before.

    Raises
    ------
    StoredObjectError
        If they are damaged, or of a version of this package that is not understood.
    mlflow.exceptions.MlflowException
        If there is no such version, or the server fails.
    """
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    content = read_artifact(tracker.client, run_id, INTERVALS)
    if content is None:
        return None
    try:
        return record_of(Intervals, json.loads(content))
    except UNREADABLE as error:
        raise StoredObjectError(
            f"The intervals of version {version} of {name}",
            f"cannot be read ({error})",
            "Train a new version: intervals are made with it.",
        ) from error
