"""Tune, train, judge and register the families of a run, and track all of it.

A run is found again by its identity: begun anew after a kill, it goes on with what it has done.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from model_loop.datasets.dataset import Target
from model_loop.errors import StoredObjectError, optional
from model_loop.models.baseline import baseline_errors, title_of, validation_errors
from model_loop.models.catalogue import ModelFamily
from model_loop.models.class_metrics import ClassMetrics
from model_loop.models.journal import KeyValueStore, TrialJournal
from model_loop.models.progress import TrialProgress
from model_loop.models.search import ErrorMetrics, SearchRequest, TuningResult
from model_loop.models.training import TrainedModel
from model_loop.models.tuning import tune
from model_loop.monitoring.profile import log_reference, make_reference
from model_loop.serving.compiled.compiler import log_form
from model_loop.tracking.beside import Beside
from model_loop.tracking.deployments import registered_name
from model_loop.tracking.lineage import lineage_of, log_lineage
from model_loop.tracking.models import (
    ChampionErrors,
    champion_errors,
    log_comparison,
    log_model_report,
)
from model_loop.tracking.registry import Load, LoadedModel, load_registered, register_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.summary import summarize
from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedRun:
    """A run on the tracking server, with a child for each family.

    Parameters
    ----------
    tracker
        Tracker of the experiment.
    pipeline
        Name of the DAG or command.
    identity
        Name of the run, the same whenever it is begun again.
    """

    tracker: Tracker
    pipeline: str
    identity: str

    def of_family(self, family: str) -> str:
        """Return the identity of the run of a family."""
        return f"{self.identity}/{family}"

    def open(self, name: str, training_set: TrainingSet, params: Mapping[str, Any]) -> str:
        """Begin the run, or go on with it; return its id."""
        tags = {"pipeline": self.pipeline, **training_set_tags(training_set)}
        run_id = self.tracker.open_run(self.identity, name, tags)
        self.tracker.log(run_id, params=params)
        self.tracker.log_training_set(run_id, training_set)
        logger.info("Tracked at %s", self.tracker.run_url(run_id))
        return run_id


def tune_family(
    run: TrackedRun,
    parent_run_id: str,
    family: ModelFamily,
    training_set: TrainingSet,
    request: SearchRequest,
    store: KeyValueStore,
) -> TuningResult:
    """Search the best settings of one family, tracking each trial.

    Parameters
    ----------
    store
        Keeps each trial as it ends, so that a search that was killed evaluates only what is left.
    """
    tags = {"pipeline": run.pipeline, "MODEL": family.name, **training_set_tags(training_set)}
    run_id = run.tracker.open_run(
        run.of_family(family.name), family.name, tags, parent_run_id=parent_run_id
    )
    run.tracker.log_training_set(run_id, training_set)
    metric = training_set.dataset.target.main_metric
    progress = TrialProgress(family.name, request.max_evaluations, metric)
    with TrialLogger(run.tracker, run_id, tags) as log_trial:
        journal = TrialJournal(store, family.name, training_set.digest, request)
        tuned = tune(family, training_set, request, progress.then(log_trial), journal)
    rounds = {} if tuned.best.rounds is None else {"rounds": tuned.best.rounds}
    sampled = {}
    if tuned.sampled:
        sampled = {
            "trial_rows": tuned.sampled.train_rows,
            "finalist_rows": tuned.sampled.again_rows,
            "sample_regret": tuned.sampled.regret,
        }
    run.tracker.log(
        run_id,
        # With these anybody can fit the same model: what was searched, what is fixed, how long.
        params={**(tuned.fixed or {}), **tuned.best.settings, **rounds},
        metrics={
            **tuned.validation.named("validation"),
            "tuning_seconds": tuned.seconds,
            **sampled,
        },
    )
    return tuned


def register_family(
    run: TrackedRun,
    trained: TrainedModel,
    family: ModelFamily,
    training_set: TrainingSet,
    request: SearchRequest,
) -> dict[str, Any]:
    """Log a model with its report and signature, register it, and end the family's run.

    Returns
    -------
    dict
        The result of the family as plain JSON.

    Raises
    ------
    StoredObjectError
        If the family's run is gone.
    """
    tracker, tuned = run.tracker, trained.tuned
    found = tracker.find_run(run.of_family(family.name))
    if found is None:
        raise StoredObjectError(
            f"The run of {family.name}",
            "is gone from the tracking server",
            "Tune it again: clear its task.",
        )
    run_id = found.info.run_id
    metrics: dict[str, float] = {"training_seconds": trained.seconds}
    if trained.rows is not None:
        metrics["fitted_rows"] = trained.rows
    if trained.test:
        metrics |= trained.test.named("test")
    if trained.evaluation:
        metrics |= trained.evaluation.naive.named("naive_test")
        for name, limits in trained.evaluation.intervals.items():
            metrics |= zip((f"test_{name}_lower", f"test_{name}_upper"), limits, strict=True)
    if trained.calibration:
        metrics |= trained.calibration.metrics
    if trained.decision:
        metrics |= trained.decision.metrics
    tracker.log(run_id, metrics=metrics)
    log_model_report(tracker, run_id, trained, training_set)
    log_lineage(tracker, run_id, lineage_of(trained, training_set, request, family))
    shap = trained.explanation.shap if trained.explanation else None
    if training_set.reference_rows is None:
        logger.warning("The training set is of an earlier version: no profile is kept")
    else:
        reference = None
        with optional("The profile of the learned rows"):
            reference = make_reference(trained.model, training_set, shap.features if shap else None)
        if reference is not None:
            log_reference(tracker, run_id, reference)
    registered = register_model(
        tracker,
        run_id,
        trained.model,
        name=registered_name(training_set.variant),
        example=training_set.example_rows,
        tags={"MODEL": family.name, **training_set_tags(training_set)},
        dataset=training_set.dataset,
        beside=Beside(
            training_set.learned,
            trained.calibration.intervals if trained.calibration else None,
            trained.decision,
        ),
    )
    with optional("The compiled form"):
        columns = training_set.recipe.columns
        loaded = LoadedModel(trained.model, columns, 0.0, training_set.example_rows)
        log_form(tracker, run_id, loaded, training_set.dataset)
    result = {
        "family": family.name,
        "loss": request.loss(tuned.validation),
        **_shown(trained, training_set.dataset.target),
        "naive_test": as_json_numbers(asdict(trained.evaluation.naive))
        if trained.evaluation
        else None,
        "evaluations": len(tuned.trials),
        "seconds": round(tuned.seconds + trained.seconds, 3),
        "settings": dict(tuned.best.settings),
        "rounds": tuned.best.rounds,
        "note": _sample_note(trained, training_set),
        "model_uri": registered.uri,
        "version": registered.version,
        "run_id": run_id,
    }
    tracker.close_run(run_id)
    return result


def _sample_note(trained: TrainedModel, training_set: TrainingSet) -> str:
    """Say which rows of a large table were taken; nothing where all were."""
    counts, sampled, said = training_set.rows, trained.tuned.sampled, []
    if trained.rows is not None and trained.rows < counts["all"]:
        said.append(f"fitted on {trained.rows:,} of {counts['all']:,}")
    if sampled:
        said.append(f"trials on {sampled.train_rows:,} of {counts['train']:,}")
        said.append(f"the best again on {sampled.again_rows:,}")
    return f"{training_set.dataset.rows[0]}: {', '.join(said)}" if said else ""


#: Metrics that results show, by the kind of the target; the first is the one that ranks.
SHOWN_METRICS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "regression": ("rmse", "mae"),
        # With few rows of a class, accuracy is high whatever a model knows.
        "binary": ("log_loss", "roc_auc", "average_precision"),
        "multiclass": ("log_loss", "roc_auc", "balanced_accuracy"),
    }
)


def shown_metrics(target: Target) -> tuple[str, ...]:
    """Return the names of the metrics that results of a target show, the main one first."""
    return SHOWN_METRICS[target.kind]


def _shown(trained: TrainedModel, target: Target) -> dict[str, float | None]:
    """Return the metrics that a result shows: ``validation_rmse``, ``test_rmse`` and so on.

    Those of classes at the threshold are among them, for sentences.
    """
    validation, test = trained.tuned.validation, trained.test
    decided = ("accuracy", "precision", "recall") if target.is_classified else ()
    names = (*shown_metrics(target), *decided)
    return as_json_numbers(
        {
            f"{part}_{name}": None if metrics is None else getattr(metrics, name)
            for part, metrics in (("validation", validation), ("test", test))
            for name in names
        }
    )


def as_json_numbers(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return numbers as JSON has them: none in the place of one that is not finite.

    The ROC AUC is none where a class is missing among the rows.
    """
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in values.items()
    }


