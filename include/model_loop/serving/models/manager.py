"""The versions that answer: watched in the registry, loaded beside the traffic, swapped at once.

Requests read one attribute. A swap replaces it when everything behind it is ready, so that no
request meets a version that is half there.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.alerts.types import Alert
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.errors import ModelLoopError
from model_loop.intervals.adaptive import Correction
from model_loop.objects.documents import read_document
from model_loop.objects.files import atomic_write
from model_loop.serving.models.loading import Loader, RegistryError
from model_loop.serving.models.predictor import ServedVersion
from model_loop.tracking.deployments import Deployment, Standings, log_once
from model_loop.tracking.shares import ShareMove

logger = logging.getLogger(__name__)

#: Format of the file of what answers, from which a server starts when the registry is down.
_FORMAT = "deployments/1"
#: After so many seconds without an answer, the registry counts as unreachable.
_PATIENCE_SECONDS = 5.0

_LAST_KNOWN = "standing.json"
#: A second copy, for when another version of this package has written the first.
_KEPT = "standing.kept.json"


@dataclass(frozen=True)
class MomentVersions:
    """Versions that answer at one moment.

    Parameters
    ----------
    standing
        Standing in the registry.
    champion, challenger, shadow
        Versions that are ready; None where there is none, or none could be loaded.
    unloadable
        Whether the challenger could not be loaded.
    """

    standing: Deployment = field(default_factory=Deployment)
    champion: ServedVersion | None = None
    challenger: ServedVersion | None = None
    shadow: ServedVersion | None = None
    unloadable: bool = False

    @property
    def predictors(self) -> tuple[ServedVersion, ...]:
        """All that are ready."""
        found = (self.champion, self.challenger, self.shadow)
        return tuple(one for one in found if one is not None)


@dataclass(frozen=True)
class ActiveModels:
    """Versions that answer, at all moments.

    Parameters
    ----------
    sides
        Versions of each moment.
    """

    sides: Mapping[Moment, MomentVersions] = field(default_factory=dict)

    @property
    def predictors(self) -> tuple[ServedVersion, ...]:
        """All that are ready."""
        return tuple(one for side in self.sides.values() for one in side.predictors)

    @functools.cached_property
    def answering(self) -> Mapping[Moment, MomentVersions]:
        """The moments at which something answers, the earliest first."""
        return {
            moment: side
            for moment, side in self.sides.items()
            if side.champion is not None and side.standing.enabled
        }

    @property
    def champion(self) -> ServedVersion | None:
        """The champion of the earliest moment that has one."""
        return next((side.champion for side in self.sides.values() if side.champion), None)

    @functools.cached_property
    def waits(self) -> bool:
        """Return whether an answer may have to wait for another process."""
        asked = (one for side in self.sides.values() for one in (side.champion, side.challenger))
        return any(one is not None and one.remote for one in asked)

    @functools.cached_property
    def shadow(self) -> ServedVersion | None:
        """The shadow; where several moments have one, the earliest's."""
        return next((side.shadow for side in self.sides.values() if side.shadow), None)


class VersionSource(Protocol):
    """The source of versions.

    Attributes
    ----------
    unreadable
        Errors of the last look, in words.
    before
        Previous standing, in place of what cannot be read.
    dataset
        Dataset of the versions.
    corrections
        Corrections of the intervals of versions at the last look.
    """

    dataset: Dataset
    unreadable: tuple[str, ...]
    before: Standings | None
    corrections: Mapping[int, Correction]

    def standings(self) -> Standings:
        """Return the current standing of the versions, at each moment.

        Raises
        ------
        RegistryError
            If the registry does not tell.
        """

    def load(self, version: int, given_up: threading.Event) -> ServedVersion:
        """A version, ready to answer; an error if it is given up before it is."""

    def moves(self) -> list[ShareMove]:
        """Return the moves of the versions; a `RegistryError` if the registry does not tell."""

    def moment(self, version: int) -> Moment:
        """Return the moment of a version.

        Raises
        ------
        RegistryError, ModelLoopError
            If the registry does not tell.
        """


