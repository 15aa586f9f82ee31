"""Processes that die between two writes to MLflow's store."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

_WRITES = ("create_", "set_", "update_", "delete_", "log_")


class Killed(BaseException):
    """The process is dead: nothing catches this."""


class Death:
    """Kills before a write: nothing is half written, and nothing after it is written.

    Attributes
    ----------
    after
        Number of writes that are still made; None to live.
    """

    after: int | None = None
    _inside = False

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count every write of the tracking store, the registry and the store of artifacts."""
        for store in (TrackingStore, RegistryStore, LocalArtifactRepository):
            for name in dir(store):
                if name.startswith(_WRITES):
                    monkeypatch.setattr(store, name, self._counted(getattr(store, name)))

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(write)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                # One write of the store may call another one.
                return write(*args, **kwargs)
            if self.after == 0:
                raise Killed
            if self.after is not None:
                self.after -= 1
            self._inside = True
            try:
                return write(*args, **kwargs)
            finally:
                self._inside = False

        return counted
