"""The steps of the DAG `blend`: plain functions that the DAG file wraps as tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_loop.datasets.registry import dataset_of_variant
from model_loop.models.blend import Blend
from model_loop.models.training import TrainedModel
from model_loop.orchestration.loading import load
from model_loop.orchestration.registry import moment_of_form
from model_loop.orchestration.steps.promotion import say
from model_loop.pipeline.blending import (
    choose_blend,
    member_results,
    register_blend,
    train_blend,
)
from model_loop.pipeline.training import TrackedRun, collect_results
from model_loop.settings import get_settings
from model_loop.tracking.candidates import newest_versions
from model_loop.tracking.challengers import judged_by
from model_loop.tracking.choosing import promoter_for
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.lineage import find_lineage
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.types import TrainingSet

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.models.search import SearchRequest


def choose(
    params: Mapping[str, Any],
    ti: Any = None,  # noqa: ANN401 - Airflow's
) -> Blend | None:
    """Decide which versions are blended, and with which weights; None if no blend is better."""
    versions = _versions(params)
    numbers = params["versions"]
    if not numbers:
        promoter = promoter_for(
            versions.tracker, versions.service, "promote", None, moment_of_form(params)
        )
        numbers = newest_versions(promoter.versions, promoter.moment)
    training_set, request = _learned(versions, max(numbers))
    blend, said = choose_blend(versions, numbers, training_set, request)
    say(ti, said)
    return blend


def train(blend: Blend, params: Mapping[str, Any]) -> TrainedModel:
    """Make one model of the members, calibrate it, and judge it on the test part."""
    versions = _versions(params)
    return train_blend(versions, blend, *_learned(versions, _newest(blend)))


def register(
    trained: TrainedModel, params: Mapping[str, Any], dag_run: DagRunProtocol
) -> dict[str, Any]:
    """Log the blend with its signature, register it, and compare it with its members."""
    blend, versions = trained.blend, _versions(params)
    assert blend is not None
    training_set, request = _learned(versions, _newest(blend))
    tracker = versions.tracker
    run = TrackedRun(tracker, dag_run.dag_id, f"{dag_run.dag_id}/{dag_run.run_id}")
    run_id = run.open(f"{dag_run.dag_id} {dag_run.run_id}", training_set, params)
    ended = False
    try:
        result = register_blend(run, run_id, trained, training_set, request)
        members = member_results(versions, blend, training_set, request)
        results = collect_results(run, run_id, [result, *members], training_set, load)
        ended = True
    finally:
        tracker.close_families(run_id)
        tracker.close_run(run_id, "FINISHED" if ended else "FAILED")
    return results


def _newest(blend: Blend) -> int:
    return max(member.version for member in blend.members)


def _learned(versions: ModelVersions, number: int) -> tuple[TrainingSet, SearchRequest]:
    """Return the training set and the search of a version."""
    settings = get_settings()
    training_set = judged_by(
        versions,
        number,
        storage_root=settings.storage_root,
        timeout_seconds=settings.request_timeout_seconds,
    )
    return training_set, find_lineage(versions.tracker, versions.name, number).search


def _versions(params: Mapping[str, Any]) -> ModelVersions:
    settings, service = get_settings(), params["service"]
    dataset = dataset_of_variant(service)
    return ModelVersions(tracker_of(dataset, settings.tracking_uri, settings.experiment), service)
