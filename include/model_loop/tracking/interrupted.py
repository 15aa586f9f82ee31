"""Actions that a dying process has left in the middle.

The next action at the same moment ends what has moved, and gives up what has not: without that, the
registry would say what the history does not.
"""

from __future__ import annotations

import logging

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from model_loop.datasets.dataset import Moment
from model_loop.tracking.actions import SWITCHES, ActionKind
from model_loop.tracking.deployments import PARTS, RETIRED_TAG, STILL, HistoryEntry
from model_loop.tracking.history import History
from model_loop.tracking.moves import move
from model_loop.tracking.runs import RunStatus
from model_loop.tracking.versions import ModelVersions

logger = logging.getLogger(__name__)


class Interrupted:
    """Finds the actions of one service that were begun and not ended.

    Parameters
    ----------
    versions, history
        Versions and history of that service.
    """

    def __init__(self, versions: ModelVersions, history: History) -> None:
        self._versions = versions
        self._history = history

    def settle(self, kind: ActionKind, moment: Moment | None) -> None:
        """End or give up what stands in the way of a new action.

        Parameters
        ----------
        kind, moment
            Kind and moment of the new action; None if it is done at all moments.
        """
        left = self._history.begun(" and attributes.status = 'RUNNING'")
        for run, entry in [(run, one) for run, one in left if _touches(one, kind, moment)]:
            ends = self.later(run) is None and self._has_moved(entry)
            status = self._end(entry) if ends else "FAILED"
            self._versions.tracker.close_run(entry.run_id, status)
            outcome = "ended now" if status == "FINISHED" else "given up: nothing had moved"
            logger.warning(
                "%s of %s was interrupted, and is %s", entry.kind, entry.version, outcome
            )

    def later(self, run: Run) -> HistoryEntry | None:
        """Return an action that was begun since and moves the same, if there is one."""
        mine = self._history.entry(run)
        for other, entry in self._history.begun():
            if other.info.start_time <= run.info.start_time:
                return None
            if _touches(entry, mine.kind, mine.moment):
                return entry
        return None

    def _has_moved(self, entry: HistoryEntry) -> bool:
        """Return whether a step of an action is in the registry, and nothing but its steps."""
        standings = self._versions.standings()
        if entry.kind in SWITCHES:
            moments = tuple(standings) if entry.moment is None else (entry.moment,)
            return all(standings[moment].enabled == (entry.kind == "enable") for moment in moments)
        if entry.moment is None:
            return False
        if entry.kind == "retire" and self._is_retired(entry.version):
            return True
        now, before, after = standings[entry.moment], entry.before, entry.after
        steps = [
            (getattr(now, name), getattr(before, name), getattr(after, name))
            for name in (*PARTS, "share")
            if getattr(before, name) != getattr(after, name)
        ]
        done = any(value == end for value, _, end in steps)
        return done and all(value in {begin, end} for value, begin, end in steps)

    def _is_retired(self, version: int | None) -> bool:
        client, name = self._versions.tracker.client, self._versions.name
        versions = client.search_model_versions(f"name = '{name}'")
        return any(RETIRED_TAG in one.tags for one in versions if int(one.version) == version)

    def _end(self, entry: HistoryEntry) -> RunStatus:
        try:
            move(self._versions, entry)
        except MlflowException as error:
            # Its version was deleted since: that must not hold up every action from now on.
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return "FAILED"
        return "FINISHED"


def _touches(entry: HistoryEntry, kind: str, moment: Moment | None) -> bool:
    """Return whether an entry moves what an action of this kind and moment moves."""
    if entry.kind in STILL or (entry.kind in SWITCHES) != (kind in SWITCHES):
        return False
    return entry.moment == moment or None in {entry.moment, moment}
