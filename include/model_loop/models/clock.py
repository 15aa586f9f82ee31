"""The time that a search has spent, over all the processes that it ran in."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class SearchClock:
    """Counts the seconds of a search that goes on in another process after a kill.

    The journal keeps the time with every trial, and sets the clock when the trial is read again.
    Time that a killed process had not written down does not count, and neither does resuming:
    a search with a time budget ends at the same trial however often it was killed.
    """

    def __init__(self) -> None:
        self.set(0.0)

    def set(self, spent: float) -> None:
        """Set the seconds that were spent before."""
        self._before, self._since = spent, time.monotonic()

    def spent(self) -> float:
        """Return the seconds that were spent so far."""
        return self._before + time.monotonic() - self._since

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out the time of a block."""
        spent = self.spent()
        yield
        self.set(spent)
