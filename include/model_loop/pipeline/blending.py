"""Blend the registered families of a training set, and register the blend if it is worth it.

All of it comes from the tracking server, so that families may have been trained by several runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from model_loop.days import days_of
from model_loop.errors import optional
from model_loop.intervals.residuals import Residuals
from model_loop.models.blend import BLEND, Blend, BlendMember, judge_blend
from model_loop.models.blended import family_of_blends, train_members
from model_loop.models.calibrating import residuals_by_search
from model_loop.models.classification.clusters import Clusters
from model_loop.models.classification.finishing import clusters_of_residuals
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel
from model_loop.pipeline.training import TrackedRun, register_family, shown_metrics
from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.compiled.model import Blended, CompiledModel, NotCompiledError
from model_loop.tracking.candidates import find_candidates
from model_loop.tracking.names import ANSWER_TIME, MEMBERS_TAG
from model_loop.tracking.registry import LoadedModel, load_registered
from model_loop.tracking.runs import training_set_tags
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.encodings import Layout
from model_loop.training_set.types import TrainingSet

#: Rounds of answers that are timed, the fastest of which counts: others only add to it.
_ROUNDS = 7

logger = logging.getLogger(__name__)


def choose_blend(
    versions: ModelVersions,
    numbers: Sequence[int],
    training_set: TrainingSet,
    request: SearchRequest,
) -> tuple[Blend | None, str]:
    """Return the blend of some versions that is worth having, if any, and the decision in words.

    Parameters
    ----------
    numbers
        Versions that may be members; the best of each family is looked at.
    training_set
        Training set on whose rows they were chosen.
    """
    found = find_candidates(versions, numbers, training_set, request)
    layout = family_of_blends(training_set).layout
    actual = training_set.judged_target(layout)
    any_of_them = next(iter(found.predicted.values()), actual)
    residuals = residuals_by_search(training_set, layout, any_of_them)
    clusters, group = _clusters_of(residuals, training_set, layout), training_set.dataset.group
    if clusters.kind == "rows" and group is not None:
        said = (
            f"There is no blend: rows of the same {group} cannot be grouped on validation, "
            "so that a gain may be noise."
        )
        logger.info("%s", said)
        return None, said
    judgement = judge_blend(
        found.predicted,
        actual,
        clusters,
        request,
        training_set.target,
        noun=training_set.dataset.rows[0],
    )
    said = " ".join((judgement.reason, *found.refused))
    logger.info("%s", said)
    if not judgement.chosen:
        return None, said
    members = tuple(
        BlendMember(family, found.versions[family], weight)
        for family, weight in judgement.weights.items()
    )
    return Blend(members, judgement), said


def _clusters_of(residuals: Residuals, training_set: TrainingSet, layout: Layout) -> Clusters:
    """Return the clusters of the rows of residuals: days, however few, before single rows.

    Rows of a day depend on each other, and with few days any gain may be noise.
    """
    clusters = clusters_of_residuals(residuals, training_set, layout)
    times = residuals.times
    if clusters.kind != "rows" or times is None or not np.isfinite(times).all():
        return clusters
    return Clusters("days", np.unique(days_of(times), return_inverse=True)[1])


def train_blend(
    versions: ModelVersions, blend: Blend, training_set: TrainingSet, request: SearchRequest
) -> TrainedModel:
    """Make the model of a blend of its registered members, and time its answers.

    Raises
    ------
    InvalidInputError, StoredObjectError
        If a member cannot be read.
    """
    numbers = [member.version for member in blend.members]
    models = [load_registered(versions.tracker, versions.name, number) for number in numbers]
    predicted = find_candidates(versions, numbers, training_set, request).predicted
    trained = train_members(
        blend, [loaded.model for loaded in models], predicted, training_set, request
    )
    timed = blend
    with optional("The time of an answer"):
        timed = _timed(blend, trained, training_set)
    return replace(trained, blend=timed)


def register_blend(
    run: TrackedRun,
    parent_run_id: str,
    trained: TrainedModel,
    training_set: TrainingSet,
    request: SearchRequest,
) -> dict[str, Any]:
    """Log a blend as any other model, register it, and return its result as plain JSON."""
    blend = trained.blend
    assert blend is not None
    tags = {"pipeline": run.pipeline, "MODEL": BLEND, **training_set_tags(training_set)}
    run_id = run.tracker.open_run(run.of_family(BLEND), BLEND, tags, parent_run_id=parent_run_id)
    run.tracker.log_training_set(run_id, training_set)
    times = {} if blend.microseconds is None else {ANSWER_TIME: blend.microseconds}
    members = [
        f"{member.family} (version {member.version}) {member.weight:.0%}"
        for member in blend.members
    ]
    run.tracker.log(
        run_id,
        params={
            name: value
            for member in blend.members
            for name, value in (
                (f"weight {member.family}", member.weight),
                (f"version {member.family}", member.version),
            )
        },
        metrics={
            **trained.tuned.validation.named("validation"),
            **blend.judgement.metrics(),
            **times,
            **{
                f"{ANSWER_TIME} {member.family}": member.microseconds
                for member in blend.members
                if member.microseconds is not None
            },
        },
        tags={MEMBERS_TAG: ", ".join(members)},
    )
    result = register_family(run, trained, family_of_blends(training_set), training_set, request)
    return {**result, ANSWER_TIME: blend.microseconds}


def blend_families(
    run: TrackedRun,
    parent_run_id: str,
    versions: ModelVersions,
    numbers: Sequence[int],
    training_set: TrainingSet,
    request: SearchRequest,
) -> dict[str, Any]:
    """Blend some versions where that is worth it.

    Returns
    -------
    dict
        As plain JSON: what was decided under ``said``, the result of the blend under ``family``
        (None where there is none), and under `ANSWER_TIME` the microseconds of each member.
    """
    blend, said = choose_blend(versions, numbers, training_set, request)
    if blend is None:
        return {"said": said, "family": None, ANSWER_TIME: {}}
    trained = train_blend(versions, blend, training_set, request)
    result = register_blend(run, parent_run_id, trained, training_set, request)
    return {"said": said, "family": result, ANSWER_TIME: answer_times(trained)}


def answer_times(trained: TrainedModel) -> dict[str, float | None]:
    """Return the time of an answer of each member of a blend, microseconds by family."""
    members = trained.blend.members if trained.blend else ()
    return {member.family: member.microseconds for member in members}


def member_results(
    versions: ModelVersions, blend: Blend, training_set: TrainingSet, request: SearchRequest
) -> list[dict[str, Any]]:
    """Return the results of the members of a blend, as their runs have them."""
    results = []
    names = [
        f"{part}_{name}"
        for part in ("validation", "test")
        for name in shown_metrics(training_set.target)
    ]
    for member in blend.members:
        run_id = str(versions.find(member.version).run_id)
        logged = versions.tracker.client.get_run(run_id).data.metrics
        loss = logged.get(f"validation_{request.primary_metric}", np.inf)
        results.append(
            {
                "family": member.family,
                "loss": -loss if request.direction == "maximize" else loss,
                **{name: logged.get(name) for name in names},
                "seconds": logged.get("tuning_seconds", 0.0) + logged.get("training_seconds", 0.0),
                "version": member.version,
                "run_id": run_id,
                ANSWER_TIME: member.microseconds,
            }
        )
    return results


def _timed(blend: Blend, trained: TrainedModel, training_set: TrainingSet) -> Blend:
    """Return a blend with the time that its compiled form, and that of each member, takes."""
    loaded = LoadedModel(trained.model, training_set.recipe.columns, 0.0, training_set.example_rows)
    form = compile_model(training_set.dataset, 0, loaded).form
    if form is None or not isinstance(form.flat, Blended):
        return blend
    members = [
        replace(member, microseconds=microseconds_of(own))
        for member, own in zip(blend.members, form.flat.members, strict=True)
    ]
    return replace(blend, members=tuple(members), microseconds=microseconds_of(form))


def microseconds_of(compiled: CompiledModel) -> float | None:
    """Return the microseconds that a form takes for one row of many; None if it cannot answer."""
    try:
        predict = compiled.predictor(machine_code=True)
    except NotCompiledError as error:
        logger.info("No time of an answer: %s", error)
        return None
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        predict(compiled.sample)
        seconds.append(time.perf_counter() - started)
    return float(np.min(seconds)) / len(compiled.sample) * 1e6
