"""The steps of `maintenance`: plain functions that the DAG file wraps as tasks."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.configuration import conf
from mlflow import MlflowClient
from upath import UPath

from model_loop.coded.registration import environments_in_use
from model_loop.datasets.registry import variants
from model_loop.objects.documents import moved_aside
from model_loop.objects.files import remove_leftovers as remove
from model_loop.objects.reference import ObjectReference
from model_loop.orchestration.alerts.announcements import unreadable_files
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.steps.old_logs import old_logs, remove_log
from model_loop.orchestration.steps.orphans import orphaned_objects, remove_empty_folders
from model_loop.orchestration.xcom import results_root
from model_loop.runner.environments import remove_unused
from model_loop.serving.batches.store import BatchStore
from model_loop.settings import get_settings
from model_loop.sources.eviction import CacheRules
from model_loop.sources.eviction import trim_cache as trim
from model_loop.training_set.retention import plan_pruning, prune
from model_loop.training_set.retention_rules import Retention

if TYPE_CHECKING:
    from model_loop.orchestration.steps.orphans import Coordinates

logger = logging.getLogger(__name__)


def check_form(params: Mapping[str, Any]) -> None:
    """Say what is kept; a form that is wrong fails here, before anything is removed."""
    logger.info("%s", ", ".join(f"{name} = {value}" for name, value in params.items()))


def remove_old_products(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove training sets and files of partitions that nobody needs; say which."""
    root = get_settings().storage_root
    pruning = plan_pruning(root, Retention(params["versions"], params["days"]))
    for what in (*(product.key for product in pruning.products), *pruning.files):
        logger.info("No longer needed: %s", what)
    if not params["only_look"]:
        prune(root, pruning)
    logger.info("%s %s", "Would remove" if params["only_look"] else "Removed", pruning)
    return {
        "training_sets": len(pruning.products),
        "files": len(pruning.files),
        "bytes": pruning.size,
        "removed": not params["only_look"],
    }


def trim_cache(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove fetched files beyond the size of the cache; say which."""
    settings = get_settings()
    rules = CacheRules(params["cache_bytes"], settings.cache_minimum_seconds)
    removed = trim(UPath(settings.storage_root), rules, only_look=params["only_look"])
    for copy in removed if params["only_look"] else ():
        logger.info("Would be removed from the cache: %s", copy.path)
    return {
        "files": len(removed),
        "bytes": sum(copy.size for copy in removed),
        "removed": not params["only_look"],
    }


def remove_orphaned_results(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove stored results of tasks whose runs were deleted; say how many."""
    root, removed, size = results_root(), 0, 0
    grace = get_settings().orphan_grace_seconds
    for path in list(orphaned_objects(root, _known_address, older_than_seconds=grace)):
        logger.info("No run refers to %s", path)
        removed, size = removed + 1, size + path.stat().st_size
        if not params["only_look"]:
            path.unlink(missing_ok=True)
    if not params["only_look"]:
        remove_empty_folders(root)
    return {"objects": removed, "bytes": size, "removed": not params["only_look"]}


def remove_leftovers(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove what killed writers have left, old batches, and environments without a version."""
    settings = get_settings()
    removed = [] if params["only_look"] else remove(UPath(settings.storage_root))
    for path in removed:
        logger.info("Left by a killed writer: %s", path)
    batches = 0
    if not params["only_look"] and settings.batches_folder.exists():
        batches = BatchStore(settings.batches_folder).remove_expired(settings.batches_days)
        logger.info("%d batches were older than they are kept", batches)
    environments = _remove_environments(params)
    return {"files": len(removed), "batches": batches, "environments": len(environments)}


def _remove_environments(params: Mapping[str, Any]) -> list[str]:
    """Remove environments of code that no version has any more."""
    settings = get_settings()
    if not settings.environments_folder.is_dir():
        return []
    names = [variant.model_name for variant in variants().values()]
    used = environments_in_use(MlflowClient(settings.tracking_uri), names)
    removed = remove_unused(
        settings.environments_folder, used, params["days"], only_look=params["only_look"]
    )
    for name in removed:
        logger.info("No version has the environment %s", name)
    return removed


def tell_of_unreadable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Tell which files could not be read and were moved aside; remove what was so long ago."""
    found = moved_aside(UPath(get_settings().storage_root))
    horizon = dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=params["log_days"])
    old = [path for at, path in found if at < horizon]
    for _, path in found:
        logger.warning("Could not be read: %s", path)
    if not params["only_look"]:
        if fresh := [str(path) for at, path in found if at >= horizon]:
            announce(unreadable_files(fresh))
        for path in old:
            path.unlink(missing_ok=True)
    return {"files": len(found), "removed": 0 if params["only_look"] else len(old)}


def remove_old_logs(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove logs that are older than they are kept; say how many."""
    folder, removed, size = Path(conf.get("logging", "base_log_folder")), 0, 0
    for log in list(old_logs(folder, days=params["log_days"])):
        removed, size = removed + 1, size + log.stat().st_size
        if not params["only_look"]:
            remove_log(log, folder)
    logger.info("%s logs in %s are older than %g days", removed, folder, params["log_days"])
    return {"logs": removed, "bytes": size, "removed": not params["only_look"]}


def _known_address(coordinates: Coordinates) -> str | None:
    """The address that Airflow's database keeps, without reading the object."""
    kept: Any = BaseXCom.get_one(
        key=coordinates.key,
        dag_id=coordinates.dag_id,
        run_id=coordinates.run_id,
        task_id=coordinates.task_id,
        map_index=coordinates.map_index,
    )
    return ObjectReference.from_json(kept).uri if ObjectReference.is_reference(kept) else None