def collect_results(
    run: TrackedRun,
    parent_run_id: str,
    families: Iterable[dict[str, Any]],
    training_set: TrainingSet,
    load: Load = load_registered,
) -> dict[str, Any]:
    """Rank the results of all families, the best by the primary metric first."""
    ranked = sorted(families, key=lambda result: result["loss"])
    tracker, best, target = run.tracker, ranked[0], training_set.dataset.target
    main = target.main_metric
    tracker.log(
        parent_run_id,
        metrics={
            f"best_{name}": best[name]
            for name in (f"{part}_{main}" for part in ("validation", "test"))
            if best[name] is not None
        },
        tags={"best_model": best["family"]},
    )
    # It is the same for all: the median of the same rows on the same rows.
    baselines = [family.pop("naive_test", None) for family in ranked]
    errors = next((each for each in baselines if each), None)
    kind = ClassMetrics if target.is_classified else ErrorMetrics
    constant = title_of("share" if target.is_classified else "median")
    naive = {}
    if errors:
        naive[constant] = kind(
            **{name: math.nan if value is None else value for name, value in errors.items()}
        )
    champion = ChampionErrors()
    rule = baseline_errors(training_set) if errors else {}
    with optional("The comparison with the champion"):
        champion = champion_errors(tracker, training_set, load)
    others = {**naive, **rule, **champion.errors}
    log_comparison(
        tracker, parent_run_id, ranked, others, champion.notes, metrics=shown_metrics(target)
    )
    for name, note in champion.notes.items():
        logger.warning("%s: %s", name, note)
    on_validation = validation_errors(training_set)
    summary = summarize(training_set)
    return {
        **{
            name: summary[name]
            for name in ("data_source", "service", "recipe", "moment", "encoding")
        },
        "rows": summary["rows"],
        "training_set": summary["digest"],
        "metrics": list(shown_metrics(target)),
        "families": ranked,
        "compared_with": {
            name: {
                **as_json_numbers(
                    on_validation[name].named("validation") if name in on_validation else {}
                ),
                **as_json_numbers(found.named("test")),
            }
            for name, found in others.items()
        },
        "not_compared": dict(champion.notes),
        "run_id": parent_run_id,
        "run_url": tracker.run_url(parent_run_id),
    }
