"""Trials that have ended, kept so that nothing is evaluated twice after a crash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any, Protocol

from trip_duration.models.search import Metrics, SearchRequest, Trial

#: Raised whenever the same settings would be evaluated differently.
SEARCH_VERSION = 2

#: Fields of a request that end a search but change no trial.
_ENDS = ("max_evaluations", "time_budget_seconds", "patience_evaluations", "threads")


class KeyValueStore(Protocol):
    """Where small JSON values outlive a process, such as Airflow's ``task_state_store``."""

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """The value of a key, or None."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value."""


class TrialJournal:
    """The trials of one search, written one by one as they end.

    Parameters
    ----------
    store
        Where they are kept.
    family, training_set, request
        What is searched, on which data (its digest) and how. Trials of another search in the same
        store are not taken for trials of this one.
    """

    def __init__(
        self, store: KeyValueStore, family: str, training_set: str, request: SearchRequest
    ) -> None:
        self.store = store
        search = {name: value for name, value in asdict(request).items() if name not in _ENDS}
        what = json.dumps([SEARCH_VERSION, family, training_set, search], sort_keys=True)
        self._prefix = f"trial-{hashlib.sha256(what.encode()).hexdigest()[:12]}"

    def load(self) -> list[Trial]:
        """The trials that have ended, in their order."""
        trials: list[Trial] = []
        while (kept := self.store.get(self._key(len(trials)))) is not None:
            trials.append(_trial(kept))
        return trials

    def record(self, trial: Trial) -> None:
        """Keep a trial that has ended."""
        # Airflow takes lists for JSON, and no tuples.
        lists = {"curve": list(trial.curve), "steps": list(trial.steps)}
        self.store.set(self._key(trial.number), {**asdict(trial), **lists})

    def _key(self, number: int) -> str:
        return f"{self._prefix}-{number:04d}"


class ForgetfulStore:
    """Keeps nothing: for a search that ends in one go."""

    def get(self, key: str) -> None:
        """Nothing."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Forget it."""


def _trial(kept: dict[str, Any]) -> Trial:
    metrics = kept["metrics"]
    return Trial(
        **{
            **kept,
            "metrics": Metrics(**metrics) if metrics else None,
            "curve": tuple(kept["curve"]),
            "steps": tuple(kept["steps"]),
        }
    )
