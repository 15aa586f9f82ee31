"""Which version answers, and the history of how that came about.

The state lives in the registry: the aliases ``champion``, ``challenger`` and ``shadow``, and two
tags of the registered model. Each action is a run of its own experiment, begun before anything
moves and ended when it has, so that an action that was interrupted is finished by the next try and
never done twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from trip_duration.errors import InvalidInputError, require_within
from trip_duration.tracking.runs import Tracker
from trip_duration.tracking.standing import (
    CHALLENGER,
    CHAMPION,
    DISABLED_TAG,
    RETIRED_TAG,
    SHADOW,
    SHARE_TAG,
    HistoryEntry,
    Standing,
    registered_name,
    standing_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from trip_duration.models.gate import Verdict

ActionKind = Literal["promote", "canary", "shadow", "rollback", "disable", "enable", "retire"]
ACTION_KINDS: tuple[ActionKind, ...] = get_args(ActionKind)

#: Name of the artifact that holds the checks of the gate.
EVIDENCE = "evidence.json"

_NEEDS_VERSION = frozenset({"promote", "canary", "shadow", "retire"})


@dataclass(frozen=True)
class Action:
    """What somebody wants to be done.

    Parameters
    ----------
    kind
        ``promote``: the version becomes champion. ``canary``: it answers a share of the requests.
        ``shadow``: it answers unseen. ``rollback``: the champion before becomes champion again, or
        a version that is named. ``disable`` and ``enable``: nothing answers, and again.
        ``retire``: the version is never to answer again.
    service
        Whose model.
    version
        Which version; None where the kind needs none.
    who, why
        For the history.
    share
        canary: share of the requests.
    expected
        The champion that the action was decided upon; where another is champion by now, the action
        is refused. None does not look.
    evidence
        What it was decided by, as a table.

    Raises
    ------
    InvalidInputError
        If the kind is unknown, a version is missing, or the share is out of bounds.
    """

    kind: ActionKind
    service: str
    version: int | None = None
    who: str = ""
    why: str = ""
    share: float = 0.1
    expected: int | None = None
    evidence: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without the registry."""
        if self.kind not in ACTION_KINDS:
            raise InvalidInputError(
                f"Action {self.kind!r}", "is unknown", f"Choose one of: {', '.join(ACTION_KINDS)}."
            )
        if self.kind in _NEEDS_VERSION and self.version is None:
            raise InvalidInputError(
                f"Action {self.kind}", "names no version", "Give the number of a version."
            )
        require_within("share", self.share, above=0.0, most=1.0)


def find_standing(client: MlflowClient, name: str) -> Standing:
    """How the versions of a registered model stand now; nothing answers if there is none."""
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return Standing()
        raise
    return standing_of(model.aliases, model.tags)


