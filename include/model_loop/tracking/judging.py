"""The test trips that versions are compared on: none that either has learned from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from model_loop.errors import InvalidInputError
from model_loop.models.gate import Check
from model_loop.sources.origin import source_label
from model_loop.tracking.learned import Learned
from model_loop.tracking.registry import Answering
from model_loop.training_set.judged_months import read_test_months
from model_loop.training_set.types import TrainingSet
from trip_duration.contract.rules import month_bounds
from trip_duration.months import Month
from trip_duration.services import DURATION, PICKUP_TIME


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

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what the history repeats of the choice."""
        parts = [f"left out of the comparison: {line}" for line in self.left_out]
        parts += [
            f"not known whether version {version} has learned from the test trips"
            for version in self.unknown
        ]
        return tuple(parts)


def columns_of(training_set: TrainingSet, models: Iterable[Answering]) -> list[str]:
    """List the raw columns that a comparison needs: of the recipe, and of every model."""
    asked = (name for model in models for name in model.inputs)
    return list(dict.fromkeys((*training_set.recipe.columns, *asked)))


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
    unknown = tuple(one.version for one in contenders if not one.known)
    left_out = tuple(
        f"{month}, from which {' and '.join(f'version {version}' for version in versions)} "
        f"{'have' if len(versions) > 1 else 'has'} learned"
        for month, versions in sorted(seen.items())
    )
    if not left:
        return JudgedRows(training_set.test_rows.iloc[:0], (), left_out, unknown)
    # Months that follow hold trips whose pick-up lies in a month that was learned from.
    learned = {month for one in contenders for month in one.months or () if month >= min(test)}
    held = training_set.test_rows
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


def unseen_check(rows: JudgedRows, training_set: TrainingSet) -> Check:
    """Make the check that tells the trips that are judged by, and what they are not.

    It fails where no trip is left.
    """
    name, wanted = "unseen test trips", "test trips that neither has learned from"
    if rows.trips.empty:
        after = max(training_set.request.split.test)
        return Check(
            name,
            passed=False,
            found=f"none: {'; '.join(rows.left_out)}",
            wanted=f"{wanted}: train with test_months after {after}, or with others that neither "
            "was trained or tuned on",
        )
    months, label = ", ".join(map(str, rows.months)), source_label(training_set.data_source)
    found = f"{len(rows.trips):,} trips of {months} ({label})"
    return Check(name, passed=True, found="; ".join((found, *rows.remarks)), wanted=wanted)
