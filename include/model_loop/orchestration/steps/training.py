"""The steps of the training DAGs: plain functions that the DAG files wrap as tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError, ReportedError, StoredObjectError, optional
from model_loop.models.baseline import baseline_errors
from model_loop.models.catalogue import FAMILIES, ModelFamily, get_family
from model_loop.models.extras import extra_families
from model_loop.models.journal import TrialJournal
from model_loop.models.progress import TrialProgress
from model_loop.models.search import ErrorMetrics, TuningResult
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.monitoring.profile import log_reference, make_reference
from model_loop.orchestration.loading import load
from model_loop.orchestration.steps.preparation import require_product
from model_loop.orchestration.steps.requests import (
    preparation_conf,
    search_request,
    training_set_request,
)
from model_loop.serving.compiled.compiler import log_form
from model_loop.settings import get_settings
from model_loop.tracking.deployments import registered_name
from model_loop.tracking.lineage import lineage_of, log_lineage
from model_loop.tracking.models import (
    ChampionErrors,
    champion_errors,
    log_comparison,
    log_model_report,
)
from model_loop.tracking.registry import LoadedModel, register_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.summary import summarize

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.models.journal import KeyValueStore
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
        family.require_readable(params["encoding"])
    chosen = {family.name for family in families}
    # The catalogue has the quick ones first; begun last, they fill what the long ones leave.
    known = [name for name in reversed(list(FAMILIES)) if name in chosen]
    return [*sorted(chosen - set(known)), *known]


def model_family(name: str, params: Mapping[str, Any]) -> ModelFamily:
    """A family by its name: of the catalogue, or of those that the form adds.

    Raises
    ------
    InvalidInputError
        If it is unknown, or an added one is wrong.
    """
    added = params.get("extra_models") or {}
    if name not in added:
        return get_family(name)
    return extra_families({name: added[name]})[name]


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
        logger.info("A training set of these months is there and fresh enough.")
        return None
    return preparation_conf(params)


def get_training_set(params: Mapping[str, Any]) -> TrainingSetProduct:
    """The finished training set that the form asks for; the step before saw to its age."""
    return require_product(training_set_request(params))


def open_run(params: Mapping[str, Any], dag_run: DagRunProtocol) -> str:
    """Begin the run on the tracking server that holds everything of this DAG run."""
    training_set = get_training_set(params).load()
    tracker = _tracker()
    tags = {"pipeline": dag_run.dag_id, **training_set_tags(training_set)}
    run_id = tracker.open_run(_identity(dag_run), f"{dag_run.dag_id} {dag_run.run_id}", tags)
    tracker.log(run_id, params=params)
    tracker.log_training_set(run_id, training_set)
    logger.info("Tracked at %s", tracker.run_url(run_id))
    return run_id


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
    training_set = product.load()
    request = search_request(params)
    tags = {"pipeline": dag_run.dag_id, "MODEL": family, **training_set_tags(training_set)}
    tracker = _tracker()
    run_id = tracker.open_run(_identity(dag_run, family), family, tags, parent_run_id=parent_run_id)
    tracker.log_training_set(run_id, training_set)
    progress = TrialProgress(family, request.max_evaluations)
    with TrialLogger(tracker, run_id, tags) as log_trial:
        journal = TrialJournal(task_state_store, family, training_set.digest, request)
        known = model_family(family, params)
        tuned = tune(known, training_set, request, progress.then(log_trial), journal)
    rounds = {} if tuned.best.rounds is None else {"rounds": tuned.best.rounds}
    tracker.log(
        run_id,
        # With these anybody can fit the same model: what was searched, what is fixed, how long.
        params={**known.fixed, **tuned.best.settings, **rounds},
        metrics={**tuned.validation.named("validation"), "tuning_seconds": tuned.seconds},
    )
    return tuned


def train_family(
    tuned: TuningResult, product: TrainingSetProduct, params: Mapping[str, Any]
) -> TrainedModel:
    """Fit the best settings on train and validation; judge the model on the test months."""
    family = model_family(tuned.family, params)
    return train(tuned, product.load(), search_request(params), family)


def register_family(
    trained: TrainedModel,
    product: TrainingSetProduct,
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
) -> dict[str, Any]:
    """Log the model with its signature, register it, and end the family's run."""
    training_set, tracker, tuned = product.load(), _tracker(), trained.tuned
    run = tracker.find_run(_identity(dag_run, tuned.family))
    if run is None:
        raise StoredObjectError(
            f"The run of {tuned.family}", "is gone from the tracking server", "Clear its tune task."
        )
    run_id = run.info.run_id
    tags = {"MODEL": tuned.family, **training_set_tags(training_set)}
    metrics = {"training_seconds": trained.seconds}
    if trained.test:
        metrics |= trained.test.named("test")
    if trained.evaluation:
        metrics |= trained.evaluation.naive.named("naive_test")
    tracker.log(run_id, metrics=metrics)
    log_model_report(tracker, run_id, trained, training_set)
    family, request = model_family(tuned.family, params), search_request(params)
    log_lineage(tracker, run_id, lineage_of(trained, training_set, request, family))
    shap = trained.explanation.shap if trained.explanation else None
    if training_set.reference_rows is None:
        logger.warning("The training set is of an earlier version: no profile is kept")
    else:
        reference = make_reference(trained.model, training_set, shap.features if shap else None)
        log_reference(tracker, run_id, reference)
    registered = register_model(
        tracker,
        run_id,
        trained.model,
        name=registered_name(training_set.request.service),
        example=training_set.example_rows,
        tags=tags,
        optional=training_set.dataset.optional,
    )
    with optional("The compiled form"):
        columns = training_set.recipe.columns
        loaded = LoadedModel(trained.model, columns, 0.0, training_set.example_rows)
        log_form(tracker, run_id, loaded, dataset_of_variant(training_set.request.service))
    tracker.close_run(run_id)
    return {
        "family": tuned.family,
        "loss": request.loss(tuned.validation),
        "validation_rmse": tuned.validation.rmse,
        "validation_mae": tuned.validation.mae,
        "test_rmse": trained.test.rmse if trained.test else None,
        "test_mae": trained.test.mae if trained.test else None,
        "naive_test": asdict(trained.evaluation.naive) if trained.evaluation else None,
        "evaluations": len(tuned.trials),
        "seconds": round(tuned.seconds + trained.seconds, 3),
        "settings": dict(tuned.best.settings),
        "rounds": tuned.best.rounds,
        "model_uri": registered.uri,
        "run_id": run_id,
    }


