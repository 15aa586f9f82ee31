"""Standing of the versions of a registered model, as plain values, and the names that hold it.

There is one champion for each variant and moment. The earliest moment has the plain aliases, and
each later one adds its name: ``champion``, ``champion_landed``. Older versions of this package kept
one champion for each service, under the plain alias whatever it needed to know: an alias without a
moment that names a version of a later one is read as that one's.

Reading these needs no MLflow client, which takes 100 MB of memory.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import find_variant
from model_loop.errors import ModelLoopError

logger = logging.getLogger(__name__)

#: Roles: in use, answering a share, answering unseen.
Part = Literal["champion", "challenger", "shadow"]
PARTS: tuple[Part, ...] = get_args(Part)

#: Tag of a registered model that disables its service at every moment.
DISABLED_TAG = "disabled"
#: Tag of a version: it is never to answer again.
RETIRED_TAG = "retired"
#: Tag of a version: the moment at which it can be asked.
MOMENT_TAG = "moment"
#: Tag of a version: digest of the declaration that it was trained on, see `datasets.stored`.
DECLARATION_TAG = "declaration"
#: Tag of a version that was trained elsewhere: where it comes from.
BROUGHT_IN = "brought_in_from"
#: Tag of a version that is code of its own: digest of all of it; see `coded`.
CODE_TAG = "code"

#: Kinds of entries of the history that move nothing: a person has refused a version that had passed
#: the gate, a canary has turned out better than the champion, or code was admitted or refused.
REJECT, PROPOSE = "reject", "propose"
ADMIT_CODE, REFUSE_CODE = "admit_code", "refuse_code"
STILL = frozenset({REJECT, PROPOSE, ADMIT_CODE, REFUSE_CODE})

#: Characters of a foreign value that messages show.
_QUOTED = 60


class MomentUnknownError(ModelLoopError):
    """The tags of a version do not tell its moment, and its model cannot be asked."""

    @classmethod
    def of(cls, name: str, version: int, why: str) -> MomentUnknownError:
        """Return the error for one version.

        Parameters
        ----------
        name
            Name of the registered model.
        why
            Reason why its model cannot be asked.
        """
        return cls(
            f"The moment of version {version} of {name}",
            f"is not known: it has no tag {MOMENT_TAG}, and its model cannot be asked ({why})",
            f"Give it the tag {MOMENT_TAG}, or remove its alias.",
        )


def registered_name(service: str) -> str:
    """Return the name of a variant's registered model.

    Raises
    ------
    InvalidInputError
        If there is no such variant.
    """
    return find_variant(service)[1].model_name


def alias_of(part: Part, moment: Moment, moments: Sequence[Moment]) -> str:
    """Return the alias of the version that has a part at one of a dataset's moments."""
    return _at(part, moment, moments)


def share_tag(moment: Moment, moments: Sequence[Moment]) -> str:
    """Return the tag of a registered model with the share that a moment's challenger answers."""
    return _at("challenger_share", moment, moments)


def disabled_tag(moment: Moment) -> str:
    """Tag of a registered model: nothing answers that is asked at this moment."""
    return f"{DISABLED_TAG}_{moment}"


def parts_of_aliases(moments: Sequence[Moment]) -> dict[str, tuple[Part, Moment]]:
    """Return every alias that this package sets, with the part and the moment that it names."""
    return {alias_of(part, moment, moments): (part, moment) for moment in moments for part in PARTS}


def version_of_alias(alias: str, standings: Standings) -> int | None:
    """Return the version that an alias names; None if it names none.

    The plain ones name the earliest moment that has the part, as in older registries.
    """
    moments = tuple(standings)
    part, moment = parts_of_aliases(moments)[alias]
    if moment != moments[0]:
        found: int | None = getattr(standings[moment], part)
        return found
    named = (getattr(standing, part) for standing in standings.values())
    return next((version for version in named if version is not None), None)


def _at(name: str, moment: Moment, moments: Sequence[Moment]) -> str:
    return name if moment == moments[0] else f"{name}_{moment}"


def declared_moment(tags: Mapping[str, str], dataset: Dataset) -> Moment | None:
    """Return the moment of a version by its tags; None where they do not tell.

    Versions that were registered before moments were declared have the tag of their recipe alone.
    Where a version was trained on another declaration, its columns tell at which moment of the
    present one it can be asked.

    Raises
    ------
    InvalidInputError
        If the tag names no moment of the dataset, and was not written with a declaration.
    """
    renamed = DECLARATION_TAG in tags and tags.get(MOMENT_TAG) not in dataset.moments
    if MOMENT_TAG in tags and not renamed:
        # Somebody else may have written it, however long it is.
        return dataset.check_moment(_short(tags[MOMENT_TAG]))
    recipe = dataset.recipes.get(tags.get("recipe", ""))
    return recipe.moment if recipe else None


