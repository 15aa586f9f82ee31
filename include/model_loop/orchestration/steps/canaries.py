"""The step of the DAG `alerts` that looks at canaries."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from model_loop.datasets.registry import dataset_names, get_dataset, is_left_out
from model_loop.errors import ModelLoopError
from model_loop.monitoring.canaries import CanaryRules, canary_alert, look_at_canaries
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.registry import versions_of
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

logger = logging.getLogger(__name__)

_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def watch() -> list[dict[str, Any]]:
    """Look at the canaries of all datasets, and end or propose those that are due.

    A canary that cannot be looked at now is looked at again in five minutes; the log says why. The
    health of the loop tells by itself of a tracking server or a log that does not answer.
    """
    told: list[dict[str, Any]] = []
    try:
        with _few_retries():
            told.extend(_look_at_all())
    except (MlflowException, SQLAlchemyError) as error:
        logger.warning("Canaries are looked at in five minutes again: %s", error)
    return told


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Let MLflow's client give up soon: the next run of the DAG waits, and with it all mails."""
    before = os.environ.get(_RETRIES)
    os.environ.setdefault(_RETRIES, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[_RETRIES]


def _look_at_all() -> Iterator[dict[str, Any]]:
    settings = get_settings()
    engine = open_log(settings.request_log_url, settings.serving_folder)
    for name in dataset_names():
        if is_left_out(name):
            continue
        try:
            variants = [*get_dataset(name).variants]
        except ModelLoopError as error:
            logger.warning("Canaries of %s are not looked at: %s", name, error)
            continue
        for variant in variants:
            try:
                yield from _look(engine, variant, CanaryRules.of(settings))
            except ModelLoopError as error:
                logger.warning("Canaries of %s are not looked at: %s", variant, error)


def _look(engine: Engine, variant: str, rules: CanaryRules) -> Iterator[dict[str, Any]]:
    versions = versions_of(variant)
    for verdict, entry in look_at_canaries(engine, versions, rules):
        logger.info("%s, version %d: %s", variant, verdict.canary.version, verdict.why)
        if entry is not None:
            announce(canary_alert(verdict, entry, versions.tracker.run_url(entry.run_id)))
        yield verdict.summary()
