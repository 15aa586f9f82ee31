"""Which versions of a registered model answer, as plain values.

What only has to be told how the versions stand is spared MLflow's client, which brings 100 MB with
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Aliases: the version that is in use, the one that answers a share, the one that answers unseen.
CHAMPION = "champion"
CHALLENGER = "challenger"
SHADOW = "shadow"

#: Tags of the registered model.
SHARE_TAG = "challenger_share"
DISABLED_TAG = "disabled"
#: Tag of a version.
RETIRED_TAG = "retired"

#: Tag of a version that was trained elsewhere: where it comes from.
BROUGHT_IN = "brought_in_from"


def registered_name(service: str) -> str:
    """Name of a service's registered model."""
    return f"trip_duration_{service}"


@dataclass(frozen=True)
class Standing:
    """Which versions answer.

    Parameters
    ----------
    champion, challenger, shadow
        Numbers of versions; None where there is none.
    share
        Share of the requests that the challenger answers.
    enabled
        Whether anything answers.
    """

    champion: int | None = None
    challenger: int | None = None
    shadow: int | None = None
    share: float = 0.0
    enabled: bool = True


@dataclass(frozen=True)
class HistoryEntry:
    """One action that was done.

    Parameters
    ----------
    kind, version, who, why
        As in the action; `version` is the one that was rolled back to.
    before, after
        How the versions stood.
    at
        When it was done, in seconds since the epoch.
    run_id
        The run that holds it, with the evidence.
    """

    kind: str
    version: int | None
    who: str
    why: str
    before: Standing
    after: Standing
    at: float
    run_id: str


def standing_of(aliases: Mapping[str, str], tags: Mapping[str, str]) -> Standing:
    """How the versions of a registered model stand, by its aliases and tags."""
    versions = {alias: int(version) for alias, version in aliases.items()}
    return Standing(
        champion=versions.get(CHAMPION),
        challenger=versions.get(CHALLENGER),
        shadow=versions.get(SHADOW),
        share=float(tags.get(SHARE_TAG, 0.0)) if CHALLENGER in versions else 0.0,
        enabled=DISABLED_TAG not in tags,
    )
