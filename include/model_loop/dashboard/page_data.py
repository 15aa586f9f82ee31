"""Data of the pages: read in the background, and cached."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from model_loop.background_cache import BackgroundCache
from model_loop.charts.chart import Chart, Empty
from model_loop.charts.formatting import UNKNOWN
from model_loop.charts.wording import Wording
from model_loop.dashboard.additions import Panel, PartitionCharts
from model_loop.dashboard.page import Card
from model_loop.dashboard.types import (
    DagRuns,
    FamilyRun,
    LearnedColumn,
    LoggedPartition,
    RegistryState,
    TrialRun,
    WindowRun,
)
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.monitoring.health.types import ServiceHealth
from model_loop.monitoring.levels import Thresholds
from model_loop.serving.comparison.report import AbReport
from model_loop.settings import Settings

#: Seconds that a page waits for data it has never had; then it says so, and asks again.
_PATIENCE_SECONDS = 1.2
#: Seconds for an update of cached data; longer for the registry, which people change.
_NEWS_SECONDS, _MOVES_SECONDS = 0.25, 1.0
#: A page with older data reloads: after a long pause, the update has to wait for a new process.
_OLD_SECONDS = 240.0
#: Documents of runs that are kept: they do not change.
_DOCUMENTS = 48

#: Between the name of a dataset and the job, in the id of a DAG.
_BETWEEN = "__"
#: DAGs of no dataset.
_SHARED = ("alerts", "maintenance")

_Value = TypeVar("_Value")

PARTS = ("families", "partitions", "registry", "windows", "live", "dags", "health")


class SingleRuns(Protocol):
    """Reads what single runs hold; see `runs.Runs`."""

    def document(self, run_id: str, path: str) -> bytes | None:
        """An artifact of a run; None if it has none of that name."""

    def numbers(self, run_id: str, path: str) -> Mapping[str, Any] | None:
        """An artifact in JSON."""

    def trials(self, family_run_id: str) -> tuple[TrialRun, ...]:
        """The trials of a family, in their order."""

    def learned(self, service: str, version: str) -> Mapping[str, LearnedColumn]:
        """Columns of the rows that a version has learned from, by field; empty if unknown."""


class DatasetPages(Protocol):
    """Additions of one dataset; see `Extensions.pages`."""

    def partition(
        self,
        parts: LoadedParts,
        profile: Mapping[str, Any] | None,
        name: str,
        query: Mapping[str, str],
    ) -> PartitionCharts:
        """Draw a partition by its profile; None where it has none."""

    def panel(self) -> Panel:
        """Return the panel beside the form."""


@dataclass(frozen=True)
class PageSources:
    """Sources of the parts of a page.

    Parameters
    ----------
    service
        Whose model.
    runs
        Reads single runs.
    families, partitions, registry, windows, live, dags, health
        Each part; see `LoadedParts`.
    thresholds
        Of monitoring, by metric.
    pages
        Additions of the dataset to the pages; None if it has none.
    predict
        Address of its predictions on this server, such as ``flights/predict``; empty if this
        server does not answer for it.
    trained
        Returns the dataset as the champion was trained on it, in whose words and units the pages
        are; None where no version is served here.
    """

    service: str
    runs: SingleRuns
    families: BackgroundCache[tuple[FamilyRun, ...]]
    partitions: BackgroundCache[tuple[LoggedPartition, ...]]
    registry: BackgroundCache[RegistryState]
    windows: BackgroundCache[tuple[WindowRun, ...]]
    live: BackgroundCache[AbReport]
    dags: BackgroundCache[DagRuns]
    health: BackgroundCache[ServiceHealth]
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    pages: DatasetPages | None = None
    predict: str = ""
    trained: Callable[[], Dataset] | None = None

    @functools.cached_property
    def declared(self) -> Dataset:
        """Dataset of the variant as it is declared now."""
        return dataset_of_variant(self.service)

    @property
    def dataset(self) -> Dataset:
        """Dataset of the variant, with the words and units of its champion."""
        return self.trained() if self.trained else self.declared

    @property
    def words(self) -> Wording:
        """Words of charts."""
        return Wording.of(self.dataset)

    @property
    def title(self) -> str:
        """Title of the variant, for people."""
        return self.dataset.variants[self.service].title

    def dag_id(self, job: str) -> str:
        """Return the id of the dataset's DAG for a job."""
        return f"{self.dataset.names.dag_prefix}{job}"

    @property
    def answered(self) -> bool:
        """True if this server answers requests of the variant."""
        return bool(self.predict)

    @property
    def partitions_job(self) -> str:
        """Job of the DAG that prepares single partitions of the variant."""
        name = self.service.removeprefix(self.dataset.name).lstrip(".")
        return f"{name}_{self.dataset.names.partitions}".lstrip("_")

    def at_moment(self, moment: Moment) -> str:
        """Return a moment in brackets; empty where models are asked at no other one."""
        return f" ({moment})" if len(self.dataset.asked_at) > 1 else ""

    def owns(self, dag_id: str) -> bool:
        """Return whether a DAG is one of the dataset, or of all datasets."""
        own = self.dataset.names.dag_prefix.removesuffix(_BETWEEN)
        return dag_id in _SHARED or dag_id.rpartition(_BETWEEN)[0] == own

    def with_unit(self, value: float | None) -> str:
        """Return a value of the target to the hundredth; a dash where it is not known."""
        return UNKNOWN if value is None else self.words.amount(value, 2)

    def begin(self) -> None:
        """Refresh all outdated parts."""
        for name in PARTS:
            getattr(self, name).refresh()

    def look(self, *names: str) -> LoadedParts:
        """Return the parts that a page needs, as far as they are loaded."""
        parts: dict[str, BackgroundCache[Any]] = {name: getattr(self, name) for name in names}
        for part in parts.values():
            part.refresh()
        started = time.monotonic()
        values, problems, waiting = {}, [], False
        missing: dict[str, str] = {}
        for name, part in parts.items():
            news = _MOVES_SECONDS if name == "registry" else _NEWS_SECONDS
            patience = news if part.has_value else _PATIENCE_SECONDS
            entry = part.get(max(started + patience - time.monotonic(), 0.0))
            if entry.value is not None:
                values[name] = entry.value
                waiting |= part.loading and time.monotonic() - entry.at > _OLD_SECONDS
            elif part.loading:
                waiting = True
                missing[name] = "is being read"
            else:
                problems.append(f"{_CALLED[name]}: {entry.problem}")
                missing[name] = "cannot be read now"
        return LoadedParts(self, values, problems, waiting, missing)

    @functools.cached_property
    def numbers(self) -> DocumentCache[Mapping[str, Any] | None]:
        """Documents of runs, by run and path."""
        return DocumentCache(self.runs.numbers)

    @functools.cached_property
    def learned(self) -> DocumentCache[Mapping[str, LearnedColumn]]:
        """Columns that a version has learned from, by the variant and the version."""
        return DocumentCache(self.runs.learned)

    @functools.cached_property
    def trials(self) -> DocumentCache[tuple[TrialRun, ...]]:
        """Trials by the run of their family."""
        return DocumentCache(self.runs.trials)


