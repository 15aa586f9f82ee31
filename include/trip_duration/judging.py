"""The test trips that versions are compared on: of months that none of them has learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from model_loop.errors import InvalidInputError
from model_loop.tracking.judging import JudgedRows
from model_loop.tracking.learned import Learned
from model_loop.training_set.types import TrainingSet
from trip_duration.contract.rules import month_bounds
from trip_duration.months import Month
from trip_duration.services import DURATION, PICKUP_TIME
from trip_duration.training_set.judged_months import read_test_months


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
    if not test or training_set.test_rows.empty:
        raise InvalidInputError(
            f"The training set {training_set.digest[:16]}",
            "has no test months, so that nothing can be compared",
            "Train with test_months.",
        )
    seen = _seen(training_set, contenders)
    left = tuple(month for month in test if month not in seen)
    unknown = tuple(contender.version for contender in contenders if not contender.known)
    left_out = tuple(
        f"{month}, from which {' and '.join(f'version {version}' for version in versions)} "
        f"{'have' if len(versions) > 1 else 'has'} learned"
        for month, versions in sorted(seen.items())
    )
    if not left:
        after = max(test)
        remedy = (
            f"train with test_months after {after}, or with others that neither was trained or "
            "tuned on"
        )
        return JudgedRows(training_set.test_rows.iloc[:0], (), left_out, unknown, remedy)
    # Months that follow hold trips whose pick-up lies in a month that was learned from.
    learned = {
        month
        for contender in contenders
        for month in map(Month.parse, contender.partitions or ())
        if month >= min(test)
    }
    held = training_set.test_rows
    if not seen and not learned and set(columns) <= set(held.columns):
        return JudgedRows(held, tuple(map(str, left)), left_out, unknown)
    months = read_test_months(
        training_set, columns, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    trips = pd.concat([months[month] for month in left], ignore_index=True)
    trips = trips[~_picked_up_in(trips, learned)].reset_index(drop=True)
    return JudgedRows(trips[[*columns, DURATION]], tuple(map(str, left)), left_out, unknown)


def _seen(training_set: TrainingSet, contenders: Sequence[Learned]) -> dict[Month, list[int]]:
    """Find the test months that were learned from, with the versions that did."""
    digests = {raw.month: raw.digest for raw in training_set.files}
    found: dict[Month, list[int]] = {}
    for month in training_set.request.split.test:
        versions = [
            contender.version
            for contender in contenders
            if contender.has_seen(str(month), digests[str(month)])
        ]
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