@dataclass(frozen=True)
class Deployment:
    """Versions that answer at one moment.

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

    @property
    def versions(self) -> frozenset[int]:
        """Numbers of all versions that have a part."""
        named = (self.champion, self.challenger, self.shadow)
        return frozenset(version for version in named if version is not None)

    def __str__(self) -> str:
        named = [
            f"{role} version {number}"
            for role in ("champion", "challenger", "shadow")
            if (number := getattr(self, role)) is not None
        ]
        share = [f"{self.share:.0%} of the requests to the challenger"] if self.share else []
        return ", ".join([*named, *share, *(["disabled"] * (not self.enabled))]) or "no version"


#: Standing of a variant's versions, at every moment of its dataset, in their order.
Standings = Mapping[Moment, Deployment]


@dataclass(frozen=True)
class HistoryEntry:
    """One action that was done.

    Parameters
    ----------
    kind, version, who, why
        See the action; `version` is the one that was rolled back to.
    before, after
        Standing before and after.
    at
        Time of the action, in seconds since the epoch.
    run_id
        The run that holds it, with the evidence.
    moment
        Moment of the versions that were moved; None where it was done to all of them.
    approver
        Name of the approver or rejecter; empty where no approval was requested.
    remarks
        Further remarks: that generated data were accepted, that a champion was not
        compared and why, that it is not known what a version has learned from.
    """

    kind: str
    version: int | None
    who: str
    why: str
    before: Deployment
    after: Deployment
    at: float
    run_id: str
    moment: Moment | None = None
    approver: str = ""
    remarks: str = ""


@functools.lru_cache(maxsize=1_000)
def log_once(problem: str) -> None:
    """Log what is wrong with the registry, however often it is looked at."""
    logger.warning("%s", problem)


def standings_of(
    aliases: Mapping[str, str],
    tags: Mapping[str, str],
    moment_of: Callable[[int], Moment],
    moments: Sequence[Moment],
    before: Standings | None = None,
    tell: Callable[[str], None] = log_once,
) -> dict[Moment, Deployment]:
    """Return how the versions of a registered model stand at each moment.

    People and other programs write tags too. One that cannot be read holds up nothing else.

    Parameters
    ----------
    aliases, tags
        Aliases and tags of the registered model.
    moment_of
        Moment of a version.
    moments
        Moments of the dataset, in their order.
    before
        Standing of the last successful read, in place of what cannot be read.
    tell
        Function that is called with what cannot be read.
    """
    known = before or {}
    read = _Read(aliases, tags, moment_of, moments, tell)
    return {moment: _standing(moment, read, known.get(moment, Deployment())) for moment in moments}


def first_standing(standings: Standings) -> Deployment:
    """Return the standing of the earliest moment that has a champion, or of the earliest."""
    led = [standing for standing in standings.values() if standing.champion is not None]
    return (*led, *standings.values())[0]


def alias_in_use(
    part: Part,
    moment: Moment,
    aliases: Mapping[str, str],
    moment_of: Callable[[int], Moment],
    moments: Sequence[Moment],
) -> str | None:
    """Return the alias that says which version has a part at a moment; None if no version has it.

    An alias that an older version of this package has set counts until the moment has its own.
    """
    own, plain = alias_of(part, moment, moments), alias_of(part, moments[0], moments)
    if own != plain and own in aliases:
        return own
    named = plain in aliases and moment_of(int(aliases[plain])) == moment
    return plain if named else None


@dataclass(frozen=True)
class _Read:
    """Aliases and tags of a registered model as they were read; see `standings_of`."""

    aliases: Mapping[str, str]
    tags: Mapping[str, str]
    moment_of: Callable[[int], Moment]
    moments: Sequence[Moment]
    tell: Callable[[str], None]


def _standing(moment: Moment, read: _Read, before: Deployment) -> Deployment:
    named: dict[Part, int | None] = {}
    share = None
    for part in PARTS:
        try:
            alias = alias_in_use(part, moment, read.aliases, read.moment_of, read.moments)
            named[part] = int(read.aliases[alias]) if alias is not None else None
        except (ModelLoopError, ValueError) as error:
            stray = read.aliases[alias_of(part, read.moments[0], read.moments)]
            read.tell(
                f"The {part} at the moment {moment} stays as it was, not version {stray}: {error}"
            )
            named[part] = getattr(before, part)
            if part == "challenger":
                share = before.share
    if share is None:
        share = _share_of(named["challenger"], moment, read, before)
    return Deployment(**named, share=share, enabled=_is_enabled(moment, read.tags))


def _share_of(challenger: int | None, moment: Moment, read: _Read, before: Deployment) -> float:
    """Return the share of a challenger, the last one that was read if its tag cannot be."""
    if challenger is None:
        return 0.0
    own = alias_of("challenger", moment, read.moments) in read.aliases
    tag = share_tag(moment if own else read.moments[0], read.moments)
    share = _share(read.tags.get(tag, "0"))
    if share is None:
        share = before.share if challenger == before.challenger else 0.0
        read.tell(
            f"The tag {tag} of the registered model is {_quoted(read.tags[tag])}, not a number "
            f"from 0 to 1; version {challenger} answers {share:g} of the requests"
        )
    return share


def _share(told: str) -> float | None:
    """Return the share that a tag tells; None if it tells none."""
    try:
        share = float(told)
    except ValueError:
        return None
    # No comparison with NaN is true.
    return share if 0.0 <= share <= 1.0 else None


def _quoted(value: str) -> str:
    """Quote a value that somebody else has written, however long it is."""
    return repr(_short(value))


def _short(value: str) -> str:
    return value if len(value) <= _QUOTED else f"{value[:_QUOTED]}…"


def _is_enabled(moment: Moment, tags: Mapping[str, str]) -> bool:
    return DISABLED_TAG not in tags and disabled_tag(moment) not in tags
