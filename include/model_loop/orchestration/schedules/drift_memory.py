"""Memory of drifts: state of the asset `drift`, so that one drift acts once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.orchestration.schedules.watermarks import StateStore, read_state, require_format

#: Actions after which a drift of each level is no news.
_COVERED_BY = {"warn": ("warn", "act"), "act": ("act",)}


_FORMAT = "drift_memory/1"
#: Field of an action that was taken: the moment of the version that has drifted.
_MOMENT = "moment"


@dataclass(frozen=True)
class DriftMemory:
    """The state of one service and moment, whose champions drift by themselves.

    Parameters
    ----------
    store
        The state store of the asset `drift`.
    service
        Service of the drift.
    cooldown
        For so long after a mail, or a retraining, the same is not done again.
    moment
        Moment of the version that has drifted.
    """

    store: StateStore
    service: str
    cooldown: dt.timedelta
    moment: Moment

    def is_due(self, action: str, run_id: str) -> bool:
        """Return whether an action may be taken; a retried run may finish the action that it began.

        Parameters
        ----------
        action
            ``warn`` or ``act``.
        run_id
            Run that asks.
        """
        taken = [self._taken(one) for one in _COVERED_BY[action]]
        limit = dt.datetime.now(tz=dt.UTC) - self.cooldown
        return all(
            last is None
            or last["run_id"] == run_id
            or dt.datetime.fromisoformat(last["at"]) <= limit
            for last in taken
        )

    def remember(self, action: str, run_id: str) -> None:
        """Note that an action is taken now."""
        now = dt.datetime.now(tz=dt.UTC).isoformat()
        taken = {"run_id": run_id, "at": now, _MOMENT: self.moment}
        self._write({**self._read(), action: taken})

    def await_retraining(self, evidence: dict[str, Any]) -> None:
        """Note a drift that a retraining has to answer."""
        self._write({**self._read(), "pending": evidence})

    def pending(self) -> dict[str, Any] | None:
        """The drift that no retraining has answered yet."""
        found: dict[str, Any] | None = self._read().get("pending")
        return found

    def answer(self) -> None:
        """Note that a retraining has answered it."""
        self._write({name: it for name, it in self._read().items() if name != "pending"})

    def _taken(self, action: str) -> dict[str, Any] | None:
        """Return when an action was taken last; None if it never was.

        An older version of this package did not note of which moment's champion the drift was:
        what it has kept counts for every moment.
        """
        found = self._read().get(action)
        if found is None and self.moment != self._first:
            plain = _stored(self.store, self._plain_key).get(action)
            found = None if plain is None or _MOMENT in plain else plain
        return found

    def _read(self) -> dict[str, Any]:
        return _stored(self.store, self._key)

    def _write(self, state: dict[str, Any]) -> None:
        self.store.set(self._key, {**state, "format": _FORMAT})

    @property
    def _key(self) -> str:
        plain = self._plain_key
        return plain if self.moment == self._first else f"{plain}:{self.moment}"

    @property
    def _first(self) -> Moment:
        return dataset_of_variant(self.service).moments[0]

    @property
    def _plain_key(self) -> str:
        # Older states are of the one champion that a service had, under the plain key.
        return f"drift:{self.service}"


def _stored(store: StateStore, key: str) -> dict[str, Any]:
    found: dict[str, Any] = read_state(store, key, {}, _check)
    return found


def _check(state: dict[str, Any]) -> None:
    # Versions before 0.2 have kept no format.
    if "format" in state:
        require_format(state, _FORMAT)
    for taken in (state[action] for action in _COVERED_BY if action in state):
        if dt.datetime.fromisoformat(taken["at"]).tzinfo is None:
            raise ValueError(f"{taken['at']} has no time zone")
        _ = taken["run_id"]
    if state.get("pending") is not None:
        _ = [state["pending"][name] for name in ("why", "window", "version", "run_id", "run_url")]
