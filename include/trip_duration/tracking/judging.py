"""What two versions may be compared on: rows of one source that neither has learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from trip_duration.errors import InvalidInputError
from trip_duration.tracking.downloads import ABSENT
from trip_duration.tracking.lineage import LINEAGE, find_lineage
from trip_duration.tracking.runs import Tracker
from trip_duration.training_set.judged_months import read_test_months
from trip_duration.training_set.types import TrainingSet
from trip_duration.trips.contract.rules import month_bounds
from trip_duration.trips.months import Month
from trip_duration.trips.origin import data_source_of, is_generated, source_label
from trip_duration.trips.services import DURATION, PICKUP_TIME


@dataclass(frozen=True)
class Learned:
    """What a version has learned from.

    Parameters
    ----------
    version
        Its number.
    months
        Its train and validation months; None where nobody knows, as of a model from elsewhere.
    digests
        Of their files.
    data_source
        What all of its months are; empty where nobody knows.
    """

    version: int
    months: frozenset[Month] | None = None
    digests: frozenset[str] = frozenset()
    data_source: str = ""

    @property
    def known(self) -> bool:
        """Return whether it is known."""
        return self.months is not None

    @property
    def generated(self) -> bool:
        """Return whether it has learned from generated trips."""
        return is_generated(self.data_source)

    @property
    def label(self) -> str:
        """Return the words for its source."""
        return source_label(self.data_source) if self.data_source else "data of unknown source"

    def has_seen(self, month: Month, digest: str) -> bool:
        """Return whether it has learned from a month.

        The trips of a month are the same in every published version of its file.
        """
        return month in (self.months or ()) or digest in self.digests


def learned_by(tracker: Tracker, name: str, version: int) -> Learned:
    """Look up what a version of a registered model has learned from, by its lineage.

    Raises
    ------
    InvalidInputError
        If there is no such version.
    """
    run_id = tracker.client.get_model_version(name, str(version)).run_id
    if not run_id or not _has_lineage(tracker, run_id):
        return Learned(version)
    lineage = find_lineage(tracker, name, version)
    split = lineage.data.split
    months = frozenset((*split.train, *split.validation))
    digests = {raw.digest for raw in lineage.months if Month.parse(raw.month) in months}
    return Learned(version, months, frozenset(digests), data_source_of(lineage.months))


def _has_lineage(tracker: Tracker, run_id: str) -> bool:
    try:
        return LINEAGE in {one.path for one in tracker.client.list_artifacts(run_id)}
    except MlflowException as error:
        if error.error_code in ABSENT:
            return False
        raise


@dataclass(frozen=True)
class JudgedRows:
    """The test trips that versions are judged by.

    Parameters
    ----------
    trips
        Raw columns with ``duration``; empty where none are left.
    months
        The test months that they are of.
    left_out
        A line for each test month that was left out, with the version that has learned from it.
    unknown
        Versions of which nobody knows whether they have learned from the trips.
    """

    trips: pd.DataFrame
    months: tuple[Month, ...]
    left_out: tuple[str, ...] = ()
    unknown: tuple[int, ...] = ()


def judged_rows(
    training_set: TrainingSet,
    columns: Sequence[str],
    contenders: Sequence[Learned],
    *,
    storage_root: str,
    timeout_seconds: float,
) -> JudgedRows:
    """Choose the test trips of a training set that none of some versions has learned from.

    Parameters
    ----------
    columns
        Raw columns that the versions ask for. Where the training set does not hold them all, its
        test months are read once more.
    contenders
        The versions; of one that is unknown, nothing is left out.

    Raises
    ------
    InvalidInputError
        If the training set has no test months.
    SourceError, ContractError
        See `read_test_months`.
    """
    test = training_set.request.split.test
    if not test or training_set.test_trips.empty:
        raise InvalidInputError(
            f"The training set {training_set.digest[:16]}",
            "has no test months, so that nothing can be compared",
            "Train with test_months.",
        )
    seen = _seen(training_set, contenders)
    left = tuple(month for month in test if month not in seen)
    unknown = tuple(one.version for one in contenders if not one.known)
    left_out = tuple(
        f"{month}, from which {' and '.join(f'version {version}' for version in versions)} "
        f"{'have' if len(versions) > 1 else 'has'} learned"
        for month, versions in sorted(seen.items())
    )
    if not left:
        return JudgedRows(training_set.test_trips.iloc[:0], (), left_out, unknown)
    # Months that follow hold trips whose pick-up lies in a month that was learned from.
    learned = {month for one in contenders for month in one.months or () if month >= min(test)}
    held = training_set.test_trips
    if not seen and not learned and set(columns) <= set(held.columns):
        return JudgedRows(held, left, left_out, unknown)
    months = read_test_months(
        training_set, columns, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    trips = pd.concat([months[month] for month in left], ignore_index=True)
    trips = trips[~_picked_up_in(trips, learned)].reset_index(drop=True)
    return JudgedRows(trips[[*columns, DURATION]], left, left_out, unknown)


def _seen(training_set: TrainingSet, contenders: Sequence[Learned]) -> dict[Month, list[int]]:
    """Find the test months that were learned from, with the versions that did."""
    digests = {raw.month: raw.digest for raw in training_set.months}
    found: dict[Month, list[int]] = {}
    for month in training_set.request.split.test:
        versions = [one.version for one in contenders if one.has_seen(month, digests[str(month)])]
        if versions:
            found[month] = versions
    return found


def _picked_up_in(trips: pd.DataFrame, months: set[Month]) -> np.ndarray:
    times = trips[PICKUP_TIME].to_numpy().astype("datetime64[us]").astype(np.int64)
    inside = np.zeros(len(trips), dtype=bool)
    for month in months:
        first, end = month_bounds(month)
        inside |= (times >= first) & (times < end)
    return inside
