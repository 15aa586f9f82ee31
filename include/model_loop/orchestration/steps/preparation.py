"""The steps of `data_preparation` and of the DAGs of partitions: plain functions.

Each returns a value that the XCom backend keeps in object storage.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import StoredObjectError, optional
from model_loop.findings import RefusedPartitionError
from model_loop.orchestration.alerts.announcements import doubtful
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.steps.requests import (
    contract_limits,
    fetch_named_month,
    training_set_request,
)
from model_loop.settings import get_settings
from model_loop.training_set.build import check, check_request, encode, fetch, is_current
from model_loop.training_set.data_tests import DATA_TESTS as TESTS
from model_loop.training_set.data_tests import require_passed
from model_loop.training_set.history import compare, require_sound
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.summary import summarize
from trip_duration.months import Month

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol, OutletEventAccessorsProtocol

    from model_loop.training_set.products import TrainingSetProduct
    from model_loop.training_set.request import TrainingSetRequest
    from model_loop.training_set.types import TrainingSet
    from trip_duration.contract.checked import CheckedMonth
    from trip_duration.history import HistoryVerdict
    from trip_duration.source.types import RawMonth

logger = logging.getLogger(__name__)


def plan_partitions(params: Mapping[str, Any]) -> list[str]:
    """Check everything that can be checked before any expensive work; list the partitions.

    The list is empty if a training set of the very partitions that the source has now is there: the
    steps that follow are then skipped.
    """
    request = training_set_request(params)
    if not params["rebuild"] and _is_there(request):
        return []
    check_request(request, timeout_seconds=get_settings().request_timeout_seconds)
    return [str(month) for month in request.split.all]


def _is_there(request: TrainingSetRequest) -> bool:
    store = _store()
    product = store.find_fresh(request, max_age_seconds=float("inf"))
    timeout = get_settings().request_timeout_seconds
    if product is None or not is_current(product, timeout_seconds=timeout):
        return False
    store.renew(product, request)
    logger.info("Nothing to do: the source has not changed since %s was built.", product.key[:16])
    return True


def fetch_partition(partition: str, params: Mapping[str, Any]) -> RawMonth:
    """Fetch one partition."""
    settings = get_settings()
    return fetch(
        training_set_request(params),
        Month.parse(partition),
        storage_root=settings.storage_root,
        timeout_seconds=settings.request_timeout_seconds,
    )


def fetch_named_partition(
    variant: str, params: Mapping[str, Any], dag_run: DagRunProtocol
) -> RawMonth:
    """Fetch the partition of a variant that the run's partition key names: ``2024-01``."""
    return fetch_named_month(variant, dag_run.partition_key, params)


def check_partition(raw: RawMonth) -> CheckedMonth:
    """Check one partition against its contract; what was found is in the log, as a table.

    A partition that breaks it is shown on the dashboard.
    """
    try:
        month = check(raw, storage_root=get_settings().storage_root, limits=contract_limits())
    except RefusedPartitionError as error:
        with optional(f"The entry of {raw.month} on the tracking server"):
            from model_loop.orchestration.steps.partition_log import (  # noqa: PLC0415 - MLflow takes seconds
                log_refused,
            )

            log_refused(raw, error.findings)
        raise
    logger.info("%s", month.report)
    return month


def compare_partitions(
    partitions: Sequence[CheckedMonth],
    params: Mapping[str, Any],
    outlet_events: OutletEventAccessorsProtocol,
    dag_run: DagRunProtocol,
) -> list[HistoryVerdict]:
    """Compare partitions with those before them; a refused one fails the run.

    It is shown on the dashboard. Somebody is told of what is doubtful, and the run goes on.
    """
    verdicts = compare(
        list(partitions),
        storage_root=get_settings().storage_root,
        accepted=params.get("accepted_findings") or (),
    )
    for verdict in verdicts:
        for finding in verdict.findings:
            logger.warning("%s", finding)
        if verdict.refused:
            with optional(f"The entry of {verdict.month.raw.month} on the tracking server"):
                from model_loop.orchestration.steps.partition_log import (  # noqa: PLC0415 - as above
                    log_partition,
                )

                log_partition(verdict)
    variant = verdicts[0].month.raw.service
    if findings := require_sound(verdicts):
        announce(doubtful(findings, variant, dag_run.dag_id, dag_run.run_id))
    checked = [verdict.month for verdict in verdicts]
    event = outlet_events[assets_of(dataset_of_variant(variant)).partitions]
    event.add_partitions([month.partition for month in checked])
    event.extra = {
        "rows": sum(month.report.rows for month in checked),
        "quarantined": sum(month.report.quarantined for month in checked),
        "digests": {month.partition: month.raw.digest for month in checked},
    }
    return verdicts


def compare_partition(
    partition: CheckedMonth,
    params: Mapping[str, Any],
    outlet_events: OutletEventAccessorsProtocol,
    dag_run: DagRunProtocol,
) -> HistoryVerdict:
    """Compare one partition with those before it; see `compare_partitions`."""
    (verdict,) = compare_partitions([partition], params, outlet_events, dag_run)
    return verdict


def encode_partitions(verdicts: Sequence[HistoryVerdict], params: Mapping[str, Any]) -> TrainingSet:
    """Clean, split by time, encode, and put together the training set."""
    return encode(
        training_set_request(params),
        [verdict.month for verdict in verdicts],
        [finding for verdict in verdicts for finding in verdict.findings],
    )


def run_data_test(name: str, training_set: TrainingSet) -> list[dict[str, Any]]:
    """Run one of the data tests; if it fails, the task fails and says what was found."""
    outcomes = list(TESTS[name](training_set))
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
    product = _store().publish(training_set)
    return {**summarize(training_set), **_place(product), "built": True}


def require_product(request: TrainingSetRequest) -> TrainingSetProduct:
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
