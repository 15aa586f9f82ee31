"""Trackers of the runs of a dataset."""

from __future__ import annotations

from model_loop.datasets.dataset import Dataset
from model_loop.tracking.names import Purpose, experiments_of
from model_loop.tracking.runs import Tracker


def tracker_of(dataset: Dataset, tracking_uri: str, setting: str, purpose: Purpose = "") -> Tracker:
    """Return the tracker of a dataset's runs; see `experiments_of`."""
    own, *others = experiments_of(dataset, setting, purpose)
    return Tracker(tracking_uri, own, others)