class DocumentCache(Generic[_Value]):
    """Cache of documents of single runs, each read once; absence is not cached.

    Parameters
    ----------
    read
        Reads it, by a key.
    """

    def __init__(self, read: Callable[..., _Value]) -> None:
        self._read = read
        self._caches: dict[tuple[str, ...], BackgroundCache[_Value]] = {}
        self._lock = threading.Lock()

    def look(self, *key: str) -> BackgroundCache[_Value]:
        """One of them, being read where that was not done."""
        with self._lock:
            # The latest is the last to be forgotten.
            one = self._caches.pop(key, None)
            if one is None or not (one.loading or one.get(0).value):
                one = BackgroundCache(functools.partial(self._read, *key), math.inf, math.inf)
            self._caches[key] = one
            while len(self._caches) > _DOCUMENTS:
                self._caches.pop(next(iter(self._caches)))
        one.refresh()
        return one


@dataclass
class LoadedParts:
    """Data of one page; reading documents of runs adds to the problems.

    Parameters
    ----------
    sources
        Where it comes from.
    values
        The parts, by name.
    problems
        What cannot be had, and why.
    waiting
        Whether something is being read for the first time, or the first time for long.
    missing
        Parts that are not known, and why: nothing must be said of them, least of all "none".
    """

    sources: PageSources
    values: Mapping[str, Any]
    problems: list[str] = field(default_factory=list)
    waiting: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)

    def card(self, label: str, parts: Iterable[str], make: Callable[[LoadedParts], Card]) -> Card:
        """Make a card; where a part is not known that it needs, one that says so."""
        for part in parts:
            if part in self.missing:
                return Card(label, UNKNOWN, _untold(part, self.missing))
        return make(self)

    def charts(self, parts: Iterable[str], charts: Iterable[Chart]) -> list[Chart]:
        """Let charts that are empty say so where a part is not known that they need."""
        lacking = [part for part in parts if part in self.missing]
        if not lacking:
            return list(charts)
        empty = Empty(_untold(lacking[0], self.missing))
        return [one if one.table.rows else replace(one, empty=empty) for one in charts]

    def numbers(self, run_id: str, path: str) -> Mapping[str, Any] | None:
        """A document of a run; None if it has none, or it cannot be read now."""
        return self._read(self.sources.numbers.look(run_id, path))

    def trials(self, run_id: str) -> tuple[TrialRun, ...]:
        """The trials of the run of a family; none if they cannot be read now."""
        return self._read(self.sources.trials.look(run_id)) or ()

    def learned(self, version: int) -> Mapping[str, LearnedColumn]:
        """The columns that a version has learned from, by field; empty if they are unknown."""
        return self._read(self.sources.learned.look(self.sources.service, str(version))) or {}

    def _read(self, part: BackgroundCache[_Value]) -> _Value | None:
        entry = part.get(_PATIENCE_SECONDS)
        if entry.value is None and part.loading:
            self.waiting = True
        elif entry.problem:
            problem = f"A document of a run (MLflow): {entry.problem}"
            self.problems += [] if problem in self.problems else [problem]
        return entry.value

    @property
    def families(self) -> tuple[FamilyRun, ...]:
        """Families of training runs, the newest first."""
        found: tuple[FamilyRun, ...] = self.values.get("families", ())
        return found

    @property
    def partitions(self) -> tuple[LoggedPartition, ...]:
        """The partitions that were prepared."""
        found: tuple[LoggedPartition, ...] = self.values.get("partitions", ())
        return found

    @property
    def registry(self) -> RegistryState:
        """The versions, and how they stand."""
        return self.values.get("registry") or RegistryState()

    @property
    def windows(self) -> tuple[WindowRun, ...]:
        """Windows with their findings by monitoring."""
        found: tuple[WindowRun, ...] = self.values.get("windows", ())
        return found

    @property
    def live(self) -> AbReport:
        """Errors by version, on rows whose true value is known by now."""
        return self.values.get("live") or AbReport((), ())

    @property
    def dags(self) -> DagRuns:
        """Numbers of DAG runs."""
        return self.values.get("dags") or DagRuns()

    @property
    def health(self) -> ServiceHealth | None:
        """Health of the service; None while it is not loaded."""
        return self.values.get("health")


def pages_of(dataset: Dataset, settings: Settings) -> DatasetPages | None:
    """Return the additions of a dataset; None if it has none."""
    make = dataset.extensions.load("pages")
    made: DatasetPages | None = make(settings) if make else None
    return made


def _untold(part: str, missing: Mapping[str, str]) -> str:
    return f"{_CALLED[part]}: {missing[part]}."


_CALLED = {
    "families": "Training runs (MLflow)",
    "partitions": "Partitions (MLflow)",
    "registry": "The model registry (MLflow)",
    "windows": "Findings of monitoring (MLflow)",
    "live": "The request log",
    "dags": "Airflow's database",
    "health": "The health of the service",
}
