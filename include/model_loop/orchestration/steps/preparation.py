"""The steps of `data_preparation` and of the DAGs of partitions: plain functions.

Each returns a value that the XCom backend keeps in object storage.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import StoredObjectError, optional
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.orchestration.alerts.announcements import doubtful
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.names import MAPPED
from model_loop.orchestration.steps.requests import fetch_named, training_set_request
from model_loop.settings import get_settings
from model_loop.training_set.data_tests import data_tests_of, require_passed
from model_loop.training_set.preparation import preparation_of, require_sound
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.summary import summarize

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol, OutletEventAccessorsProtocol

    from model_loop.training_set.preparation import Verdict
    from model_loop.training_set.products import TrainingSetProduct
    from model_loop.training_set.request import PreparationRequest
    from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)


def plan_partitions(params: Mapping[str, Any]) -> list[list[str]]:
    """Check everything that can be checked before any expensive work; list the partitions.

    Returns
    -------
    list of list of str
        The keys that each mapped task works on, in their order. Empty if a training set of the very
        partitions that the source has now is there: the steps that follow are then skipped.
    """
    request = training_set_request(params)
    if not params["rebuild"] and _is_there(request):
        return []
    keys = preparation_of(request.dataset).plan(request, **_where())
    size = math.ceil(len(keys) / MAPPED)
    return [[*keys[first : first + size]] for first in range(0, len(keys), size)]


def _is_there(request: PreparationRequest) -> bool:
    store = _store()
    product = store.find_fresh(request, max_age_seconds=float("inf"))
    preparation = preparation_of(request.dataset)
    if product is None or not preparation.is_current(product, **_where()):
        return False
    store.renew(product, request)
    logger.info("Nothing to do: the source has not changed since %s was built.", product.key[:16])
    return True


def _where() -> dict[str, Any]:
    settings = get_settings()
    return {
        "storage_root": settings.storage_root,
        "timeout_seconds": settings.request_timeout_seconds,
    }


def _batch(given: Any) -> Sequence[Any]:  # noqa: ANN401 - partitions in any state
    """Return what a mapped task works on; one of a run from before 0.2 has a single partition."""
    return given if isinstance(given, list | tuple) else [given]


def fetch_partitions(partitions: Sequence[str], params: Mapping[str, Any]) -> list[Any]:
    """Fetch some partitions, one after the other."""
    request = training_set_request(params)
    preparation = preparation_of(request.dataset)
    return [preparation.fetch(request, partition, **_where()) for partition in _batch(partitions)]


def fetch_named_partition(variant: str, params: Mapping[str, Any], dag_run: DagRunProtocol) -> Any:  # noqa: ANN401 - the dataset's own
    """Fetch the partition of a variant that the run's partition key names: ``2024-01``."""
    return fetch_named(variant, dag_run.partition_key, params)


def check_partition(raw: Any) -> Any:  # noqa: ANN401 - the dataset's own
    """Check one partition against its contract; what was found is in the log, as a table.

    A partition that breaks it is shown on the dashboard.
    """
    preparation = preparation_of(dataset_of_variant(raw.variant))
    try:
        checked = preparation.check(raw, storage_root=get_settings().storage_root)
    except RefusedPartitionError as error:
        _log_partition(raw, error.findings)
        raise
    logger.info("%s", checked.report)
    return checked


def check_partitions(fetched: Sequence[Any]) -> list[Any]:
    """Check some partitions, one after the other; see `check_partition`."""
    return [check_partition(raw) for raw in _batch(fetched)]


def compare_partitions(
    batches: Sequence[Sequence[Any]],
    params: Mapping[str, Any],
    outlet_events: OutletEventAccessorsProtocol,
    dag_run: DagRunProtocol,
) -> list[Verdict]:
    """Compare partitions with those before them; a refused one fails the run.

    It is shown on the dashboard. Doubtful findings are mailed, and the run goes on.

    Parameters
    ----------
    batches
        The partitions that each mapped task has checked.
    """
    partitions = [*chain.from_iterable(map(_batch, batches))]
    variant = partitions[0].variant
    dataset = dataset_of_variant(variant)
    verdicts = preparation_of(dataset).compare(
        partitions,
        storage_root=get_settings().storage_root,
        accepted=params.get("accepted_findings") or (),
    )
    for verdict in verdicts:
        for finding in verdict.findings:
            logger.warning("%s", finding)
        if verdict.refused:
            _log_partition(verdict, verdict.findings)
    if findings := require_sound(dataset, verdicts):
        announce(doubtful(findings, variant, dag_run.dag_id, dag_run.run_id))
    event = outlet_events[assets_of(dataset).partitions]
    event.add_partitions([f"{variant}|{verdict.partition}" for verdict in verdicts])
    event.extra = {
        "rows": sum(verdict.rows for verdict in verdicts),
        "quarantined": sum(verdict.quarantined for verdict in verdicts),
        "digests": {f"{variant}|{verdict.partition}": verdict.digest for verdict in verdicts},
    }
    return [*verdicts]


def _log_partition(partition: Any, findings: Sequence[Finding]) -> None:  # noqa: ANN401 - fetched, or a verdict
    with optional("The entry of a partition on the tracking server"):
        from model_loop.orchestration.steps.partition_log import (  # noqa: PLC0415 - MLflow takes seconds
            log_findings,
        )

        log_findings(partition, findings)


def compare_partition(
    partition: Any,  # noqa: ANN401 - the dataset's own
    params: Mapping[str, Any],
    outlet_events: OutletEventAccessorsProtocol,
    dag_run: DagRunProtocol,
) -> Verdict:
    """Compare one partition with those before it; see `compare_partitions`."""
    (verdict,) = compare_partitions([[partition]], params, outlet_events, dag_run)
    return verdict


def encode_partitions(verdicts: Sequence[Verdict], params: Mapping[str, Any]) -> TrainingSet:
    """Clean, split, encode, and put together the training set."""
    request = training_set_request(params)
    storage_root = get_settings().storage_root
    return preparation_of(request.dataset).encode(request, verdicts, storage_root=storage_root)


def run_data_test(name: str, training_set: TrainingSet) -> list[dict[str, Any]]:
    """Run one of the data tests; if it fails, the task fails and says what was found."""
    outcomes = list(data_tests_of(training_set.dataset)[name](training_set))
    for outcome in outcomes:
        logger.info("%s", outcome)
    require_passed(outcomes)
    return [outcome.to_json() for outcome in outcomes]


def publish_training_set(
    training_set: TrainingSet | None, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Keep the training set as a data product; say what a person wants to know of it.

    Without a training set, because nothing had to be done, the one that is there is described.
    """
    request = training_set_request(params)
    if training_set is None:
        product = require_product(request)
        return {**summarize(product.load()), **_place(product), "built": False}
    product = _store().publish(training_set, request)
    return {**summarize(training_set), **_place(product), "built": True}


def require_product(request: PreparationRequest) -> TrainingSetProduct:
    """The finished training set that answers a request, whatever its age.

    Raises
    ------
    StoredObjectError
        If there is none.
    """
    product = _store().find_fresh(request, max_age_seconds=float("inf"))
    if product is None:
        raise StoredObjectError(
            "The training set of this form",
            "was not found after data_preparation",
            "Look at the log of the latest run of data_preparation.",
        )
    return product


def _place(product: TrainingSetProduct) -> dict[str, Any]:
    return {"key": product.key, "uri": product.reference.uri}


def _store() -> TrainingSetStore:
    return TrainingSetStore(get_settings().storage_root)
