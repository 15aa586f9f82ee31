"""The versions that answer: watched in the registry, loaded beside the traffic, swapped at once.

Requests read one attribute. A swap replaces it when everything behind it is ready, so that no
request meets a version that is half there.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from upath import UPath

from trip_duration.errors import TripDurationError
from trip_duration.objects.files import whole_file
from trip_duration.serving.predictor import Predictor
from trip_duration.tracking.standing import Standing, Standings
from trip_duration.trips.services import MOMENTS, Moment, moment_of

logger = logging.getLogger(__name__)

#: After so many seconds without an answer, the registry counts as unreachable.
_PATIENCE_SECONDS = 5.0

_LAST_KNOWN = "standing.json"


@dataclass(frozen=True)
class Side:
    """What answers at one moment.

    Parameters
    ----------
    standing
        As the registry said.
    champion, challenger, shadow
        Versions that are ready; None where there is none, or none could be loaded.
    """

    standing: Standing = field(default_factory=Standing)
    champion: Predictor | None = None
    challenger: Predictor | None = None
    shadow: Predictor | None = None

    @property
    def predictors(self) -> tuple[Predictor, ...]:
        """All that are ready."""
        found = (self.champion, self.challenger, self.shadow)
        return tuple(one for one in found if one is not None)


def _no_sides() -> dict[Moment, Side]:
    return {moment: Side() for moment in MOMENTS}


@dataclass(frozen=True)
class Live:
    """What answers, as a whole.

    Parameters
    ----------
    sides
        What answers at each moment.
    """

    sides: Mapping[Moment, Side] = field(default_factory=_no_sides)

    @property
    def predictors(self) -> tuple[Predictor, ...]:
        """All that are ready."""
        return tuple(one for side in self.sides.values() for one in side.predictors)

    @property
    def answering(self) -> Mapping[Moment, Side]:
        """The moments at which something answers, the earliest first."""
        return {
            moment: side
            for moment, side in self.sides.items()
            if side.champion is not None and side.standing.enabled
        }

    @property
    def champion(self) -> Predictor | None:
        """The champion of the earliest moment that has one."""
        return next((side.champion for side in self.sides.values() if side.champion), None)

    @property
    def shadow(self) -> Predictor | None:
        """The version that is asked unseen; where several moments have one, the earliest's."""
        return next((side.shadow for side in self.sides.values() if side.shadow), None)


class RegistryError(Exception):
    """The registry does not answer, or not what was asked for."""


class Registry(Protocol):
    """Where versions come from."""

    def standings(self) -> Standings:
        """How the versions stand now, at each moment.

        Raises
        ------
        RegistryError
            If the registry does not tell.
        """

    def load(self, version: int) -> Predictor:
        """A version, ready to answer."""

    def moment(self, version: int) -> Moment:
        """Return the moment at which a version is asked.

        Raises
        ------
        RegistryError
            If the registry does not tell.
        """


