"""Trials that have ended, kept so that nothing is evaluated twice after a crash."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import asdict
from typing import Any, Protocol

from model_loop.models.class_metrics import ClassMetrics
from model_loop.models.clock import SearchClock
from model_loop.models.search import ErrorMetrics, Metrics, SearchRequest, Trial
from model_loop.objects.documents import UNREADABLE

#: Raised whenever other settings would be proposed, or the same be evaluated differently.
SEARCH_VERSION = 8

#: Fields of a request that end a search but change no trial.
_ENDS = ("time_budget_seconds", "patience_evaluations", "threads")


#: Fields of a trial that hold one value for each interval.
_SERIES = ("curve", "steps", "outlook")
#: Seconds of the search, kept beside a trial's own fields.
_SPENT = "spent"


logger = logging.getLogger(__name__)


class KeyValueStore(Protocol):
    """Store of small JSON values that outlive a process, such as Airflow's ``task_state_store``."""

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """The value of a key, or None."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value."""


class TrialJournal:
    """The trials of one search, written one by one as they end.

    Parameters
    ----------
    store
        Store of the entries.
    family, training_set, request
        Family, data (their digest) and method of the search. Trials of another search in the same
        store are not taken for trials of this one.
    stage
        Stage of the search that has a journal of its own; see `of_finalists`.

    Attributes
    ----------
    clock
        Time of the search: as it was when what was read last was written, and what has passed
        since.
    """

    def __init__(
        self,
        store: KeyValueStore,
        family: str,
        training_set: str,
        request: SearchRequest,
        *,
        stage: str = "",
    ) -> None:
        self.store, self._of = store, (family, training_set, request)
        search = {name: value for name, value in asdict(request).items() if name not in _ENDS}
        what = json.dumps(
            [SEARCH_VERSION, family, training_set, search, *([stage] if stage else [])],
            sort_keys=True,
        )
        self._search = hashlib.sha256(what.encode()).hexdigest()[:12]
        # A store may be a server: one question tells that there is nothing to ask for.
        self.begun = store.get(self._key("begun")) is not None
        self._marked, self._asked = self.begun, False
        self.clock = SearchClock()

    def of_finalists(self) -> TrialJournal:
        """Return the journal of trials of this search that are judged again, with its own clock."""
        other = TrialJournal(self.store, *self._of, stage="finalists")
        if not other.begun:
            # Before its first fit, so that one that kills its process is counted.
            other.mark_begun()
        return other

    def mark_begun(self) -> None:
        """Keep that the search has begun."""
        self.store.set(self._key("begun"), {"version": SEARCH_VERSION})
        self._marked = True

    def ended(self, number: int) -> Trial | None:
        """The trial of this number, if it has ended."""
        return self._trial(self._key("trial", number))

    def record(self, trial: Trial) -> None:
        """Keep a trial that has ended."""
        self._keep("trial", trial)

    def paused(self, number: int, rung: int) -> Trial | None:
        """The trial of this number as it was at a rung, if it waited there for others."""
        return self._trial(self._key(f"paused-{rung}", number))

    def pause(self, trial: Trial, rung: int) -> None:
        """Keep how far a trial has come that waits for others at a rung."""
        self._keep(f"paused-{rung}", trial)

    def has_begun(self, number: int, rung: int | None) -> bool:
        """Return whether anything is stored of a trial, or of its pause at a rung, if given."""
        waited = rung is not None and self._get(self._key(f"paused-{rung}", number)) is not None
        return waited or self._get(self._key("trial", number)) is not None

    def is_out_of_time(self, number: int, budget: float) -> bool:
        """Return whether the time was up before the trial of this number."""
        kept = self._get(self._key(f"out-of-time-{budget:g}"))
        return isinstance(kept, dict) and number >= kept.get("number", math.inf)

    def run_out_of_time(self, number: int, budget: float) -> None:
        """Keep that the time was up before the trial of this number."""
        self._set(self._key(f"out-of-time-{budget:g}"), {"number": number})

    def resumed(self, trial: Trial) -> int:
        """Count how often a search was killed at this point; once in a process at most.

        Only the first thing that a process does is what the one before was killed at: after a
        value was kept, nothing that follows had been begun.
        """
        if not self.begun or self._asked:
            return 0
        self._asked = True
        key = self._key(f"resumed-{len(trial.curve)}", trial.number)
        times = int((self.store.get(key) or {"times": 0})["times"]) + 1
        self.store.set(key, {"times": times})
        return times

    def _keep(self, what: str, trial: Trial) -> None:
        # Airflow takes lists for JSON, and no tuples.
        lists = {name: list(getattr(trial, name)) for name in _SERIES}
        spent = {_SPENT: self.clock.spent()}
        self._set(self._key(what, trial.number), {**asdict(trial), **lists, **spent})

    def _trial(self, key: str) -> Trial | None:
        kept = self._get(key)
        try:
            if kept is None:
                return None
            trial = _trial({name: value for name, value in kept.items() if name != _SPENT})
            self.clock.set(float(kept[_SPENT]))
        except UNREADABLE as error:
            # It is evaluated again, and then written in the form of today.
            logger.warning("The trial %s cannot be read (%s): it is evaluated again", key, error)
            return None
        return trial

    def _get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return self.store.get(key) if self.begun else None

    def _set(self, key: str, value: dict[str, Any]) -> None:
        if not self._marked:
            self.mark_begun()
        self.store.set(key, value)
        self._asked = True

    def _key(self, what: str, number: int | None = None) -> str:
        return f"{what}-{self._search}" + ("" if number is None else f"-{number:04d}")


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
            "metrics": _metrics(metrics) if metrics else None,
            **{name: tuple(kept[name]) for name in _SERIES},
        }
    )


def _metrics(kept: dict[str, float]) -> Metrics:
    return ClassMetrics(**kept) if "log_loss" in kept else ErrorMetrics(**kept)
