"""Loading versions beside everything else, so that nothing waits for one that takes its time.

Each version is loaded on a thread of its own. One that is no longer wanted is given up, and one
that could not be loaded is tried again after a while that doubles with each failure: a try takes
seconds of a processor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from model_loop.errors import ModelLoopError
from model_loop.intervals.adaptive import Correction
from model_loop.serving.models.predictor import ServedVersion
from model_loop.tracking.moments import Tries

logger = logging.getLogger(__name__)


class RegistryError(Exception):
    """The registry does not answer, or gives another answer than expected."""


Load = Callable[[int, threading.Event], ServedVersion]
"""Loads a version, unless it is given up meanwhile."""


@dataclass
class Loader:
    """Loads what is wanted.

    Parameters
    ----------
    load
        Loads one version.
    on_end
        Called after each try, on the thread that has made it.
    """

    load: Load
    on_end: Callable[[], None]
    loaded: dict[int, ServedVersion] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare what the threads share."""
        self._changed = threading.Condition()
        self._running: dict[int, threading.Event] = {}
        self._ending = 0
        self._tries: dict[int, Tries] = {}

    def want(self, champions: Collection[int], others: Collection[int]) -> None:
        """Begin to load what is missing, and give up what is no longer wanted.

        Champions begin at once. Others begin one after the other, when nothing else is loading:
        each try takes hundreds of megabytes.
        """
        with self._changed:
            for version, given_up in self._running.items():
                if version not in champions and version not in others:
                    given_up.set()
            for version in champions:
                self._begin(version)
            for version in others:
                if not self._running:
                    self._begin(version)

    def retry(self) -> None:
        """Let the next call of `want` try again what could not be loaded."""
        with self._changed:
            for tries in self._tries.values():
                tries.not_before = 0.0

    def is_loading(self, versions: Collection[int]) -> bool:
        """Return whether any of these is being loaded."""
        with self._changed:
            return any(version in self._running for version in versions)

    def wait(self) -> None:
        """Wait until nothing is loading."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running and not self._ending)

    def keep(self, versions: Collection[int]) -> None:
        """Forget all others."""
        with self._changed:
            # Others read these without a lock: they are replaced, not changed.
            self.loaded = {number: one for number, one in self.loaded.items() if number in versions}
            self.problems = {n: why for n, why in self.problems.items() if n in versions}
            self._tries = {n: tries for n, tries in self._tries.items() if n in versions}

    def correct(self, corrections: Mapping[int, Correction]) -> None:
        """Replace versions whose intervals have another correction now."""
        with self._changed:
            changed = {
                version: replace(self.loaded[version], correction=correction)
                for version, correction in corrections.items()
                if version in self.loaded and self.loaded[version].correction != correction
            }
            if changed:
                self.loaded = self.loaded | changed

    def _begin(self, version: int) -> None:
        tries = self._tries.get(version, Tries())
        if version in self.loaded or version in self._running:
            return
        if time.monotonic() < tries.not_before:
            return
        given_up = self._running[version] = threading.Event()
        named = f"load-version-{version}"
        threading.Thread(
            target=self._run, args=(version, given_up), name=named, daemon=True
        ).start()

    def _run(self, version: int, given_up: threading.Event) -> None:
        predictor, problem = None, ""
        try:
            predictor = self.load(version, given_up)
        except Exception as error:
            # An error of one version must not stop the swap of the others.
            problem = (str(error) or repr(error)).partition("\n")[0][:300]
            known = isinstance(error, ModelLoopError | RegistryError | OSError)
            logger.warning("Version %d cannot be loaded: %s", version, error, exc_info=not known)
        with self._changed:
            del self._running[version]
            self._ending += 1
            if predictor is not None:
                self._tries.pop(version, None)
                self.loaded = {**self.loaded, version: predictor}
                self.problems = {n: why for n, why in self.problems.items() if n != version}
            elif not given_up.is_set():
                self.problems = {**self.problems, version: problem}
                self._tries.setdefault(version, Tries()).count()
        try:
            self.on_end()
        except Exception:
            logger.exception("Version %d could not be swapped in", version)
        finally:
            with self._changed:
                self._ending -= 1
                self._changed.notify_all()
