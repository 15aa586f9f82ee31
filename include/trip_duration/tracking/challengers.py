"""Challengers and champion before the gate: the same test trips, predicted by both."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from trip_duration.errors import ContractError, InvalidInputError
from trip_duration.models.gate import Contender, Verdict, judge
from trip_duration.models.gate_rules import GateRules
from trip_duration.tracking.lineage import Lineage, find_lineage
from trip_duration.tracking.promotion import Promoter
from trip_duration.tracking.registry import load_registered
from trip_duration.tracking.standing import BROUGHT_IN
from trip_duration.tracking.versions import ModelVersions
from trip_duration.training_set.build import build_training_set
from trip_duration.training_set.data_tests import DATA_TESTS
from trip_duration.training_set.products import TrainingSetStore
from trip_duration.training_set.types import TrainingSet
from trip_duration.trips.services import DURATION, Moment

_TIMED_PREDICTIONS = 20


def latest_challenger(promoter: Promoter) -> int:
    """The best by its validation error of those that the newest training set was used for.

    Only versions of the promoter's moment are looked at.

    Raises
    ------
    InvalidInputError
        If nothing but the champion is registered.
    """
    champion = promoter.standing().champion
    versions = promoter.tracker.client.search_model_versions(f"name = '{promoter.name}'")
    others = [
        found
        for found in versions
        if int(found.version) != champion
        and BROUGHT_IN not in found.tags
        and promoter.versions.moment(int(found.version)) == promoter.moment
    ]
    if not others:
        raise InvalidInputError(
            f"Service {promoter.service}",
            f"has no challenger at the moment {promoter.moment}",
            "Train a model first.",
        )
    newest = max(others, key=lambda found: int(found.version)).tags.get("training_set")
    candidates = [found for found in others if found.tags.get("training_set") == newest]
    errors = {
        int(found.version): promoter.tracker.client.get_run(str(found.run_id)).data.metrics
        for found in candidates
    }
    return min(errors, key=lambda version: errors[version].get("validation_rmse", np.inf))


def judge_version(
    promoter: Promoter,
    version: int,
    rules: GateRules,
    *,
    storage_root: str,
    timeout_seconds: float,
) -> Verdict:
    """Compare a version with the champion on the test months of its training set.

    Raises
    ------
    InvalidInputError
        If the version has no lineage or no test months, is champion already, or the champion asks
        for columns that the version's training set does not hold.
    SourceError, ContractError
        If its training set is gone, and its months are no longer to be had or have changed.
    """
    champion = promoter.standing().champion
    if version == champion:
        raise InvalidInputError(
            f"Version {version}", "is champion already", "There is nothing to do."
        )
    training_set = judged_by(
        promoter.versions, version, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    trips = training_set.test_trips
    if trips.empty:
        raise InvalidInputError(
            f"Version {version}",
            "was trained without test months, so that nothing can be compared",
            "Train with test_months.",
        )
    standard = None if champion is None else _contender(promoter, champion, trips)
    outcomes = [outcome for test in DATA_TESTS.values() for outcome in test(training_set)]
    return judge(_contender(promoter, version, trips), standard, trips, rules, outcomes)


def judged_by(
    versions: ModelVersions, version: int, *, storage_root: str, timeout_seconds: float
) -> TrainingSet:
    """The training set whose test months a version is judged by: its own.

    A version that was brought in has none; it is judged by that of the champion, or of the latest
    of our own where there is no champion.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        As `judge_version`.
    """
    if BROUGHT_IN in versions.find(version).tags:
        version = standard_version(versions, versions.moment(version))
    lineage = find_lineage(versions.tracker, versions.name, version)
    return _training_set(lineage, storage_root, timeout_seconds)


def standard_version(versions: ModelVersions, moment: Moment) -> int:
    """The champion of a moment, or the latest version that was trained here.

    Raises
    ------
    InvalidInputError
        If nothing was trained here.
    """
    registered = versions.tracker.client.search_model_versions(f"name = '{versions.name}'")
    own = {int(found.version) for found in registered if BROUGHT_IN not in found.tags}
    if not own:
        raise InvalidInputError(
            f"Service {versions.service}",
            "has no model that was trained here, so that there are no test months to judge by",
            "Train a model first.",
        )
    champion = versions.standings()[moment].champion
    return champion if champion in own else max(own)


def _training_set(lineage: Lineage, storage_root: str, timeout_seconds: float) -> TrainingSet:
    store = TrainingSetStore(storage_root)
    product = store.find(lineage.data, lineage.months)
    if product is not None:
        return product.load()
    built = build_training_set(
        lineage.data, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    if built.digest != lineage.training_set:
        raise ContractError(
            f"The training set {lineage.training_set}",
            "is gone, and built again from its months it is another",
            "Train a new version.",
        )
    return built


def _contender(promoter: Promoter, version: int, trips: pd.DataFrame) -> Contender:
    loaded = load_registered(promoter.tracker, promoter.name, version)
    missing = sorted(set(loaded.inputs) - set(trips.columns))
    if missing:
        raise InvalidInputError(
            f"Version {version}",
            f"asks for {', '.join(missing)}, which the challenger's training set does not hold",
            "Train a challenger with the same recipe, or promote by force.",
        )
    columns = trips.drop(columns=DURATION)[list(loaded.inputs) or slice(None)]
    predicted = np.asarray(loaded.model.predict(columns), dtype=np.float64)
    one, seconds = columns.head(1), []
    for _ in range(_TIMED_PREDICTIONS):
        started = time.perf_counter()
        loaded.model.predict(one)
        seconds.append(time.perf_counter() - started)
    # The fastest: what else the machine does only adds to the others.
    milliseconds = 1_000 * min(seconds)
    return Contender(version, predicted, loaded.inputs, milliseconds, loaded.megabytes)
