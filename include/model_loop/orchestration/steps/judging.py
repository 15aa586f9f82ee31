"""The gate of the promotion DAG."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk.types import DagRunProtocol

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import optional
from model_loop.models.gate import GateVerdict
from model_loop.models.gate_rules import GateRules
from model_loop.options import build
from model_loop.orchestration.loading import load
from model_loop.orchestration.registry import promoter_of, versions_of
from model_loop.orchestration.steps.promotion import saying
from model_loop.serving.compiled.compiler import log_form
from model_loop.settings import get_settings
from model_loop.tracking.challengers import example_rows, judge_in_turn, latest_challengers
from model_loop.tracking.foreign import import_model
from model_loop.tracking.registry import load_registered
from model_loop.tracking.versions import ModelVersions

logger = logging.getLogger(__name__)


def compare_with_champion(
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any = None,  # noqa: ANN401 - Airflow's
) -> GateVerdict:
    """Let the challenger and the champion predict the same test rows, and compare them."""
    with saying(ti):
        return _judge(params, dag_run)


def _judge(params: Mapping[str, Any], dag_run: DagRunProtocol) -> GateVerdict:
    version = params["version"]
    if params["model"]:
        identity = f"{dag_run.dag_id}/{dag_run.run_id}/model"
        version = _bring_in(versions_of(params["service"]), params["model"], identity)
    promoter = promoter_of(params, version)
    verdict, refused = judge_in_turn(
        promoter,
        [version] if version else latest_challengers(promoter),
        build(GateRules, params),
        f"{dag_run.dag_id}/{dag_run.run_id}/gate",
        **_places(),
        accept_generated=params["accept_generated_data"],
        load=load,
    )
    for each in refused if verdict in refused else (*refused, verdict):
        logger.info("Version %d:", each.challenger)
        for check in each.checks:
            mark = check.outcome if check.passed else check.outcome.upper()
            logger.info("%s: %s: %s (wanted: %s)", mark, check.name, check.found, check.wanted)
    return verdict


def _bring_in(versions: ModelVersions, model: str, identity: str) -> int:
    registered = import_model(
        versions,
        model,
        lambda columns: example_rows(versions, columns, **_places()),
        identity=identity,
        storage_root=get_settings().storage_root,
    )
    with optional("The compiled form"):
        loaded = load_registered(versions.tracker, registered.name, registered.version)
        dataset = dataset_of_variant(versions.service)
        log_form(versions.tracker, registered.run_id, loaded, dataset)
    logger.info("%s is version %d of %s", model, registered.version, registered.name)
    return registered.version


def _places() -> dict[str, Any]:
    settings = get_settings()
    return {
        "storage_root": settings.storage_root,
        "timeout_seconds": settings.request_timeout_seconds,
    }
