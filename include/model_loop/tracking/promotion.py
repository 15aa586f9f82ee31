"""Promotion: the versions that answer, and the history of how they came to.

The state lives in the registry: aliases and tags of the registered model, see `standing`. Each
action is a run of its own experiment, begun before anything moves and ended when it has, so that an
action that was interrupted is finished by the next try, or by the next action, and never done
twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow.entities import Run

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.tracking.actions import SWITCHES, Action, standing_after
from model_loop.tracking.corrections import keep_widening
from model_loop.tracking.deployments import (
    ADMIT_CODE,
    PROPOSE,
    REFUSE_CODE,
    REJECT,
    Deployment,
    HistoryEntry,
)
from model_loop.tracking.history import CROWNING, EVERYWHERE, History, entry_tags
from model_loop.tracking.interrupted import Interrupted
from model_loop.tracking.judged_card import add_verdict_to_card
from model_loop.tracking.moves import move
from model_loop.tracking.runs import Tracker
from model_loop.tracking.shares import ShareMove
from model_loop.tracking.sources import replacement_remarks
from model_loop.tracking.versions import ModelVersions

if TYPE_CHECKING:
    import pandas as pd

    from model_loop.models.gate import GateVerdict

#: Name of the artifact that holds the checks of the gate.
EVIDENCE = "evidence.json"


class Promoter:
    """Moves the versions of one service that are asked at one moment, and keeps their history.

    Parameters
    ----------
    tracker
        Tracker of the history; its server also holds the registry.
    service, moment
        Service of the model, and its moment.
    versions
        Looks up the versions of that model; None for the usual way.
    """

    def __init__(
        self,
        tracker: Tracker,
        service: str,
        moment: Moment,
        versions: ModelVersions | None = None,
    ) -> None:
        self.tracker = tracker
        self.service = service
        self.moment = moment
        self.versions = versions or ModelVersions(tracker, service)
        self.name = self.versions.name
        self._history = History(self.versions)
        self._interrupted = Interrupted(self.versions, self._history)

    def standing(self) -> Deployment:
        """Return how the versions stand now."""
        return self.versions.standings()[self.moment]

    def act(self, action: Action, identity: str) -> HistoryEntry:
        """Do an action, unless an earlier try has done it.

        Parameters
        ----------
        identity
            Names the action for good, such as the DAG run: a second try with the same identity
            ends what the first began, and does nothing if that had ended.

        Raises
        ------
        InvalidInputError
            If the version is not in the registry, is asked at another moment, was retired or is
            champion already, another version has become champion since the action was decided upon,
            or generated data would replace published ones. Nothing has moved then. Also if the
            action was interrupted and others have been begun since, which it would undo, or if it
            is unknown which version is champion, and the action is no switch.
        """
        run = self.tracker.find_run(identity)
        if run is not None and run.info.status == "FINISHED":
            return self._history.entry(run)
        if run is None:
            self.versions.require_any()
            if action.kind not in SWITCHES:
                self.versions.require_known_champion(self.moment)
            self._interrupted.settle(action.kind, None if action.everywhere else self.moment)
            before = self.standing()
            version = self._check(action, before)
            remarks = (*action.remarks, *self._source_remarks(action, version, before))
            run = self._begin(action, identity, version, before, remarks)
        else:
            self._require_last(run)
        if action.evidence is not None:
            # Also when going on: whoever began may have come no further than that.
            self.tracker.log_table(run.info.run_id, action.evidence, EVIDENCE)
        move(self.versions, self._history.entry(run))
        self.tracker.close_run(run.info.run_id)
        return self._history.entry(self.tracker.client.get_run(run.info.run_id))

    def settle(self) -> None:
        """End, or give up, a move that an interrupted action has left at this moment."""
        self._interrupted.settle("promote", self.moment)

    def record(self, verdict: GateVerdict, identity: str) -> str:
        """Keep what the gate said of a challenger, whether it was passed or not.

        Where its intervals are too narrow, it answers with wider ones from now on.

        Returns
        -------
        str
            The id of the run that holds it.
        """
        tags = {
            "service": self.service,
            "moment": self.moment,
            "gate": "passed" if verdict.passed else "refused",
            "version": str(verdict.challenger),
            "data_source": verdict.data_source,
            "recipe": verdict.recipe,
            "remarks": "; ".join(verdict.remarks),
        }
        run_id = self.tracker.open_run(identity, f"gate of version {verdict.challenger}", tags)
        self.tracker.log_table(run_id, verdict.table(), EVIDENCE)
        keep_widening(self.tracker, self.name, verdict.challenger, verdict.widening)
        add_verdict_to_card(self.tracker, self.name, verdict)
        self.tracker.close_run(run_id)
        return run_id

    def reject(
        self, verdict: GateVerdict, identity: str, *, who: str, why: str, approver: str
    ) -> HistoryEntry:
        """Keep that a person has refused a challenger that had passed the gate; nothing moves."""
        now = self.standing()
        entry = HistoryEntry(
            REJECT, verdict.challenger, who, why, now, now, 0.0, "", self.moment, approver
        )
        entry = dataclasses.replace(entry, remarks="; ".join(verdict.remarks))
        return self._note(entry, verdict.table(), identity)

    def propose(
        self, version: int, evidence: pd.DataFrame, identity: str, *, who: str, why: str
    ) -> HistoryEntry:
        """Keep once that a canary has turned out better than the champion; nothing moves."""
        run = self.tracker.find_run(identity)
        if run is not None and run.info.status == "FINISHED":
            return self._history.entry(run)
        now = self.standing()
        entry = HistoryEntry(PROPOSE, version, who, why, now, now, 0.0, "", self.moment)
        return self._note(entry, evidence, identity)

    def note_code(
        self,
        version: int | None,
        files: pd.DataFrame,
        identity: str,
        *,
        who: str,
        why: str,
        approver: str,
        remarks: str,
    ) -> HistoryEntry:
        """Keep once that code was admitted as a version, or refused; nothing moves.

        Parameters
        ----------
        version
            The version that it is; None where it was refused.
        files
            A line for each file: its path, bytes and digest.
        remarks
            The digest of the code, and how it was let in.
        """
        run = self.tracker.find_run(identity)
        if run is not None and run.info.status == "FINISHED":
            return self._history.entry(run)
        now, kind = self.standing(), REFUSE_CODE if version is None else ADMIT_CODE
        entry = HistoryEntry(
            kind, version, who, why, now, now, 0.0, "", self.moment, approver, remarks
        )
        return self._note(entry, files, identity)

    def moves(self) -> list[ShareMove]:
        """Return the moves of this service, at every moment; see `tracking.shares`."""
        return self._history.moves()

    def _note(self, entry: HistoryEntry, evidence: pd.DataFrame, identity: str) -> HistoryEntry:
        """Keep an entry that moves nothing."""
        run_id = self._open(identity, entry)
        self.tracker.log_table(run_id, evidence, EVIDENCE)
        self.tracker.close_run(run_id)
        return self._history.entry(self.tracker.client.get_run(run_id))

    def history(self, most: int | None = 100) -> list[HistoryEntry]:
        """Return what was done at this moment or at all of them, the latest first; None for all."""
        return self._history.entries(self.moment, most)

    def _check(self, action: Action, now: Deployment) -> int | None:
        """Return the version that is meant, if the action may be done."""
        if action.expected is not None and action.expected != now.champion:
            raise InvalidInputError(
                f"{action.kind} of version {action.version}",
                f"was decided while version {action.expected} was champion, which is now "
                f"{now.champion}",
                "Compare it with the present champion first.",
            )
        if action.kind in {"end_canary", "end_shadow"}:
            return self._ended(action, now)
        version = action.version
        if action.kind == "rollback" and version is None:
            version = self._former(now.champion)
        if version is None:
            return None
        self._require_fit(action, version, now)
        return version

    def _require_fit(self, action: Action, version: int, now: Deployment) -> None:
        if action.kind == "retire":
            self.versions.find(version)
        else:
            self.versions.require_usable(version)
        if (moment := self.versions.moment(version)) != self.moment:
            raise InvalidInputError(
                f"Version {version} of {self.name}",
                f"is asked at the moment {moment}, not {self.moment}",
                f"Name the moment {moment}, or leave it out.",
            )
        if version == now.champion:
            again = action.kind in {"promote", "rollback"}
            raise InvalidInputError(
                f"Version {version}",
                "is champion already" if again else "is champion",
                "There is nothing to do." if again else "Promote another version first.",
            )
        if now.champion is None and action.kind in {"canary", "shadow"}:
            raise InvalidInputError(
                f"{self._what()}",
                f"has no champion beside which version {version} could answer",
                "Promote a version first.",
            )
        if action.kind == "canary" and now.champion is not None:
            self._require_no_more(version, now.champion)

    def _require_no_more(self, version: int, champion: int) -> None:
        """Refuse traffic to a version that needs a value which the champion does without.

        The same request would be answered or refused by chance.
        """
        needs, has = self.versions.needs(version), self.versions.needs(champion)
        further = sorted(needs - has) if needs is not None and has is not None else []
        if further:
            raise InvalidInputError(
                f"Version {version} of {self.name}",
                f"needs {', '.join(further)}, which the champion (version {champion}) does "
                "without, so a request could be answered or refused by chance",
                "Try it as a shadow, or promote it where every caller sends the value.",
            )

    def _ended(self, action: Action, now: Deployment) -> int:
        """Return the version whose canary or shadow is to end."""
        role = action.kind.removeprefix("end_")
        there = now.challenger if role == "canary" else now.shadow
        if there is None or action.version not in {None, there}:
            description = f"version {there} as {role}" if there is not None else f"no {role}"
            raise InvalidInputError(
                f"{self._what()}",
                f"has {description}" + (f", not {action.version}" if there is not None else ""),
                "There is nothing to end." if there is None else "Leave the version out.",
            )
        return there

    def _former(self, champion: int | None) -> int:
        for version in self._history.former_champions(self.moment, champion):
            try:
                self.versions.require_usable(version)
            except InvalidInputError:
                continue
            if self.versions.known_moment(version) == self.moment:
                return version
        raise InvalidInputError(
            f"{self._what()}, champion {champion}",
            "has no champion before it that can be read and was neither rolled back from nor "
            "retired",
            "Name the version to go back to, or disable the service until there is one.",
        )

    def _what(self) -> str:
        return f"Service {self.service} at the moment {self.moment}"

    def _source_remarks(
        self, action: Action, version: int | None, before: Deployment
    ) -> tuple[str, ...]:
        if action.kind not in {*CROWNING, "canary", "shadow"} or version is None:
            return ()
        return replacement_remarks(
            self.versions, version, before.champion, accept_generated=action.accept_generated
        )

    def _begin(
        self,
        action: Action,
        identity: str,
        version: int | None,
        before: Deployment,
        remarks: Sequence[str],
    ) -> Run:
        entry = HistoryEntry(
            kind=action.kind,
            version=version,
            who=action.who,
            why=action.why,
            before=before,
            after=standing_after(action.kind, before, version, action.share),
            at=0.0,
            run_id="",
            moment=None if action.everywhere else self.moment,
            approver=action.approver,
            remarks="; ".join(dict.fromkeys(remarks)),
        )
        return self.tracker.client.get_run(self._open(identity, entry))

    def _open(self, identity: str, entry: HistoryEntry) -> str:
        kind, version = entry.kind.replace("_", " "), entry.version
        where = entry.moment or EVERYWHERE
        name = f"{kind} ({where})" if version is None else f"{kind} version {version} ({where})"
        # The history keeps its order although the clocks of machines differ.
        last = next((run.info.start_time for run in self._history.runs()), 0)
        tags = {"service": self.service, **entry_tags(entry)}
        return self.tracker.open_run(identity, name, tags, not_before=last + 1)

    def _require_last(self, run: Run) -> None:
        """Refuse to go on with an action that was interrupted, if that would undo a later one."""
        later = self._interrupted.later(run)
        if later is not None:
            begun = self._history.entry(run)
            self.tracker.close_run(run.info.run_id, "FAILED")
            raise InvalidInputError(
                f"{begun.kind} of version {begun.version}",
                f"was interrupted, and {later.kind} of version {later.version} was begun since",
                "Trigger it anew if it is still wanted.",
            )
