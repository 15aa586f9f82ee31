"""The steps of `data_preparation`: plain functions that the DAG file wraps as tasks.

Each returns a value that the XCom backend keeps in object storage. Heavy imports happen inside,
so that parsing the DAG does not pay for them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trip_duration.orchestration.requests import contract_limits, training_set_request
from trip_duration.settings import get_settings

if TYPE_CHECKING:
    from trip_duration.training_set.types import TrainingSet
    from trip_duration.trips.checked import CheckedMonth
    from trip_duration.trips.source import RawMonth

logger = logging.getLogger(__name__)


def plan_months(params: Mapping[str, Any]) -> list[str]:
    """Check everything that can be checked before any expensive work; list the months."""
    from trip_duration.training_set.build import check_request

    request = training_set_request(params)
    check_request(request, timeout_seconds=get_settings().request_timeout_seconds)
    return [str(month) for month in request.split.all]


def fetch_month(month: str, params: Mapping[str, Any]) -> RawMonth:
    """Fetch one month and check what is in it."""
    from trip_duration.training_set.build import fetch
    from trip_duration.trips.months import Month

    settings = get_settings()
    return fetch(
        training_set_request(params),
        Month.parse(month),
        storage_root=settings.storage_root,
        timeout_seconds=settings.request_timeout_seconds,
    )


def check_month(raw: RawMonth) -> CheckedMonth:
    """Check one month against its contract; what was found is in the log, as a table."""
    from trip_duration.training_set.build import check

    settings = get_settings()
    month = check(raw, storage_root=settings.storage_root, limits=contract_limits())
    logger.info("%s", month.report)
    return month


def encode_months(months: Sequence[CheckedMonth], params: Mapping[str, Any]) -> TrainingSet:
    """Clean, split by time, encode, and put together the training set."""
    from trip_duration.training_set.build import encode

    return encode(training_set_request(params), list(months))


def run_data_tests(training_set: TrainingSet) -> list[dict[str, Any]]:
    """Test the training set; a failed test fails the task with all that failed."""
    from trip_duration.training_set.data_tests import require_passed, test_training_set

    outcomes = test_training_set(training_set)
    for outcome in outcomes:
        logger.info("%s", outcome)
    require_passed(outcomes)
    return [outcome.to_json() for outcome in outcomes]


def publish_training_set(training_set: TrainingSet) -> dict[str, Any]:
    """Keep the training set as a data product; return what a person wants to know of it."""
    from trip_duration.training_set.products import TrainingSetStore
    from trip_duration.training_set.summary import summarize

    product = TrainingSetStore(get_settings().storage_root).publish(training_set)
    return {**summarize(training_set), "key": product.key, "uri": product.reference.uri}
