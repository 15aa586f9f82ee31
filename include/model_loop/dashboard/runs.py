"""Reading runs from the tracking server, as few and as small as the pages need."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from model_loop.dashboard.types import (
    FamilyRun,
    LoggedPartition,
    RegistryState,
    TrialRun,
    VersionRow,
    WindowRun,
)
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.tracking.deployments import RETIRED_TAG, declared_moment
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.history import History
from model_loop.tracking.names import Purpose, experiments_of
from model_loop.tracking.runs import (
    FINDINGS,
    FINDINGS_TAG,
    IDENTITY_TAG,
    JUDGED_TAG,
    REFUSED_TAG,
)
from model_loop.tracking.versions import ModelVersions

#: The newest of each kind that the pages show.
MOST_FAMILIES, MOST_WINDOWS, MOST_VERSIONS, MOST_TRIALS = 1_500, 500, 300, 500
MOST_ENTRIES = 100
#: Five years of days, with some that were logged twice.
MOST_PARTITIONS = 2_000
_PAGE = 250
#: MLflow keeps infinity as the largest number.
_MOST = 1e300
#: A metric that every window has in which drift was looked for.
_DRIFT = "psi_average.all"


class Runs:
    """Runs of training and of partitions, windows and versions.

    Parameters
    ----------
    client
        Of the tracking server.
    setting
        Experiment of all datasets by the settings; empty where each has its own.
    """

    def __init__(self, client: MlflowClient, setting: str) -> None:
        self._client = client
        self._setting = setting

    def families(self, service: str) -> tuple[FamilyRun, ...]:
        """Families of training runs of a service, the newest first."""
        wanted = f"tags.service = '{service}' and tags.MODEL != '' and tags.`{IDENTITY_TAG}` != ''"
        return tuple(map(_family, self._search(self._experiments(service), wanted, MOST_FAMILIES)))

    def partitions(self, service: str) -> tuple[LoggedPartition, ...]:
        """Return the run of each partition of a service that was compared last, in their order."""
        wanted = f"tags.service = '{service}' and tags.pipeline = 'months'"
        found: dict[tuple[str, str], LoggedPartition] = {}
        for run in self._search(self._experiments(service), wanted, MOST_PARTITIONS):
            made = _partition(run)
            key = (made.service, made.partition)
            if run.info.status == "FINISHED" and (
                key not in found or found[key].logged < made.logged
            ):
                found[key] = made
        return tuple(found[key] for key in sorted(found))

    def windows(self, service: str) -> tuple[WindowRun, ...]:
        """Return the findings of monitoring, in the order of the windows."""
        wanted = f"tags.service = '{service}' and tags.window != ''"
        found: dict[tuple[int, str, str], WindowRun] = {}
        for run in self._search(self._experiments(service, "monitoring"), wanted, MOST_WINDOWS):
            one = _window(run)
            key = (one.version, one.source, one.label)
            # Two steps that began a window at the same moment have a run each.
            found[key] = _joined(found[key], one) if key in found else one
        told = (one for one in found.values() if one.level)
        return tuple(sorted(told, key=lambda one: one.end))

    def trials(self, family_run_id: str) -> tuple[TrialRun, ...]:
        """The trials of a family, in their order."""
        wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{family_run_id}'"
        experiment = self._client.get_run(family_run_id).info.experiment_id
        runs = self._search([experiment], wanted, MOST_TRIALS)
        return tuple(sorted(map(_trial, runs), key=lambda one: one.number))

    def registry(self, versions: ModelVersions) -> RegistryState:
        """The versions of a service, how they stand, and what was done."""
        found = self._client.search_model_versions(
            f"name = '{versions.name}'", MOST_VERSIONS, order_by=["version_number DESC"]
        )
        return RegistryState(
            versions.standings(),
            tuple(map(_version, found)),
            tuple(History(versions).entries(most=MOST_ENTRIES)),
        )

    def document(self, run_id: str, path: str) -> bytes | None:
        """An artifact of a run; None if it has none of that name."""
        return read_artifact(self._client, run_id, path)

    def numbers(self, run_id: str, path: str) -> Mapping[str, Any] | None:
        """An artifact in JSON."""
        found = self.document(run_id, path)
        return None if found is None else json.loads(found)

    def _experiments(self, service: str, purpose: Purpose = "") -> list[str]:
        names = experiments_of(dataset_of_variant(service), self._setting, purpose)
        found = map(self._client.get_experiment_by_name, names)
        return [each.experiment_id for each in found if each is not None]

    def _search(self, experiments: list[str], wanted: str, most: int) -> Iterator[Run]:
        if not experiments:
            return
        token, left = None, most
        while left > 0:
            page = self._client.search_runs(
                experiments,
                filter_string=wanted,
                max_results=min(left, _PAGE),
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            token, left = page.token, left - len(page)
            if not token:
                return


def _metrics(run: Run) -> dict[str, float]:
    """The metrics that are numbers: of a fit that went astray, MLflow keeps NaN."""
    return {name: value for name, value in run.data.metrics.items() if abs(value) < _MOST}


def _family(run: Run) -> FamilyRun:
    tags = run.data.tags
    pipeline, _, rest = tags[IDENTITY_TAG].partition("/")
    return FamilyRun(
        run_id=run.info.run_id,
        pipeline=pipeline,
        dag_run=rest.rpartition("/")[0],
        family=tags["MODEL"],
        service=tags.get("service", ""),
        recipe=" ".join(tags[name] for name in ("recipe", "encoding") if name in tags),
        source=tags.get("data_source", ""),
        status=run.info.status,
        started=run.info.start_time / 1_000,
        metrics=_metrics(run),
        settings=dict(run.data.params),
        moment=_moment(tags),
        test_partitions=tags.get("TEST_DATA", ""),
        # Runs of earlier versions of this package name their training set alone.
        rows=tags.get("test_rows") or tags.get("training_set", ""),
    )


def _partition(run: Run) -> LoggedPartition:
    tags = run.data.tags
    return LoggedPartition(
        run_id=run.info.run_id,
        service=tags["service"],
        partition=tags["month"],
        source=tags.get("data_source", ""),
        # This file may have been compared again since.
        logged=float(tags.get(JUDGED_TAG, (run.info.end_time or run.info.start_time) / 1_000)),
        metrics=_metrics(run),
        refused=tags.get(REFUSED_TAG) == "True",
        findings=tags.get(FINDINGS_TAG, FINDINGS),
    )


def _window(run: Run) -> WindowRun:
    tags = run.data.tags
    return WindowRun(
        run_id=run.info.run_id,
        version=int(tags["version"]),
        source=tags.get("source", ""),
        label=tags["window"],
        end=dt.datetime.fromisoformat(tags["window_end"]).timestamp(),
        level=tags.get("level", ""),
        found=tags.get("found", ""),
        outcome=tags.get("outcome", ""),
        metrics=_metrics(run),
    )


def _joined(one: WindowRun, other: WindowRun) -> WindowRun:
    """Merge two runs of the same window; drift's has the report."""
    drift, rest = (one, other) if _DRIFT in one.metrics else (other, one)
    judged = one if one.level else other
    return replace(judged, run_id=drift.run_id, metrics={**rest.metrics, **drift.metrics})


def _trial(run: Run) -> TrialRun:
    return TrialRun(
        number=int(run.data.tags.get("trial", 0)),
        status=run.info.status,
        settings=dict(run.data.params),
        metrics=_metrics(run),
    )


def _version(found: Any) -> VersionRow:  # noqa: ANN401 - MLflow's
    return VersionRow(
        number=int(found.version),
        run_id=found.run_id or "",
        family=found.tags.get("MODEL", ""),
        registered=found.creation_timestamp / 1_000,
        retired=RETIRED_TAG in found.tags,
    )


def _moment(tags: Mapping[str, str]) -> str:
    """Return the moment of a run; empty if its tags lack it, or its dataset is gone."""
    try:
        return declared_moment(tags, dataset_of_variant(tags.get("service", ""))) or ""
    except InvalidInputError:
        return ""
