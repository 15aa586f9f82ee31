"""Removal of old predictions, by a clock that may be wrong."""

from __future__ import annotations

import logging
import time

from sqlalchemy import Engine, extract, func, select
from sqlalchemy.exc import SQLAlchemyError

from model_loop.days import SECONDS_PER_DAY
from model_loop.serving.request_log.queries import REMOVED, remove_older
from model_loop.serving.request_log.tables import predictions

#: Time between two passes.
_PASS_SECONDS = 600.0

logger = logging.getLogger(__name__)


class LogPruner:
    """Removes what is older than it may become.

    The time is the database's where it has a clock of its own, else this machine's. A clock that is
    ahead by more than a day of what has really passed is believed after a day: until then nothing
    is removed, and what was removed could not be brought back.

    Parameters
    ----------
    engine
        Database of the log.
    days
        Older predictions are removed; 0 keeps all.
    """

    def __init__(self, engine: Engine, days: float) -> None:
        self._engine = engine
        self._days = days
        #: By the monotonic clock, which cannot be set.
        self._next = 0.0
        self._trusted: tuple[float, float] | None = None
        self._ahead_since: float | None = None
        self._begun = False

    def run(self) -> None:
        """Remove some of what is too old, if it is time for it."""
        elapsed = time.monotonic()
        if not self._days or elapsed < self._next:
            return
        self._next = elapsed + _PASS_SECONDS
        try:
            now = self._time()
            if not self._believes(now, elapsed):
                return
            removed = remove_older(self._engine, now - self._days * SECONDS_PER_DAY, REMOVED)
        except SQLAlchemyError as error:
            logger.warning("Old predictions cannot be removed: %s", error)
            return
        if removed == REMOVED:
            # There are more of them, but what was predicted meanwhile comes first.
            self._next = elapsed

    def begin(self) -> None:
        """Note when the latest prediction was made, before any other is logged by this clock."""
        if self._begun or not self._days:
            return
        try:
            with self._engine.connect() as connection:
                latest = connection.scalar(select(func.max(predictions.c.at)))
        except SQLAlchemyError as error:
            logger.warning("The age of the request log is not known: %s", error)
            return
        self._begun = True
        if latest is not None:
            self._trusted = (latest, time.monotonic())

    def _time(self) -> float:
        if self._engine.dialect.name == "sqlite":
            return time.time()
        with self._engine.connect() as connection:
            told = connection.scalar(select(extract("epoch", func.clock_timestamp())))
        return float(told or 0.0)

    def _believes(self, now: float, elapsed: float) -> bool:
        expected = now if self._trusted is None else self._trusted[0] + elapsed - self._trusted[1]
        if now - expected <= SECONDS_PER_DAY:
            self._ahead_since = None
        elif self._ahead_since is None:
            self._ahead_since = elapsed
            logger.warning(
                "The clock is %.1f days ahead of what is known to have passed: nothing is removed "
                "from the request log until it has stayed so for a day",
                (now - expected) / SECONDS_PER_DAY,
            )
            return False
        elif elapsed - self._ahead_since < SECONDS_PER_DAY:
            return False
        self._trusted, self._ahead_since = (now, elapsed), None
        return True
