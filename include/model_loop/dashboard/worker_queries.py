"""Requests of the api-server to the process beside it; see `lookups`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from model_loop.dashboard.types import (
    FamilyRun,
    LearnedColumn,
    LoggedPartition,
    RegistryState,
    TrialRun,
    WindowRun,
)
from model_loop.dashboard.worker import WorkerProcess
from model_loop.monitoring.health.types import Champion, Product

_Value = TypeVar("_Value")


class WorkerQueries:
    """Data of the pages and the health that is too heavy to load in the api-server.

    Every method may raise `WorkerError`.

    Parameters
    ----------
    worker
        The worker process.
    """

    def __init__(self, worker: WorkerProcess | None = None) -> None:
        self._worker = worker or WorkerProcess("model_loop.dashboard.lookups")

    def families(self, service: str) -> tuple[FamilyRun, ...]:
        """Families of training runs of a service, the newest first."""
        return self._ask("families", tuple[FamilyRun, ...], service=service)

    def partitions(self, service: str) -> tuple[LoggedPartition, ...]:
        """The latest run of each partition of a service, in their order."""
        return self._ask("partitions", tuple[LoggedPartition, ...], service=service)

    def windows(self, service: str) -> tuple[WindowRun, ...]:
        """Return the findings of monitoring, in the order of the windows."""
        return self._ask("windows", tuple[WindowRun, ...], service=service)

    def registry(self, service: str) -> RegistryState:
        """The versions of a service, how they stand, and what was done."""
        return self._ask("registry", RegistryState, service=service)

    def trials(self, family_run_id: str) -> tuple[TrialRun, ...]:
        """The trials of a family, in their order."""
        return self._ask("trials", tuple[TrialRun, ...], family_run_id=family_run_id)

    def document(self, run_id: str, path: str) -> bytes | None:
        """An artifact of a run; None if it has none of that name."""
        return self._worker.ask("document", {"run_id": run_id, "path": path})

    def numbers(self, run_id: str, path: str) -> Mapping[str, Any] | None:
        """An artifact in JSON."""
        found = self.document(run_id, path)
        return None if found is None else json.loads(found)

    def champion(self, service: str) -> Champion:
        """The version that answers, its age, and how new its rows are."""
        return self._ask("champion", Champion, service=service)

    def products(self) -> tuple[Product, ...]:
        """The data products."""
        return self._ask("products", tuple[Product, ...])

    def learned(self, service: str, version: str) -> Mapping[str, LearnedColumn]:
        """Columns of the rows that a version has learned from, by field; empty if unknown."""
        return self._ask("learned", dict[str, LearnedColumn], service=service, version=version)

    def stop(self) -> None:
        """End the worker process."""
        self._worker.stop()

    def _ask(self, name: str, kind: type[_Value], **asked: str) -> _Value:
        return msgspec.json.decode(self._worker.ask(name, asked) or b"null", type=kind)
