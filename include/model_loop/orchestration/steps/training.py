"""The steps of the training DAGs: plain functions that the DAG files wrap as tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from model_loop.cluster.fitting import cluster_fits
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError, ReportedError
from model_loop.models.catalogue import ModelFamily, families_for, get_family
from model_loop.models.extras import extra_families
from model_loop.models.training import train
from model_loop.orchestration.loading import load
from model_loop.orchestration.steps.preparation import require_product
from model_loop.orchestration.steps.requests import (
    dataset_of_form,
    preparation_conf,
    search_request,
    training_set_request,
)
from model_loop.pipeline import training
from model_loop.settings import get_settings
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.runs import Tracker
from model_loop.training_set.products import TrainingSetStore

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.models.journal import KeyValueStore
    from model_loop.models.search import TuningResult
    from model_loop.models.training import TrainedModel
    from model_loop.training_set.products import TrainingSetProduct

logger = logging.getLogger(__name__)


def choose_models(params: Mapping[str, Any]) -> list[str]:
    """List the scikit-learn families to train."""
    names = [*params["models"], *params["extra_models"]]
    if not names:
        raise InvalidInputError("The form", "names no model", "Choose at least one family.")
    families = [model_family(name, params) for name in names]
    for family in families:
        # Forms ask for an encoding only where there are several.
        family.require_readable(params.get("encoding", "native"))
    chosen = {family.name for family in families}
    # The catalogue has the quick ones first; begun last, they fill what the long ones leave.
    known = [
        name
        for name in reversed([*families_for(dataset_of_form(params).target.kind)])
        if name in chosen
    ]
    return [*sorted(chosen - set(known)), *known]


def model_family(name: str, params: Mapping[str, Any]) -> ModelFamily:
    """A family by its name: of the catalogue, or of those that the form adds.

    Raises
    ------
    InvalidInputError
        If it is unknown, or an added one is wrong.
    """
    added, kind = params.get("extra_models") or {}, dataset_of_form(params).target.kind
    if name not in added:
        return get_family(name, kind)
    return extra_families({name: added[name]}, kind)[name]


def missing_training_set(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the form for `data_preparation`; None if a fresh training set exists.

    Checks the whole form, before any expensive work.
    """
    search_request(params)
    if "models" in params:
        choose_models(params)
    store = TrainingSetStore(get_settings().storage_root)
    request = training_set_request(params)
    if store.find_fresh(request, max_age_seconds=params["max_age_seconds"]):
        logger.info("A training set of these partitions is there and fresh enough.")
        return None
    return preparation_conf(params)


def get_training_set(params: Mapping[str, Any]) -> TrainingSetProduct:
    """The finished training set that the form asks for; the step before saw to its age."""
    return require_product(training_set_request(params))


def open_run(params: Mapping[str, Any], dag_run: DagRunProtocol) -> str:
    """Begin the run on the tracking server that holds everything of this DAG run."""
    name = f"{dag_run.dag_id} {dag_run.run_id}"
    return _run(params["service"], dag_run).open(name, get_training_set(params).load(), params)


def tune_family(
    family: str,
    product: TrainingSetProduct,
    parent_run_id: str,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    task_state_store: KeyValueStore,
) -> TuningResult:
    """Search the best settings of one family, tracking each trial.

    Every trial is kept in the task's state as it ends, so that a task that was killed, retried or
    cleared evaluates only what is left.
    """
    return training.tune_family(
        _run(params["service"], dag_run),
        parent_run_id,
        model_family(family, params),
        product.load(),
        search_request(params),
        task_state_store,
    )


def train_family(
    tuned: TuningResult, product: TrainingSetProduct, params: Mapping[str, Any]
) -> TrainedModel:
    """Fit the best settings on train and validation; judge the model on the test part."""
    family = model_family(tuned.family, params)
    elsewhere = cluster_fits(get_settings())
    return train(tuned, product.load(), search_request(params), family, elsewhere=elsewhere)


def register_family(
    trained: TrainedModel,
    product: TrainingSetProduct,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
) -> dict[str, Any]:
    """Log the model with its signature, register it, and end the family's run."""
    family = model_family(trained.tuned.family, params)
    return training.register_family(
        _run(params["service"], dag_run), trained, family, product.load(), search_request(params)
    )


def collect_results(
    families: Iterable[dict[str, Any]] | dict[str, Any],
    product: TrainingSetProduct,
    parent_run_id: str,
    dag_run: DagRunProtocol,
) -> dict[str, Any]:
    """Rank the results of all families, the best by the primary metric first."""
    # Airflow hands over the result of a single instance alone, not in a list.
    all_families = [families] if isinstance(families, dict) else families
    return training.collect_results(
        _run(product.request.service, dag_run), parent_run_id, all_families, product.load(), load
    )


def close_run(
    parent_run_id: str, results: Mapping[str, Any] | None, params: Mapping[str, Any]
) -> None:
    """End the DAG run's run on the tracking server, and what its families have left.

    Raises
    ------
    ReportedError
        If there are no results. The run of the DAG has to fail then: of one that a person has
        marked as failed, this is the only task that still runs, and its success would make the run
        one.
    """
    tracker = _tracker(params["service"])
    tracker.close_families(parent_run_id)
    tracker.close_run(parent_run_id, "FINISHED" if results else "FAILED")
    if not results:
        raise ReportedError(
            "The run",
            "has no results",
            "See which task has failed; if none has, the run was marked as failed.",
        )


def _tracker(service: str) -> Tracker:
    settings, dataset = get_settings(), dataset_of_variant(service)
    return tracker_of(dataset, settings.tracking_uri, settings.experiment)


def _run(service: str, dag_run: DagRunProtocol) -> training.TrackedRun:
    return training.TrackedRun(
        _tracker(service), dag_run.dag_id, f"{dag_run.dag_id}/{dag_run.run_id}"
    )
