"""A cached value that is reloaded in the background: stale-while-revalidate.

Of the libraries for it, cachetools has no background reload, and dogpile.cache, which has, bounds
neither the wait for a reload nor the age of what it gives meanwhile.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from model_loop.errors import WorkerError

#: A value that is older than this is not given while a newer one is loaded.
_STALE_SECONDS = 60.0
#: A load that failed is repeated after so long.
_RETRY_SECONDS = 5.0
#: Characters of an error that a page or an answer shows.
_LONGEST_PROBLEM = 200

_Value = TypeVar("_Value")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry(Generic[_Value]):
    """The result of a load.

    Parameters
    ----------
    value
        The value; None if there is none.
    problem
        Reason why there is none.
    at
        Time of the load, by the monotonic clock.
    """

    value: _Value | None = None
    problem: str = ""
    at: float = -math.inf


class BackgroundCache(Generic[_Value]):
    """A value that is loaded when it is wanted and the last load is old.

    A load runs on a thread of its own, one at a time, so that a server behind it that hangs delays
    no caller for longer than its timeout.

    Parameters
    ----------
    load
        Loads the value.
    fresh_seconds
        Age up to which the value is not loaded again.
    stale_seconds
        Age up to which it is given while a newer one is loaded.
    """

    def __init__(
        self,
        load: Callable[[], _Value],
        fresh_seconds: float = 5.0,
        stale_seconds: float = _STALE_SECONDS,
    ) -> None:
        self._load = load
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._entry: CacheEntry[_Value] = CacheEntry()
        self._lock = threading.Lock()
        self._loaded: threading.Event | None = None

    def refresh(self) -> None:
        """Begin to load the value, unless it is fresh or being loaded."""
        with self._lock:
            entry, fresh = self._entry, self._fresh_seconds
            if entry.problem:
                fresh = min(fresh, _RETRY_SECONDS)
            recent = time.monotonic() - entry.at <= fresh and entry != CacheEntry()
            if recent or self._loaded is not None:
                return
            self._loaded = threading.Event()
            threading.Thread(target=self._run, name="cache", daemon=True).start()

    def get(self, timeout_seconds: float) -> CacheEntry[_Value]:
        """Return the value that is being loaded, or the one before if that takes longer."""
        with self._lock:
            loaded = self._loaded
        if loaded is None or loaded.wait(timeout_seconds):
            return self._entry
        entry = self._entry
        if entry.value is not None and time.monotonic() - entry.at <= self._stale_seconds:
            return entry
        return CacheEntry(problem="does not answer in time")

    @property
    def has_value(self) -> bool:
        """True if there is a value, however old."""
        return self._entry.value is not None

    @property
    def loading(self) -> bool:
        """True while it is being loaded."""
        return self._loaded is not None

    def _run(self) -> None:
        try:
            entry = CacheEntry(self._load(), at=time.monotonic())
        except Exception as error:
            # Any error of one load is an entry; those of other caches go on.
            foreign = isinstance(error, WorkerError)
            name = "" if foreign else f"{type(error).__name__}: "
            line = str(error).partition("\n")[0][:_LONGEST_PROBLEM]
            # The worker process has logged its own traceback.
            logger.error("A cached value cannot be loaded: %s", error, exc_info=not foreign)  # noqa: TRY400 - not always with a traceback
            entry = CacheEntry(problem=f"{name}{line}", at=time.monotonic())
        with self._lock:
            self._entry = entry
            loaded, self._loaded = self._loaded, None
        assert loaded is not None
        loaded.set()
