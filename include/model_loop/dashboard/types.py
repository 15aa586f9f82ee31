"""Data of the pages, as small plain values. Times are seconds since 1970, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from model_loop.datasets.dataset import Moment
from model_loop.tracking.deployments import (
    PARTS,
    Deployment,
    HistoryEntry,
    Part,
    first_standing,
)


@dataclass(frozen=True)
class FamilyRun:
    """A model family in a run of a training DAG.

    Parameters
    ----------
    run_id
        On the tracking server.
    pipeline, dag_run
        The DAG and its run.
    family, service, recipe, source
        What was trained, on what.
    status
        ``FINISHED``, ``RUNNING``, ``FAILED``.
    started
        When its search began.
    metrics
        By name.
    settings
        Of the best trial.
    moment
        The moment at which its model is asked.
    test_partitions
        The partitions that its test errors are of.
    rows
        Names the rows that its test errors are of.
    """

    run_id: str
    pipeline: str
    dag_run: str
    family: str
    service: str
    recipe: str
    source: str
    status: str
    started: float
    metrics: Mapping[str, float]
    settings: Mapping[str, str]
    moment: str = ""
    test_partitions: str = ""
    rows: str = ""


@dataclass(frozen=True)
class LoggedPartition:
    """A partition that was checked and profiled.

    Parameters
    ----------
    run_id
        On the tracking server; its artifacts hold the profile.
    service, partition, source
        Which partition of which variant, and where it is from.
    logged
        When.
    metrics
        By name. None of a partition that breaks its contract.
    refused
        Whether no model may learn from it.
    findings
        The artifact that says what was found.
    """

    run_id: str
    service: str
    partition: str
    source: str
    logged: float
    metrics: Mapping[str, float]
    refused: bool = False
    findings: str = "findings.json"


@dataclass(frozen=True)
class TrialRun:
    """One trial of a search.

    Parameters
    ----------
    number
        From 0.
    status
        ``FINISHED``, ``KILLED`` (given up) or ``FAILED``.
    settings, metrics
        By name.
    """

    number: int
    status: str
    settings: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class VersionRow:
    """A version of the registered model.

    Parameters
    ----------
    number, run_id, family
        Which, and what made it.
    registered
        When.
    retired
        Whether it never answers again.
    """

    number: int
    run_id: str
    family: str
    registered: float
    retired: bool = False


@dataclass(frozen=True)
class RegistryState:
    """The versions of the service, the newest first, how they stand, and what was done."""

    standings: Mapping[Moment, Deployment] = field(default_factory=dict)
    versions: tuple[VersionRow, ...] = ()
    history: tuple[HistoryEntry, ...] = ()

    @property
    def standing(self) -> Deployment:
        """Standing at the earliest moment that has a champion."""
        return first_standing(self.standings) if self.standings else Deployment()

    @property
    def led(self) -> Mapping[Moment, Deployment]:
        """Return how the versions stand at the moments that have a champion, the earliest first."""
        return {at: one for at, one in self.standings.items() if one.champion is not None}

    def parts(self, number: int) -> list[tuple[Part, Moment, float]]:
        """The parts that a version has, with their moment and the share of a challenger."""
        return [
            (part, moment, standing.share)
            for moment, standing in self.standings.items()
            for part in PARTS
            if getattr(standing, part) == number
        ]

    def version(self, number: int | None) -> VersionRow | None:
        """A version by its number."""
        return next((one for one in self.versions if one.number == number), None)


@dataclass(frozen=True)
class LearnedColumn:
    """Values of a column in the rows that a version has learned from.

    Parameters
    ----------
    values
        The most frequent ones of a category, the most frequent first.
    lowest, highest
        Of a number.
    example
        Value of the row that the form begins with, as JSON; None if it has none.
    """

    values: tuple[str, ...] = ()
    lowest: float | None = None
    highest: float | None = None
    example: bool | float | str | None = None


@dataclass(frozen=True)
class WindowRun:
    """Findings of monitoring about a window.

    Parameters
    ----------
    run_id
        On the tracking server.
    version, source
        Which version was watched, by rows of which source.
    label, end
        Of the window.
    level, found, outcome
        Severity, findings, and outcome.
    metrics
        ``psi.temperature`` and so on.
    """

    run_id: str
    version: int
    source: str
    label: str
    end: float
    level: str
    found: str
    outcome: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class DagDay:
    """Runs of a DAG that ended on a day, as ``2024-03-01`` in UTC."""

    dag_id: str
    day: str
    succeeded: int
    failed: int


@dataclass(frozen=True)
class LastRun:
    """The latest run of a DAG that has ended."""

    dag_id: str
    run_id: str
    state: str
    ended: float


@dataclass(frozen=True)
class DagRuns:
    """Numbers and states of DAG runs.

    Parameters
    ----------
    days
        By DAG and day.
    last
        The latest run of each DAG.
    failing
        DAGs whose latest run has failed, with the number of failures since their last success.
    """

    days: tuple[DagDay, ...] = ()
    last: tuple[LastRun, ...] = ()
    failing: Mapping[str, int] = field(default_factory=dict)

    def last_of(self, dag_id: str) -> LastRun | None:
        """The latest run of one."""
        return next((one for one in self.last if one.dag_id == dag_id), None)
