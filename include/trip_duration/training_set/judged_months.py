"""The test months of a training set, read once more with other columns than its recipe has."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import pandas as pd
from upath import UPath

from model_loop.errors import ContractError
from model_loop.training_set.types import TrainingSet
from trip_duration.cleaning import Selection, clean_month
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month
from trip_duration.services import PICKUP_TIME, get_service
from trip_duration.source.digests import with_digest
from trip_duration.source.fetching import fetch_month
from trip_duration.source.types import MonthFile, RawMonth


def read_test_months(
    training_set: TrainingSet,
    columns: Collection[str],
    *,
    storage_root: str,
    timeout_seconds: float,
) -> Mapping[Month, pd.DataFrame]:
    """Read raw test trips by month: pick-up time, the columns, and ``duration``.

    The trips are those that the training set is judged by. Trips whose clock alone is wrong are
    among them only where nobody looks at the clock.

    Raises
    ------
    SourceError
        If a month is no longer to be had.
    ContractError
        If a month is no longer what it was.
    """
    request, service = training_set.request, get_service(training_set.request.service)
    selection = Selection(
        [name for name in columns if name != PICKUP_TIME],
        request.rules,
        keep_set_aside=PICKUP_TIME not in {*columns, *training_set.recipe.columns},
    )
    store, found = CheckedMonthStore(storage_root), {}
    for month in request.split.test:
        raw = _same_file(training_set, month, storage_root, timeout_seconds)
        # It was found sound enough when the training set was built.
        checked = store.find(raw) or store.check(raw, service, ContractLimits(1.0, 1.0))
        trips = clean_month(checked, service, selection)
        # Trips before the test months may have been learned from.
        found[month] = trips[trips[PICKUP_TIME] >= min(request.split.test).start]
    return found


def _same_file(
    training_set: TrainingSet, month: Month, storage_root: str, timeout_seconds: float
) -> RawMonth:
    """Find the file of a month that went into the training set."""
    then: RawMonth = next(raw for raw in training_set.files if raw.month == str(month))
    if UPath(then.path).exists() and _named(then, storage_root).digest == then.digest:
        return then
    request = training_set.request
    now = fetch_month(
        request.source,
        get_service(request.service),
        month,
        storage_root,
        sample=request.sample,
        timeout_seconds=timeout_seconds,
    )
    if now.digest != then.digest:
        raise ContractError(
            f"Month {month} of {then.service} ({now.url})",
            f"has changed since: its sha256 was {then.digest} and is {now.digest}",
            "Train a new version on the current months.",
        )
    return now


def _named(raw: RawMonth, storage_root: str) -> RawMonth:
    """Name a file by what it holds now."""
    known = {field.name: getattr(raw, field.name) for field in dataclasses.fields(MonthFile)}
    return with_digest(MonthFile(**known), storage_root)