def collect_results(
    families: Iterable[dict[str, Any]] | dict[str, Any],
    product: TrainingSetProduct,
    parent_run_id: str,
) -> dict[str, Any]:
    """The results of all families, the best by the primary metric first."""
    # Airflow hands over the result of a single instance alone, not in a list.
    all_families = [families] if isinstance(families, dict) else families
    ranked = sorted(all_families, key=lambda result: result["loss"])
    tracker = _tracker()
    best = ranked[0]
    tracker.log(
        parent_run_id,
        metrics={
            f"best_{name}": best[name]
            for name in ("validation_rmse", "test_rmse")
            if best[name] is not None
        },
        tags={"best_model": best["family"]},
    )
    # It is the same for all: the median of the same trips on the same trips.
    errors, *_ = [family.pop("naive_test") for family in ranked]
    naive = {"naive median": ErrorMetrics(**errors)} if errors else {}
    training_set, champion = product.load(), ChampionErrors()
    rule = baseline_errors(training_set) if errors else {}
    with optional("The comparison with the champion"):
        champion = champion_errors(tracker, training_set, load)
    others = {**naive, **rule, **champion.errors}
    log_comparison(tracker, parent_run_id, ranked, others, champion.notes)
    for name, note in champion.notes.items():
        logger.warning("%s: %s", name, note)
    summary = summarize(training_set)
    return {
        **{
            name: summary[name]
            for name in ("data_source", "service", "recipe", "moment", "encoding")
        },
        "rows": summary["rows"],
        "training_set": summary["digest"],
        "families": ranked,
        "compared_with": {name: found.named("test") for name, found in others.items()},
        "not_compared": dict(champion.notes),
        "run_id": parent_run_id,
        "run_url": tracker.run_url(parent_run_id),
    }


def close_run(parent_run_id: str, results: Mapping[str, Any] | None) -> None:
    """End the DAG run's run on the tracking server, and what its families have left.

    Raises
    ------
    ReportedError
        If there are no results. The run of the DAG has to fail then: of one that a person has
        marked as failed, this is the only task that still runs, and its success would make the run
        one.
    """
    tracker = _tracker()
    tracker.close_families(parent_run_id)
    tracker.close_run(parent_run_id, "FINISHED" if results else "FAILED")
    if not results:
        raise ReportedError(
            "The run",
            "has no results",
            "See which task has failed; if none has, the run was marked as failed.",
        )


def _tracker() -> Tracker:
    settings = get_settings()
    return Tracker(settings.tracking_uri, settings.experiment)


def _identity(dag_run: DagRunProtocol, *parts: str) -> str:
    return "/".join((dag_run.dag_id, dag_run.run_id, *parts))
