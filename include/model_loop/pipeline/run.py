"""The whole way of a declared table: from its files to a champion at each moment.

Finished work is kept under the storage root, so that a killed run can be resumed: a finished
training set, the trials of a search and registered families are not made again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from model_loop.cluster.fitting import ClusterFits
from model_loop.coded.versions import load_any
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import InvalidInputError, optional
from model_loop.models.blend import BLEND
from model_loop.models.catalogue import families_for, get_family
from model_loop.models.gate import GateVerdict
from model_loop.models.gate_rules import GateRules
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.objects.documents import record_of, text_of
from model_loop.partitions.completing import complete_files
from model_loop.partitions.contract import TableLimits
from model_loop.partitions.source import find_files, resolved_source
from model_loop.pipeline.blending import blend_families
from model_loop.pipeline.state import FileStore
from model_loop.pipeline.training import (
    TrackedRun,
    collect_results,
    register_family,
    tune_family,
)
from model_loop.pipeline.workers import run_jobs, workers_for
from model_loop.sources.copies import copies_in
from model_loop.tracking.actions import Action
from model_loop.tracking.challengers import judge_in_turn
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.names import ANSWER_TIME
from model_loop.tracking.partitions import partition_log_of
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.build import require_ready
from model_loop.training_set.data_tests import require_passed, run_data_tests
from model_loop.training_set.frames import clock_times
from model_loop.training_set.preparation import (
    Verdict,
    compare_partitions,
    preparation_of,
    require_sound,
)
from model_loop.training_set.products import TrainingSetProduct, TrainingSetStore
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import SHARES, split_of
from model_loop.training_set.types import TrainingSet

PIPELINE = "run"
#: Search of each family where nothing else is asked for.
EVALUATIONS = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunRequest:
    """Choices of a run.

    Parameters
    ----------
    families
        Names of the model families; all that learn the kind of target, if empty.
    recipes
        Names of the recipes; all of the dataset, if empty.
    variants
        Keys of the variants; all of the dataset, if empty.
    partitions
        Keys of the partitions that are read; all, if empty.
    search
        Length and method of each search.
    gate
        Limits that a challenger is held to.
    shares
        Shares of train, validation, calibration and test.
    limits
        Shares of rows above which a partition is refused.
    promote
        Whether the best model becomes champion where the gate lets it.
    accepted
        Findings that a person has accepted.
    workers
        Families that are fitted at a time, each in a process of its own: 1 fits them in this one,
        0 as many as cores and memory allow.
    blend
        Whether a blend of the families is one more candidate.
    """

    families: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    search: SearchRequest = field(
        default_factory=lambda: SearchRequest(max_evaluations=EVALUATIONS)
    )
    gate: GateRules = field(default_factory=GateRules)
    shares: tuple[float, ...] = SHARES
    limits: TableLimits = field(default_factory=TableLimits)
    promote: bool = True
    accepted: tuple[str, ...] = ()
    workers: int = 1
    blend: bool = True


@dataclass(frozen=True)
class Places:
    """Places of what is kept.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address of products and state.
    tracking_uri, experiment
        Tracking server, and the experiment of the runs: of the dataset's own name, if empty.
    timeout_seconds
        Longest wait for an answer of a source.
    cluster
        Cluster for the final fits of large tables; None fits all of them here.
    """

    storage_root: str
    tracking_uri: str
    experiment: str
    timeout_seconds: float = 60.0
    cluster: ClusterFits | None = None


def run_table(
    declaration: Declaration, folder: Path, request: RunRequest, places: Places
) -> dict[str, Any]:
    """Prepare, tune, train, judge and promote; return the result as plain JSON.

    Parameters
    ----------
    folder
        Folder of the declaration's file, at which relative paths begin.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        If the declaration, a file or its rows are refused.
    """
    declaration = resolved_source(declaration, folder)
    require_ready(declaration)
    state = _state(places, declaration.name)
    results, dataset = [], None
    for variant in request.variants or _variants(declaration):
        for product, training_set in _prepared(declaration, variant, request, places, state):
            dataset = training_set.dataset
            results.append(_run_recipe(product, training_set, request, places, state))
    if dataset is None:
        raise InvalidInputError("The run", "names no variant", "Name one, or leave it out.")
    return {
        "dataset": declaration.name,
        "target": dataset.target.name,
        "unit": dataset.target.unit,
        "tracking_uri": places.tracking_uri,
        "runs": results,
    }


def _variants(declaration: Declaration) -> tuple[str, ...]:
    names = tuple(f"{declaration.name}.{name}" for name in declaration.variants)
    return names or (declaration.name,)


def _prepared(
    declaration: Declaration, variant: str, request: RunRequest, places: Places, state: FileStore
) -> Iterator[tuple[TrainingSetProduct, TrainingSet]]:
    """Yield the training set of each recipe of a variant, built where there is none yet."""
    files = find_files(
        declaration,
        variant,
        request.partitions,
        copies=copies_in(UPath(places.storage_root), places.timeout_seconds),
    )
    completed = complete_files(declaration, files, variant)
    dataset = use_dataset(dataset_of(completed))
    store, preparation = TrainingSetStore(places.storage_root), preparation_of(dataset)
    requests = [
        TableRequest(
            declaration=text_of_declaration(completed),
            variant=variant,
            recipe=name,
            split=split_of(dataset, request.shares),
            partitions=request.partitions,
            random_state=request.search.random_state,
            accepted_findings=request.accepted,
            limits=request.limits,
        )
        for name in request.recipes or tuple(dataset.recipes)
    ]

    @functools.cache
    def compared() -> Sequence[Verdict]:
        """Compare the partitions, which are those of every recipe, and log them."""
        tracker = tracker_of(dataset, places.tracking_uri, places.experiment)
        log = functools.partial(partition_log_of(dataset), tracker)
        return compare_partitions(
            requests[0],
            storage_root=places.storage_root,
            timeout_seconds=places.timeout_seconds,
            log=log,
        )

    for asked in requests:
        product = store.find_fresh(asked, max_age_seconds=float("inf"))
        if product is not None and preparation.is_current(
            product,
            storage_root=places.storage_root,
            timeout_seconds=places.timeout_seconds,
        ):
            logger.info("The training set of the recipe %s is there already.", asked.recipe)
            training_set = product.load()
        else:
            require_sound(dataset, compared())
            training_set = preparation.encode(asked, compared(), storage_root=places.storage_root)
            require_passed(run_data_tests(training_set))
            product = store.publish(training_set, asked)
        # A training set may have been made with another tracking server.
        state.once(
            f"{places.tracking_uri} partitions {product.key}",
            lambda: {"partitions": len(compared())},
        )
        yield product, training_set


def _run_recipe(
    product: TrainingSetProduct,
    training_set: TrainingSet,
    request: RunRequest,
    places: Places,
    state: FileStore,
) -> dict[str, Any]:
    recipe, variant = training_set.recipe, training_set.variant
    request = replace(request, search=request.search.for_target(training_set.dataset.target))
    searched = json.dumps(asdict(request.search), sort_keys=True)
    digest = hashlib.sha256(f"{training_set.digest} {searched}".encode()).hexdigest()[:16]
    tracker = tracker_of(training_set.dataset, places.tracking_uri, places.experiment)
    run = TrackedRun(tracker, PIPELINE, f"{PIPELINE}/{variant}/{recipe.name}/{digest}")
    stored = text_of(product)
    names = request.families or tuple(families_for(training_set.dataset.target.kind))
    run_id = run.open(f"{variant} {recipe.name}", training_set, {"families": names})
    jobs = [FamilyJob(name, stored, request.search, places, run.identity, run_id) for name in names]
    waiting = [job for job in jobs if state.get(job.key) is None]
    workers = request.workers or workers_for(_size(training_set), len(waiting))
    if workers > 1 and len(waiting) > 1:
        logger.info("Fitting %d families, %d at a time", len(waiting), workers)
        run_jobs(fit_family, waiting, workers)
    families = [
        state.once(job.key, functools.partial(_family, run, training_set, job, state))
        for job in jobs
    ]
    families, blend = [dict(each) for each in families], dict[str, Any]()
    if request.blend:
        versions = ModelVersions(tracker, variant)
        numbers = [int(family["version"]) for family in families]
        with optional("The blend"):
            blend = state.once(
                f"{places.tracking_uri} {run.identity} {BLEND} {numbers}",
                functools.partial(
                    blend_families, run, run_id, versions, numbers, training_set, request.search
                ),
            )
        if blend.get("family"):
            for family in families:
                family[ANSWER_TIME] = blend[ANSWER_TIME].get(family["family"])
            families.append(dict(blend["family"]))
    results = collect_results(run, run_id, families, training_set, load_any)
    outcome = {**results, **_described(training_set), "blend": blend.get("said", "")}
    if request.promote:
        outcome |= _promote(run, results["families"], training_set, request.gate, places)
    tracker.close_run(run_id)
    return outcome


@dataclass(frozen=True)
class FamilyJob:
    """Family that is to be tuned, trained and registered, for a worker.

    Parameters
    ----------
    name
        Name of the family.
    product
        The training set as it is stored, as JSON.
    search
        Length and method of the search.
    places
        Places of what is kept.
    identity, run_id
        The run on the tracking server.
    """

    name: str
    product: str
    search: SearchRequest
    places: Places
    identity: str
    run_id: str

    @property
    def key(self) -> str:
        """Key of its result: a result names a version of one registry."""
        return f"{self.places.tracking_uri} {self.identity} {self.name}"


def fit_family(job: FamilyJob) -> dict[str, Any]:
    """Do a job in this process, and keep its result."""
    training_set = record_of(TrainingSetProduct, json.loads(job.product)).load()
    dataset = use_dataset(training_set.dataset)
    tracker = tracker_of(dataset, job.places.tracking_uri, job.places.experiment)
    state = _state(job.places, dataset.name)
    run = TrackedRun(tracker, PIPELINE, job.identity)
    return state.once(job.key, functools.partial(_family, run, training_set, job, state))


def _state(places: Places, name: str) -> FileStore:
    return FileStore(UPath(places.storage_root) / "runs" / name)


def _size(training_set: TrainingSet) -> int:
    """Return the bytes of the matrices of a training set."""
    matrices = (
        matrix
        for splits in training_set.layouts.values()
        for matrix in (splits.train, splits.validation, splits.train_validation)
    )
    return sum(
        matrix.nbytes
        if isinstance(matrix, np.ndarray)
        else matrix.data.nbytes + matrix.indices.nbytes
        for matrix in matrices
    )


def _family(
    run: TrackedRun, training_set: TrainingSet, job: FamilyJob, state: FileStore
) -> dict[str, Any]:
    family = get_family(job.name, training_set.dataset.target.kind)
    tuned = tune_family(run, job.run_id, family, training_set, job.search, state)
    elsewhere = job.places.cluster
    trained = train(tuned, training_set, job.search, family, elsewhere=elsewhere)
    return register_family(run, trained, family, training_set, job.search)


def _promote(
    run: TrackedRun,
    ranked: Sequence[Mapping[str, Any]],
    training_set: TrainingSet,
    rules: GateRules,
    places: Places,
) -> dict[str, Any]:
    """Let the gate judge the best model, and make it champion where it passes."""
    tracker = tracker_of(training_set.dataset, places.tracking_uri, places.experiment, "promotion")
    promoter = Promoter(tracker, training_set.variant, training_set.recipe.moment)
    champion = promoter.standing().champion
    versions = [int(family["version"]) for family in ranked]
    if champion in versions:
        # A run that was killed may have moved the alias without ending the entry of the history.
        promoter.settle()
        return {"champion": champion, "gate": None, "refused": []}
    verdict, earlier = judge_in_turn(
        promoter,
        versions,
        rules,
        f"{run.identity}/gate/{champion}",
        storage_root=places.storage_root,
        timeout_seconds=places.timeout_seconds,
        load=load_any,
    )
    refused = [_gate(each) for each in earlier]
    if not verdict.passed:
        return {"champion": champion, "gate": _gate(verdict), "refused": refused}
    tried = f"{champion}/{verdict.challenger}" if refused else f"{champion}"
    nth = "best" if not refused else f"best but {len(refused)}"
    action = Action(
        "promote",
        training_set.variant,
        verdict.challenger,
        who=PIPELINE,
        why=f"{nth} of {run.identity}",
        expected=champion,
        evidence=verdict.table(),
        remarks=verdict.remarks,
    )
    promoter.act(action, f"{run.identity}/promote/{tried}")
    standing = promoter.standing().champion
    return {"champion": standing, "gate": _gate(verdict), "refused": refused}


def _gate(verdict: GateVerdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "version": verdict.challenger,
        "checks": [asdict(check) for check in verdict.checks],
    }


def _described(training_set: TrainingSet) -> dict[str, Any]:
    """Describe the parts and what was set aside."""
    calibration = training_set.calibration_rows
    parts = {
        **{name: training_set.rows[name] for name in ("train", "validation")},
        "calibration": 0 if calibration is None else len(calibration),
        "test": training_set.rows["test"],
    }
    return {
        "variant": training_set.variant,
        "positive": classes.positive if (classes := training_set.target.classes) else None,
        "rows": parts,
        "split": training_set.request.split.in_words,
        "chosen_by": training_set.chosen_by,
        "periods": {name: asdict(period) for name, period in training_set.periods.items()},
        "read": sum(report.rows_read for report in training_set.cleaning),
        "set_aside": _set_aside(training_set.cleaning),
        "columns": list(training_set.recipe.columns),
        "example": _example(training_set),
        "findings": [finding.to_json() for finding in training_set.findings],
    }


def _example(training_set: TrainingSet) -> dict[str, Any]:
    """Return a row as a request has it; values that are missing are left out."""
    row = training_set.example_rows.iloc[0]
    found: dict[str, Any] = {}
    for column in training_set.dataset.columns:
        if column.name not in row or pd.isna(row[column.name]):
            continue
        value = row[column.name]
        if column.kind == "time":
            times = clock_times(pd.Series([float(value)]))
            found[column.field] = str(_as_stored(training_set.dataset, column.name, times).iloc[0])
        elif column.kind == "category":
            found[column.field] = str(value)
        else:
            found[column.field] = bool(value) if column.kind == "yes_no" else _plain(float(value))
    return found


def _plain(number: float) -> float:
    """Return a number as people write it: a whole one without a point."""
    return int(number) if number.is_integer() else number


def _as_stored(dataset: Dataset, name: str, times: pd.Series[Any]) -> pd.Series[Any]:
    """Return times of the table on the clocks of its files, as which requests are read."""
    time = dataset.declaration.time if dataset.declaration else None
    if time is None or name != time.column or time.stored_in == time.time_zone:
        return times
    there = times.dt.tz_localize(
        time.time_zone, ambiguous=np.ones(len(times), dtype=bool), nonexistent="shift_forward"
    )
    stored: pd.Series[Any] = there.dt.tz_convert(time.stored_in).dt.tz_localize(None)
    return stored


def _set_aside(reports: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for report in reports:
        for rule, rows in report.set_aside.items():
            found[rule] = found.get(rule, 0) + rows
        if report.unreadable:
            found["unreadable"] = found.get("unreadable", 0) + report.unreadable
    return found
