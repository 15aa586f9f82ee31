"""The moment that an action is meant for, where nobody has named it."""

from __future__ import annotations

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.tracking.actions import SWITCHES, ActionKind
from model_loop.tracking.deployments import BROUGHT_IN, Part
from model_loop.tracking.history import CROWNING, History
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from model_loop.tracking.versions import ModelVersions

#: Kinds that are done when something is wrong: other versions' stores are hardly waited for.
_URGENT = SWITCHES | {"rollback", "end_canary", "end_shadow"}
_URGENT_SECONDS = 3.0


def promoter_for(
    tracker: Tracker,
    service: str,
    kind: ActionKind,
    version: int | None = None,
    moment: Moment | None = None,
) -> Promoter:
    """Return the promoter that an action is meant for.

    A version that is named is moved at its own moment. Without one, a promotion is meant for the
    moment of the newest training, a rollback for the moment whose champion has changed last, and
    the end of a canary or shadow for the moment that has one.

    Raises
    ------
    InvalidInputError
        If a version is not in the registry, or several moments have a canary (a shadow) to end.
    """
    patience = {"patience": _URGENT_SECONDS} if kind in _URGENT else {}
    versions = ModelVersions(tracker, service, **patience)
    if moment is None:
        moment = versions.moment(version) if version else _moment(versions, kind)
    return Promoter(tracker, service, moment, versions)


def _moment(versions: ModelVersions, kind: ActionKind) -> Moment:
    if kind == "promote":
        return _of_newest(versions)
    if kind == "rollback":
        return _changed_last(versions)
    if kind in {"end_canary", "end_shadow"}:
        return _having(versions, "challenger" if kind == "end_canary" else "shadow")
    return versions.dataset.moments[0]


def _of_newest(versions: ModelVersions) -> Moment:
    champions = {standing.champion for standing in versions.standings().values()}
    found = versions.tracker.client.search_model_versions(f"name = '{versions.name}'")
    own = [int(one.version) for one in found if BROUGHT_IN not in one.tags]
    others = sorted((number for number in own if number not in champions), reverse=True)
    moments = map(versions.known_moment, others)
    return next((moment for moment in moments if moment is not None), versions.dataset.moments[0])


def _changed_last(versions: ModelVersions) -> Moment:
    standings = versions.standings()
    able = [moment for moment in standings if standings[moment].champion is not None]
    if len(able) > 1:
        for entry in History(versions).entries():
            if entry.kind in CROWNING and entry.moment in able:
                return entry.moment
    return able[0] if able else versions.dataset.moments[0]


def _having(versions: ModelVersions, part: Part) -> Moment:
    standings = versions.standings()
    able = [moment for moment in standings if getattr(standings[moment], part) is not None]
    if len(able) > 1:
        raise InvalidInputError(
            f"Service {versions.service}",
            f"has a {part} at each of the moments {', '.join(able)}",
            "Name the moment.",
        )
    return able[0] if able else versions.dataset.moments[0]
