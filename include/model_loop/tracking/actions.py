"""Actions on versions, and the standing of the versions afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from model_loop.errors import InvalidInputError, require_within
from model_loop.tracking.deployments import Deployment

if TYPE_CHECKING:
    import pandas as pd

ActionKind = Literal[
    "promote",
    "canary",
    "end_canary",
    "shadow",
    "end_shadow",
    "rollback",
    "disable",
    "enable",
    "retire",
]
ACTION_KINDS: tuple[ActionKind, ...] = get_args(ActionKind)

_NEEDS_VERSION = frozenset({"promote", "canary", "shadow", "retire"})
#: Kinds that may be done at all moments at once.
SWITCHES = frozenset({"disable", "enable"})


@dataclass(frozen=True)
class Action:
    """Action on a version of a registered model.

    Parameters
    ----------
    kind
        ``promote``: the version becomes champion. ``canary``: it answers a share of the requests.
        ``shadow``: it answers unseen. ``end_canary`` and ``end_shadow``: no version does so any
        longer. ``rollback``: the champion before becomes champion again, or a version that is
        named. ``disable`` and ``enable``: nothing answers, and again. ``retire``: the version is
        never to answer again.
    service
        Service of the model.
    version
        Number of the version; None where the kind needs none.
    who, why
        For the history.
    share
        canary: share of the requests.
    expected
        The champion that the action was decided upon; where another is champion by now, the action
        is refused. None does not look.
    evidence
        Evidence for the decision, as a table.
    approver
        Name of the approver, for the history; empty where no approval was requested.
    accept_generated
        promote, rollback, canary, shadow: let a model of generated rows replace one of published
        ones, or answer beside it.
    remarks
        Further remarks for the history.
    everywhere
        disable, enable: at every moment, not only at the promoter's.

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
    approver: str = ""
    accept_generated: bool = False
    remarks: tuple[str, ...] = ()
    everywhere: bool = False

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
        if self.everywhere and self.kind not in SWITCHES:
            raise InvalidInputError(
                f"Action {self.kind}",
                "is done at one moment at a time",
                "Name the moment; only disable and enable are done at all of them.",
            )
        require_within("share", self.share, above=0.0, most=1.0)


def standing_after(
    kind: ActionKind, before: Deployment, version: int | None, share: float
) -> Deployment:
    """Return how the versions stand after an action."""
    return _AFTER[kind](before, version, share)


def _champion(before: Deployment, version: int | None, _share: float) -> Deployment:
    return dataclasses.replace(_without(before, version), champion=version)


def _canary(before: Deployment, version: int | None, share: float) -> Deployment:
    return dataclasses.replace(_without(before, version), challenger=version, share=share)


def _shadow(before: Deployment, version: int | None, _share: float) -> Deployment:
    return dataclasses.replace(_without(before, version), shadow=version)


def _without(before: Deployment, version: int | None, _share: float = 0.0) -> Deployment:
    """Return the standing without a version as challenger or shadow."""
    after = before
    if before.challenger == version:
        after = dataclasses.replace(after, challenger=None, share=0.0)
    if before.shadow == version:
        after = dataclasses.replace(after, shadow=None)
    return after


_AFTER: Mapping[ActionKind, Callable[[Deployment, int | None, float], Deployment]] = (
    MappingProxyType(
        {
            "promote": _champion,
            "rollback": _champion,
            "canary": _canary,
            "end_canary": lambda before, *_: dataclasses.replace(
                before, challenger=None, share=0.0
            ),
            "shadow": _shadow,
            "end_shadow": lambda before, *_: dataclasses.replace(before, shadow=None),
            "retire": _without,
            "disable": lambda before, *_: dataclasses.replace(before, enabled=False),
            "enable": lambda before, *_: dataclasses.replace(before, enabled=True),
        }
    )
)