class LiveModels:
    """Keeps the versions that answer up to date, on a thread of its own.

    Parameters
    ----------
    registry
        Where versions come from.
    folder
        Where the last known standing is kept, for a start without the registry.
    refresh_seconds
        Time between two looks at the registry.
    on_swap
        Called after each swap, on the thread that refreshes.
    """

    def __init__(
        self,
        registry: Registry,
        folder: Path,
        refresh_seconds: float,
        on_swap: Callable[[Live], None] = lambda _: None,
    ) -> None:
        self.now = Live()
        self.problems: dict[int, str] = {}
        self._registry = registry
        self._last_known = folder / _LAST_KNOWN
        self._refresh_seconds = refresh_seconds
        self._on_swap = on_swap
        self._loaded: dict[int, Predictor] = {}
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
        """End the watch."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def moment_of(self, version: int) -> Moment | None:
        """Return the moment at which a version is asked; None where the registry does not tell."""
        for moment, side in self.now.sides.items():
            if any(one.version == version for one in side.predictors):
                return moment
        try:
            return self._registry.moment(version)
        except RegistryError as error:
            logger.warning("The moment of version %d is not known: %s", version, error)
            return None

    @property
    def looked(self) -> bool:
        """Whether the registry was looked at once."""
        return self._looked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until the registry was looked at once; whether it was."""
        return self._looked.wait(seconds)

    @property
    def unreachable(self) -> str:
        """Why the registry does not answer; empty if it does."""
        asked = self._asked_at
        silent = time.monotonic() - asked if asked is not None else 0.0
        if silent > _PATIENCE_SECONDS:
            return f"silent for {silent:.0f} seconds"
        return self._unreachable

    def refresh(self) -> None:
        """Look at the registry once, and swap to what it says."""
        self._asked_at = time.monotonic()
        try:
            standings = self._registry.standings()
            self._asked_at = None
        except RegistryError as error:
            self._asked_at = None
            self._unreachable = str(error).partition("\n")[0][:200]
            if not self.now.predictors:
                self._swap(self._remembered())
        else:
            self._unreachable = ""
            if self._swap(standings):
                self._remember(standings)
        finally:
            # Also after an error: requests are answered with what there is, and do not wait for it.
            self._looked.set()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
            except Exception:
                # Whatever goes wrong here, what is loaded goes on answering.
                logger.exception("The versions could not be refreshed")
            self._stop.wait(self._refresh_seconds)

    def _swap(self, standings: Standings) -> bool:
        """Make this what answers; whether every champion is the one that it names."""
        before = self.now
        wanted = {version for standing in standings.values() for version in standing.versions}
        known = {moment: side.standing for moment, side in before.sides.items()}
        if standings == known and wanted <= {*self._loaded}:
            return True
        ready = {version: self._ready(version) for version in wanted}
        after = Live(
            {
                moment: _side(standings[moment], ready, before.sides[moment])
                for moment in before.sides
            }
        )
        if after != before:
            self.now = after
            self._forget({*wanted, *(one.version for one in before.predictors)})
            logger.info("Live: %s", standings)
            self._on_swap(after)
        return all(
            side.champion is None or side.champion.version == side.standing.champion
            for side in after.sides.values()
        )

    def _ready(self, version: int) -> Predictor | None:
        if version in self._loaded:
            return self._loaded[version]
        try:
            self._loaded[version] = self._registry.load(version)
        except Exception as error:
            # Whatever is wrong with one version, the others are swapped.
            self.problems[version] = (str(error) or repr(error)).partition("\n")[0][:300]
            known = isinstance(error, TripDurationError | RegistryError | OSError)
            logger.warning("Version %d cannot be loaded: %s", version, error, exc_info=not known)
            return None
        self.problems.pop(version, None)
        return self._loaded[version]

    def _forget(self, kept: set[int]) -> None:
        """Keep what answers and what answered before, for a quick way back."""
        self._loaded = {number: one for number, one in self._loaded.items() if number in kept}
        self.problems = {number: why for number, why in self.problems.items() if number in kept}

    def _remember(self, standings: Standings) -> None:
        told = {moment: dataclasses.asdict(standing) for moment, standing in standings.items()}
        content = json.dumps(told).encode()
        if self._last_known.exists() and self._last_known.read_bytes() == content:
            return
        with whole_file(UPath(self._last_known)) as file:
            file.write_bytes(content)

    def _remembered(self) -> Standings:
        nothing = {moment: Standing() for moment in MOMENTS}
        try:
            told = json.loads(self._last_known.read_text())
            if "champion" in told:
                return {**nothing, **self._of_its_moment(Standing(**told))}
            return {moment: Standing(**told.get(moment, {})) for moment in MOMENTS}
        except FileNotFoundError:
            return nothing
        except (AttributeError, OSError, ValueError, TypeError) as error:
            logger.warning("What was live last is not known: %s: %s", self._last_known, error)
            return nothing

    def _of_its_moment(self, standing: Standing) -> Standings:
        """Place what an older server has kept, which knew one champion for all moments."""
        champion = None if standing.champion is None else self._ready(standing.champion)
        return {moment_of(champion.columns): standing} if champion else {}


def _side(standing: Standing, ready: Mapping[int, Predictor | None], before: Side) -> Side:
    champion = ready.get(standing.champion or -1)
    if standing.champion is not None and champion is None:
        # A champion that cannot be loaded leaves the one before in its place.
        champion = before.champion
    return Side(
        standing=standing,
        champion=champion,
        challenger=ready.get(standing.challenger or -1),
        shadow=ready.get(standing.shadow or -1),
    )
