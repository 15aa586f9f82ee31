"""Way from published months to a training set; see `model_loop.training_set.preparation`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_loop.datasets.dataset import Dataset
from model_loop.findings import Acceptance
from model_loop.options import build
from model_loop.training_set.preparation import require_sound
from model_loop.training_set.products import TrainingSetProduct
from model_loop.training_set.types import TrainingSet
from trip_duration.contract.checked import CheckedMonth
from trip_duration.contract.rules import ContractLimits
from trip_duration.history import HistoryVerdict, MonthHistory
from trip_duration.months import Month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.source.types import RawMonth
from trip_duration.training_set.build import (
    check_fetched_month,
    check_request,
    encode,
    fetch_requested_month,
    is_current,
)
from trip_duration.training_set.request import TrainingSetRequest


class MonthPreparation:
    """Preparation of months, each a file.

    Parameters
    ----------
    dataset
        The dataset of trips; there is no other whose files these are.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def request(self, params: Mapping[str, Any], source: str) -> TrainingSetRequest:
        """Return the training set that a form asks for."""
        return build(TrainingSetRequest, params, source=source)

    def plan(
        self,
        request: TrainingSetRequest,
        *,
        storage_root: str,  # noqa: ARG002 - nothing is kept of a plan of months
        timeout_seconds: float,
    ) -> tuple[str, ...]:
        """Check that all months are to be had; return their keys."""
        check_request(request, timeout_seconds=timeout_seconds)
        return tuple(map(str, request.split.all))

    def is_current(
        self,
        product: TrainingSetProduct,
        *,
        storage_root: str,  # noqa: ARG002 - as above
        timeout_seconds: float,
    ) -> bool:
        """Return whether the source still has the very months of a training set."""
        return is_current(product, timeout_seconds=timeout_seconds)

    def fetch(
        self,
        request: TrainingSetRequest,
        partition: str,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> RawMonth:
        """Fetch a month."""
        return fetch_requested_month(
            request,
            Month.parse(partition),
            storage_root=storage_root,
            timeout_seconds=timeout_seconds,
        )

    def fetch_named(
        self,
        variant: str,
        source: str,
        partition: str,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> RawMonth:
        """Fetch a month that no training set was asked for with."""
        return fetch_month(
            source,
            get_service(variant),
            Month.parse(partition),
            storage_root,
            sample=build(SampleOptions, {}),
            timeout_seconds=timeout_seconds,
        )

    def check(
        self, fetched: RawMonth, *, storage_root: str, limits: ContractLimits | None = None
    ) -> CheckedMonth:
        """Check a month against its contract; the limits are those of the settings by default."""
        limits = build(ContractLimits, {}) if limits is None else limits
        return check_fetched_month(fetched, storage_root=storage_root, limits=limits)

    def compare(
        self, checked: Sequence[CheckedMonth], *, storage_root: str, accepted: Iterable[str] = ()
    ) -> list[HistoryVerdict]:
        """Compare months with those before them."""
        return MonthHistory(storage_root).compare(checked, [*map(Acceptance.parse, accepted)])

    def encode(
        self,
        request: TrainingSetRequest,
        verdicts: Sequence[HistoryVerdict],
        *,
        storage_root: str,  # noqa: ARG002 - months say where their rows are
    ) -> TrainingSet:
        """Clean, split and encode months."""
        findings = require_sound(self.dataset, verdicts)
        return encode(request, [verdict.month for verdict in verdicts], findings)
