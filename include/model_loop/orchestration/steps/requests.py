"""From a form's fields to the library's typed requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_loop.datasets.registry import dataset_of_variant, variants
from model_loop.errors import InvalidInputError
from model_loop.models.search import SearchRequest
from model_loop.options import build, options_of
from model_loop.orchestration.forms.sources import source_of
from model_loop.settings import get_settings
from model_loop.training_set.request import TrainingSetRequest
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import Service, get_service
from trip_duration.source.fetching import fetch_month

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from trip_duration.source.types import RawMonth


def who_asked(dag_run: DagRunProtocol) -> str:
    """Return the origin of a run: a user's name, a DAG, or a kind such as ``scheduled``."""
    kind = str(dag_run.run_type.value)
    if dag_run.triggering_user_name:
        return dag_run.triggering_user_name
    # `run_dag` names a run by the DAG that has asked for it.
    asking, dot, _ = dag_run.run_id.partition(".")
    return asking if kind == "operator_triggered" and dot else kind


def training_set_request(params: Mapping[str, Any]) -> TrainingSetRequest:
    """Return the training set that a form asks for.

    Raises
    ------
    InvalidInputError
        If a field breaks a rule that the form cannot check: the source is not allowed, or the
        months are out of order. Also for a declared table, which the command `run` prepares.
    """
    key = str(params.get("service") or params.get("variant") or "")
    if key in variants() and dataset_of_variant(key).declaration is not None:
        name = dataset_of_variant(key).name
        raise InvalidInputError(
            f"The dataset {name}",
            "is a declared table, which is prepared and trained by the command, not by DAGs yet",
            f"Run: model-loop run {name}. Its champion answers in the other DAGs.",
        )
    return build(TrainingSetRequest, params, source=source_of(params))


@dataclass(frozen=True)
class MonthRequest:
    """One month of one service, and where it comes from."""

    source: str
    service: Service
    month: Month
    sample: SampleOptions


def month_request(
    service: str, partition_key: str | None, params: Mapping[str, Any]
) -> MonthRequest:
    """The month that a partition key names.

    Raises
    ------
    InvalidInputError
        If the run has no partition key, or one that is no month, or its source is not allowed.
    """
    if partition_key is None:
        raise InvalidInputError(
            "The run",
            "has no partition key, so its month is unknown",
            "Trigger with a partition key such as 2024-01, or start a backfill.",
        )
    month = Month.parse(partition_key)
    return MonthRequest(source_of(params), get_service(service), month, build(SampleOptions, {}))


def fetch_named_month(
    service: str, partition_key: str | None, params: Mapping[str, Any]
) -> RawMonth:
    """The month that a partition key names, fetched unless it is here.

    Raises
    ------
    InvalidInputError
        See `month_request`.
    SourceError
        If the source has none, or does not answer.
    """
    settings, request = get_settings(), month_request(service, partition_key, params)
    return fetch_month(
        request.source,
        request.service,
        request.month,
        settings.storage_root,
        sample=request.sample,
        timeout_seconds=settings.request_timeout_seconds,
    )


def contract_limits() -> ContractLimits:
    """Return how much of a month may be wrong."""
    return build(ContractLimits, {})


def search_request(params: Mapping[str, Any]) -> SearchRequest:
    """Return the search that a form asks for.

    Raises
    ------
    InvalidInputError
        If a field is out of bounds.
    """
    return build(SearchRequest, params)


def preparation_conf(params: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a training form that `data_preparation` is triggered with."""
    return {name: params[name] for name in options_of(TrainingSetRequest) if name in params}
