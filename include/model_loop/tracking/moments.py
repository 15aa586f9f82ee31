"""Moments of versions whose tags do not tell them, looked up in the store of their models.

The store may be away, take long to say so, or hold what is no model of ours. So each look-up has
a thread of its own, is waited for but briefly, and is tried again after a while that doubles with
each failure. Meanwhile, everything else that the registry says is applied. Servers and decisions
look them up in the same way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from model_loop.datasets.dataset import Moment
from model_loop.tracking.deployments import MomentUnknownError

#: Seconds until a version is tried again that could not be loaded or looked up, at first and at
#: most.
_FIRST_SECONDS, _MOST_SECONDS = 5.0, 300.0


@dataclass
class Tries:
    """The failures of one version, and the time before which it is not tried again.

    Parameters
    ----------
    failures
        Number of failures.
    not_before
        Time of the next try, by the monotonic clock.
    """

    failures: int = 0
    not_before: float = 0.0

    def count(self) -> None:
        """Count a failure."""
        seconds = min(_FIRST_SECONDS * 2**self.failures, _MOST_SECONDS)
        self.failures += 1
        self.not_before = time.monotonic() + seconds


class MomentLookUps:
    """Looks up moments beside everything else, and keeps them: they never change.

    Parameters
    ----------
    name
        Name of the registered model.
    look_up
        Looks up the moment of one version.
    """

    def __init__(self, name: str, look_up: Callable[[int], Moment]) -> None:
        self._name = name
        self._look_up = look_up
        self._changed = threading.Condition()
        self._known: dict[int, Moment] = {}
        self._running: set[int] = set()
        self._tries: dict[int, Tries] = {}
        self._problems: dict[int, str] = {}

    def moment(self, version: int, deadline: float) -> Moment:
        """Return the moment of a version.

        Parameters
        ----------
        deadline
            Time limit by the monotonic clock: until then, it is waited for.

        Raises
        ------
        MomentUnknownError
            If it is not known by then, or cannot be found.
        """
        with self._changed:
            if version not in self._known:
                self._begin(version)
                self._changed.wait_for(
                    lambda: version not in self._running, max(0.0, deadline - time.monotonic())
                )
            if version in self._known:
                return self._known[version]
            why = self._problems.get(version, "it is still being looked up")
        raise MomentUnknownError.of(self._name, version, why)

    def _begin(self, version: int) -> None:
        tries = self._tries.setdefault(version, Tries())
        if version not in self._running and time.monotonic() >= tries.not_before:
            self._running.add(version)
            named = f"moment-of-version-{version}"
            threading.Thread(target=self._run, args=(version,), name=named, daemon=True).start()

    def _run(self, version: int) -> None:
        found, problem = None, ""
        try:
            found = self._look_up(version)
        except Exception as error:  # noqa: BLE001 - each kind of store raises errors of its own
            problem = (str(error) or repr(error)).partition("\n")[0][:200]
        with self._changed:
            self._running.remove(version)
            if found is not None:
                self._known[version] = found
            else:
                self._problems[version] = problem
                self._tries[version].count()
            self._changed.notify_all()