class Promoter:
    """Moves the versions of one service, and keeps their history.

    Parameters
    ----------
    tracker
        Where the history is kept; its server also holds the registry.
    service
        Whose model.
    """

    def __init__(self, tracker: Tracker, service: str) -> None:
        self.tracker = tracker
        self.service = service
        self.name = registered_name(service)

    def standing(self) -> Standing:
        """How the versions stand now."""
        return find_standing(self.tracker.client, self.name)

    def act(self, action: Action, identity: str) -> HistoryEntry:
        """Do an action once.

        Parameters
        ----------
        identity
            Names the action for good, such as the DAG run: a second try with the same identity
            ends what the first began, and does nothing if that had ended.

        Raises
        ------
        InvalidInputError
            If the version is not in the registry, was retired or is champion already, or another
            version has become champion since the action was decided upon. Nothing has moved then.
        """
        run = self.tracker.find_run(identity)
        if run is not None and run.info.status == "FINISHED":
            return _entry(run)
        if run is None:
            before = self.standing()
            version = self._check(action, before)
            run = self._begin(action, identity, version, before)
        if action.evidence is not None:
            # Also when going on: whoever began may have come no further than that.
            self.tracker.log_table(run.info.run_id, action.evidence, EVIDENCE)
        self._move(action.kind, _entry(run))
        self.tracker.close_run(run.info.run_id)
        return _entry(self.tracker.client.get_run(run.info.run_id))

    def record(self, verdict: Verdict, identity: str) -> str:
        """Keep what the gate said of a challenger, whether it was passed or not.

        Returns
        -------
        str
            The id of the run that holds it.
        """
        tags = {
            "service": self.service,
            "gate": "passed" if verdict.passed else "refused",
            "version": str(verdict.challenger),
        }
        run_id = self.tracker.open_run(identity, f"gate of version {verdict.challenger}", tags)
        self.tracker.log_table(run_id, verdict.table(), EVIDENCE)
        self.tracker.close_run(run_id)
        return run_id

    def history(self, most: int = 100) -> list[HistoryEntry]:
        """What was done, the latest first."""
        return [_entry(run) for run in self._moves(most, " and attributes.status = 'FINISHED'")]

    def _moves(self, most: int, condition: str = "") -> list[Run]:
        """The runs of actions, the latest first."""
        found: list[Run] = self.tracker.client.search_runs(
            [self.tracker.experiment_id],
            f"tags.service = '{self.service}' and tags.action != ''{condition}",
            order_by=["attributes.start_time DESC"],
            max_results=most,
        )
        return found

    def _check(self, action: Action, now: Standing) -> int | None:
        """The version that is meant, if the action may be done."""
        if action.expected is not None and action.expected != now.champion:
            raise InvalidInputError(
                f"{action.kind} of version {action.version}",
                f"was decided while version {action.expected} was champion, which is now "
                f"{now.champion}",
                "Compare it with the present champion first.",
            )
        version = self._former(now) if action.kind == "rollback" else action.version
        if action.kind == "rollback" and action.version is not None:
            version = action.version
        if version is None:
            return None
        self.require_usable(version, action.kind)
        if action.kind in {"promote", "rollback"} and version == now.champion:
            raise InvalidInputError(
                f"Version {version}", "is champion already", "There is nothing to do."
            )
        if action.kind in {"retire", "canary", "shadow"} and version == now.champion:
            raise InvalidInputError(
                f"Version {version}", "is champion", "Promote another version first."
            )
        return version

    def _former(self, now: Standing) -> int:
        for entry in self.history():
            if entry.after.champion == now.champion and entry.before.champion != now.champion:
                if entry.before.champion is None:
                    break
                return entry.before.champion
        raise InvalidInputError(
            f"Champion {now.champion} of {self.service}",
            "has no champion before it",
            "Name the version to go back to.",
        )

    def require_usable(self, version: int, kind: ActionKind = "promote") -> None:
        """Refuse a version that may not answer.

        Raises
        ------
        InvalidInputError
            If it is not in the registry, or was retired.
        """
        try:
            found = self.tracker.client.get_model_version(self.name, str(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InvalidInputError(
                f"Version {version} of {self.name}",
                "is not in the registry",
                "Look up the version on the page of the registered model.",
            ) from error
        if kind != "retire" and RETIRED_TAG in found.tags:
            raise InvalidInputError(
                f"Version {version} of {self.name}", "was retired", "Choose another version."
            )

    def _begin(self, action: Action, identity: str, version: int | None, before: Standing) -> Run:
        after = _AFTER[action.kind](before, version, action.share)
        tags = {
            "service": self.service,
            "action": action.kind,
            "who": action.who,
            "why": action.why,
            **({"version": str(version)} if version is not None else {}),
            **_standing_tags("before", before),
            **_standing_tags("after", after),
        }
        name = action.kind if version is None else f"{action.kind} version {version}"
        # The history keeps its order although the clocks of machines differ.
        last = max((move.info.start_time for move in self._moves(1)), default=0)
        run_id = self.tracker.open_run(identity, name, tags, not_before=last + 1)
        return self.tracker.client.get_run(run_id)

    def _move(self, kind: ActionKind, entry: HistoryEntry) -> None:
        """Make the registry what the entry says; doing it again changes nothing."""
        client, after = self.tracker.client, entry.after
        # The champion first: at no moment is there none.
        for alias, version in (
            (CHAMPION, after.champion),
            (CHALLENGER, after.challenger),
            (SHADOW, after.shadow),
        ):
            if version is not None:
                client.set_registered_model_alias(self.name, alias, str(version))
            elif alias != CHAMPION:
                client.delete_registered_model_alias(self.name, alias)
        client.set_registered_model_tag(self.name, SHARE_TAG, str(after.share))
        if after.enabled:
            _delete_tag(lambda: client.delete_registered_model_tag(self.name, DISABLED_TAG))
        else:
            client.set_registered_model_tag(self.name, DISABLED_TAG, entry.why or "disabled")
        if kind == "retire":
            client.set_model_version_tag(self.name, str(entry.version), RETIRED_TAG, entry.why)


def _champion(before: Standing, version: int | None, _share: float) -> Standing:
    return dataclasses.replace(_without(before, version), champion=version)


def _canary(before: Standing, version: int | None, share: float) -> Standing:
    return dataclasses.replace(_without(before, version), challenger=version, share=share)


def _shadow(before: Standing, version: int | None, _share: float) -> Standing:
    return dataclasses.replace(_without(before, version), shadow=version)


def _without(before: Standing, version: int | None, _share: float = 0.0) -> Standing:
    """The same without a version as challenger or shadow."""
    after = before
    if before.challenger == version:
        after = dataclasses.replace(after, challenger=None, share=0.0)
    if before.shadow == version:
        after = dataclasses.replace(after, shadow=None)
    return after


#: How the versions stand after an action.
_AFTER: Mapping[ActionKind, Callable[[Standing, int | None, float], Standing]] = MappingProxyType(
    {
        "promote": _champion,
        "rollback": _champion,
        "canary": _canary,
        "shadow": _shadow,
        "retire": _without,
        "disable": lambda before, *_: dataclasses.replace(before, enabled=False),
        "enable": lambda before, *_: dataclasses.replace(before, enabled=True),
    }
)


def _standing_tags(when: str, standing: Standing) -> dict[str, str]:
    return {
        f"{when}_{name}": str(value)
        for name, value in dataclasses.asdict(standing).items()
        if value is not None
    }


def _standing(when: str, tags: Mapping[str, str]) -> Standing:
    def number(name: str) -> int | None:
        found = tags.get(f"{when}_{name}")
        return None if found is None else int(found)

    return Standing(
        champion=number("champion"),
        challenger=number("challenger"),
        shadow=number("shadow"),
        share=float(tags[f"{when}_share"]),
        enabled=tags[f"{when}_enabled"] == "True",
    )


def _entry(run: Run) -> HistoryEntry:
    tags = run.data.tags
    return HistoryEntry(
        kind=tags["action"],
        version=int(tags["version"]) if "version" in tags else None,
        who=tags["who"],
        why=tags["why"],
        before=_standing("before", tags),
        after=_standing("after", tags),
        at=(run.info.end_time or run.info.start_time) / 1_000,
        run_id=run.info.run_id,
    )


def _delete_tag(delete: Callable[[], None]) -> None:
    """Delete a tag that may not be there."""
    try:
        delete()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