class ModelManager:
    """Keeps the versions that answer up to date, on threads of its own.

    Parameters
    ----------
    registry
        The source of versions.
    folder
        Folder of the last known standing, for a start without the registry.
    refresh_seconds
        Time between two looks at the registry.
    on_swap
        Called after each swap, on the thread that has made it.
    outbox
        Outbox for alerts about an unreadable last known standing; None to log it alone.
    idle_seconds
        Time between two looks while no version stands, if it is longer.
    """

    def __init__(
        self,
        registry: VersionSource,
        folder: Path,
        refresh_seconds: float,
        on_swap: Callable[[ActiveModels], None] = lambda _: None,
        outbox: Outbox | None = None,
        *,
        idle_seconds: float = 0.0,
    ) -> None:
        self.now = ActiveModels({moment: MomentVersions() for moment in registry.dataset.moments})
        self._registry = registry
        self._last_known = tuple(UPath(folder / name) for name in (_LAST_KNOWN, _KEPT))
        self._outbox = outbox
        self._refresh_seconds, self._idle_seconds = refresh_seconds, idle_seconds
        self._on_swap = on_swap
        self._loader = Loader(registry.load, self._swap_loaded)
        self._wanted: Standings | None = None
        self._told = False
        #: The champion before the present one, at each moment.
        self._former: dict[Moment, int] = {}
        self._swapping = threading.Lock()
        self._asked_at: float | None = None
        self._unreachable = "not asked yet"
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch; a second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="live-models", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the watch, and give up what is being loaded."""
        self._stop.set()
        self._loader.want((), ())
        if self._thread is not None:
            self._thread.join(timeout=10)

    def moment_of(self, version: int) -> Moment | None:
        """Return the moment of a version; None where the registry does not tell."""
        for moment, side in self.now.sides.items():
            if any(one.version == version for one in side.predictors):
                return moment
        try:
            return self._registry.moment(version)
        except (RegistryError, ModelLoopError) as error:
            logger.warning("The moment of version %d is not known: %s", version, error)
            return None

    def unit_of(self, version: int) -> str | None:
        """Return the unit in which a version predicts; None if it is not loaded."""
        for one in self.now.predictors:
            if one.version == version:
                return one.dataset(self._registry.dataset).target.unit
        return None

    def moves(self) -> list[ShareMove]:
        """Return the moves of the versions, as the history on the registry's server has them.

        Raises
        ------
        RegistryError
            If it does not tell.
        """
        return self._registry.moves()

    @property
    def problems(self) -> dict[int, str]:
        """Reasons why versions cannot be loaded, by version."""
        return self._loader.problems

    @property
    def looked(self) -> bool:
        """Return whether the registry was looked at, and its champions were loaded."""
        return self._looked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until that was done, or has failed; whether it was."""
        return self._looked.wait(seconds)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Return what cannot be read of the registry; the rest of it counts."""
        return self._registry.unreadable

    @property
    def unreachable(self) -> str:
        """Reason why the registry does not answer; empty if it does."""
        asked = self._asked_at
        silent = time.monotonic() - asked if asked is not None else 0.0
        if silent > _PATIENCE_SECONDS:
            return f"silent for {silent:.0f} seconds"
        return self._unreachable

    def refresh(self) -> None:
        """Look at the registry now, and wait for what it names, also for what failed before."""
        self._loader.retry()
        self.look()
        self._loader.wait()

    def look(self) -> None:
        """Look at the registry once, and apply what it says: at once whatever needs no loading."""
        self._asked_at = time.monotonic()
        try:
            standings = self._registry.standings()
            if self._registry.unreadable and self._wanted is None:
                # This server has just been started: what answered before is in its folder.
                self._registry.before = self._remembered()
                standings = self._registry.standings()
            self._asked_at = None
        except RegistryError as error:
            self._asked_at = None
            self._unreachable = str(error).partition("\n")[0][:200]
            if not self.now.predictors:
                self._swap(self._remembered())
        else:
            self._unreachable = ""
            self._swap(standings, told=True)
        finally:
            # Also after an error: requests are answered with what there is, and do not wait for it.
            self._settle()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                # After any error, the loaded versions still answer.
                logger.exception("The versions could not be refreshed")
            standing = any(one.versions for one in (self._wanted or {}).values())
            idle = 0.0 if standing else self._idle_seconds
            self._stop.wait(max(self._refresh_seconds, idle))

    def _settle(self) -> None:
        """Let requests wait no longer, unless a champion is still being loaded."""
        standings = self._wanted or {}
        champions = {one.champion for one in standings.values() if one.champion is not None}
        if self._looked.is_set() or self._loader.is_loading(champions):
            return
        try:
            # A champion may have been loaded since all was applied: it answers from here on, too.
            with self._swapping:
                if self._wanted is not None and not self._stop.is_set():
                    self._apply(self._wanted)
        finally:
            self._looked.set()

    def _swap(self, standings: Standings, *, told: bool = False) -> None:
        """Make this what answers, as far as it is loaded, and load what is missing.

        Parameters
        ----------
        told
            Whether the registry has answered just now.
        """
        with self._swapping:
            self._wanted, self._told = standings, told
            self._apply(standings)

    def _swap_loaded(self) -> None:
        """Make what was loaded answer, if it is still wanted."""
        with self._swapping:
            if self._wanted is not None and not self._stop.is_set():
                self._apply(self._wanted)
        self._settle()

    def _apply(self, standings: Standings) -> None:
        before = self.now
        champions = {one.champion for one in standings.values() if one.champion is not None}
        wanted = {version for standing in standings.values() for version in standing.versions}
        self._loader.want(champions, wanted - champions)
        self._loader.correct(self._registry.corrections)
        loaded, problems = self._loader.loaded, self._loader.problems
        after = ActiveModels(
            {
                moment: _side(standings[moment], loaded, before.sides[moment], problems)
                for moment in before.sides
            }
        )
        if after != before:
            self.now = after
            self._forget(wanted, before, after)
            logger.info("Live: %s", "; ".join(f"{at}: {each}" for at, each in standings.items()))
            self._on_swap(after)
        if self._told and all(
            side.champion is None or side.champion.version == side.standing.champion
            for side in after.sides.values()
        ):
            self._remember(standings)

    def _forget(self, wanted: set[int], before: ActiveModels, after: ActiveModels) -> None:
        """Keep what answers and what answered before, for a quick way back."""
        for moment, side in before.sides.items():
            now = after.sides[moment].champion
            if side.champion is not None and (now is None or now.version != side.champion.version):
                self._former[moment] = side.champion.version
        answering = (one.version for live in (before, after) for one in live.predictors)
        self._loader.keep({*wanted, *answering, *self._former.values()})

    def _remember(self, standings: Standings) -> None:
        told = {moment: dataclasses.asdict(standing) for moment, standing in standings.items()}
        content = json.dumps({"format": _FORMAT, "moments": told}).encode()
        for path in self._last_known:
            try:
                if not path.exists() or path.read_bytes() != content:
                    with atomic_write(path) as file:
                        file.write_bytes(content)
            except OSError as error:
                log_once(f"A start without the registry will not know what answers now: {error}")

    def _remembered(self) -> Standings:
        for path in self._last_known:
            try:
                there = path.exists()
                found = read_document(path, self._read)
            except OSError as error:
                log_once(f"The last answer cannot be read: {error}")
                continue
            if found is not None:
                return found
            if there:
                self._tell(path)
        return self._nothing()

    def _read(self, told: dict[str, Any]) -> Standings:
        # Versions before 0.2 have written no format.
        if "format" in told:
            if told["format"] != _FORMAT:
                message = f"its format is {told['format']!r}, and {_FORMAT!r} is known"
                raise ValueError(message)
            told = told["moments"]
        nothing = self._nothing()
        try:
            if "champion" in told:
                one = msgspec.convert(told, Deployment)
                return {**nothing, **self._of_its_moment(one)}
            return nothing | msgspec.convert(told, dict[Moment, Deployment])
        except msgspec.ValidationError as error:
            # A file of another version must not pass for a service without versions.
            raise ValueError(error) from error

    def _nothing(self) -> dict[Moment, Deployment]:
        return {moment: Deployment() for moment in self._registry.dataset.moments}

    def _tell(self, path: UPath) -> None:
        if self._outbox is None:
            return
        alert = Alert(
            kind="failure",
            key=f"unreadable/{path}/{time.time():.0f}",
            about="serving/standing",
            subject=f"{path.name} of a prediction server cannot be read",
            headline="The last answer cannot be read",
            summary=f"The registry does not answer, and {path} was damaged, or written by another "
            "version. It was moved aside; the last one that could be read is used, if there is "
            "one.",
        )
        try:
            self._outbox.put(alert)
        except OSError as error:
            logger.warning("No mail could be left: %s", error)

    def _of_its_moment(self, standing: Deployment) -> Standings:
        """Place what an older server has kept, which knew one champion for all moments."""
        if standing.champion is None:
            return {}
        self._loader.want({standing.champion}, ())
        self._loader.wait()
        champion = self._loader.loaded.get(standing.champion)
        if champion is None:
            return {}
        return {self._registry.dataset.moment_of(champion.columns): standing}


def _side(
    standing: Deployment,
    ready: Mapping[int, ServedVersion],
    before: MomentVersions,
    problems: Mapping[int, str],
) -> MomentVersions:
    champion = ready.get(standing.champion or -1)
    if standing.champion is not None and champion is None:
        # A champion that cannot be loaded leaves the one before in its place.
        champion = before.champion
    return MomentVersions(
        standing=standing,
        champion=champion,
        challenger=ready.get(standing.challenger or -1),
        shadow=ready.get(standing.shadow or -1),
        unloadable=standing.challenger in problems,
    )
