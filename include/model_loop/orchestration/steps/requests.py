"""From a form's fields to the library's typed requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.models.search import SearchRequest
from model_loop.options import build
from model_loop.orchestration.forms.data import data_form
from model_loop.orchestration.forms.sources import source_of
from model_loop.settings import get_settings
from model_loop.training_set.preparation import preparation_of

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.training_set.request import PreparationRequest


def who_asked(dag_run: DagRunProtocol) -> str:
    """Return the origin of a run: a user's name, a DAG, or a kind such as ``scheduled``."""
    kind = str(dag_run.run_type.value)
    if dag_run.triggering_user_name:
        return dag_run.triggering_user_name
    # `run_dag` names a run by the DAG that has asked for it.
    asking, dot, _ = dag_run.run_id.partition(".")
    return asking if kind == "operator_triggered" and dot else kind


def training_set_request(params: Mapping[str, Any]) -> PreparationRequest:
    """Return the training set that a form asks for.

    Raises
    ------
    InvalidInputError
        If a field breaks a rule that the form cannot check: the source is not allowed, or the
        partitions are out of order.
    """
    return preparation_of(dataset_of_form(params)).request(params, source_of(params))


def dataset_of_form(params: Mapping[str, Any]) -> Dataset:
    """Return the dataset of the variant that a form names."""
    return dataset_of_variant(params["service"])


def fetch_named(variant: str, partition: str | None, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the dataset's own
    """Fetch a partition that is named alone, unless it is here.

    Raises
    ------
    InvalidInputError
        If none is named, it is no partition, or its source is not allowed.
    SourceError
        If the source has none, or does not answer.
    """
    dataset, settings = dataset_of_variant(variant), get_settings()
    if partition is None:
        raise InvalidInputError(
            "The run",
            f"has no partition key, so its {dataset.partitions[1]} is unknown",
            f"Trigger with a partition key such as {dataset.partition_example}, or start a "
            "backfill.",
        )
    return preparation_of(dataset).fetch_named(
        variant,
        source_of({**params, "service": variant}),
        partition,
        storage_root=settings.storage_root,
        timeout_seconds=settings.request_timeout_seconds,
    )


def search_request(params: Mapping[str, Any]) -> SearchRequest:
    """Return the search that a form asks for.

    Raises
    ------
    InvalidInputError
        If a field is out of bounds, or the metric does not fit the kind of the target.
    """
    return build(SearchRequest, params).for_target(dataset_of_form(params).target)


def preparation_conf(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a training form that the DAG of the preparation is triggered with."""
    return {name: params[name] for name in data_form(dataset_of_form(params)) if name in params}
