"""Moves as the first versions of this package made them: one champion for each service."""

from __future__ import annotations

import dataclasses

from model_loop.tracking.deployments import Deployment
from model_loop.tracking.runs import Tracker


class OldPromoter:
    """Writes aliases, tags and history in the way that stored registries have them.

    Parameters
    ----------
    tracker, service
        As they are now.
    name
        Of the registered model.
    """

    def __init__(self, tracker: Tracker, service: str, name: str) -> None:
        self.tracker, self.service, self.name = tracker, service, name
        self.now = Deployment()
        self.moves: list[tuple[int | None, int | None]] = []

    def promote(self, version: int) -> None:
        """Make a version champion, whatever it needs to know."""
        self._move("promote", version)

    def rollback(self) -> int | None:
        """Make the champion before champion again, also one that was gone back from."""
        for before, after in reversed(self.moves):
            if after == self.now.champion != before:
                if before is not None:
                    self._move("rollback", before)
                return before
        return None

    def canary(self, version: int) -> None:
        """Let a version answer a tenth."""
        client = self.tracker.client
        after = dataclasses.replace(self.now, challenger=version, share=0.1)
        self._record("canary", version, after)
        client.set_registered_model_alias(self.name, "challenger", str(version))
        client.set_registered_model_tag(self.name, "challenger_share", "0.1")

    def disable(self) -> None:
        """Let nothing answer."""
        self._record("disable", None, dataclasses.replace(self.now, enabled=False))
        self.tracker.client.set_registered_model_tag(self.name, "disabled", "an incident")

    def _move(self, kind: str, version: int) -> None:
        after = dataclasses.replace(self.now, champion=version)
        if after.challenger == version:
            after = dataclasses.replace(after, challenger=None, share=0.0)
            self.tracker.client.delete_registered_model_alias(self.name, "challenger")
        self.moves.append((self.now.champion, version))
        self._record(kind, version, after)
        self.tracker.client.set_registered_model_alias(self.name, "champion", str(version))

    def _record(self, kind: str, version: int | None, after: Deployment) -> None:
        tags = {
            "service": self.service,
            "action": kind,
            "who": "somebody",
            "why": "long ago",
            **({"version": str(version)} if version is not None else {}),
            **_tags("before", self.now),
            **_tags("after", after),
        }
        number = len(self.tracker.client.search_runs([self.tracker.experiment_id]))
        run_id = self.tracker.open_run(f"{self.service}/old/{number}", kind, tags)
        self.tracker.close_run(run_id)
        self.now = after


def _tags(when: str, standing: Deployment) -> dict[str, str]:
    values = dataclasses.asdict(standing)
    return {f"{when}_{name}": str(one) for name, one in values.items() if one is not None}
