"""The log of predictions: gathered in memory, written by a thread, never in the way of an answer.

An answer appends to a bounded buffer and goes on. A thread takes what has gathered, lets the shadow
model predict it, and commits it in one transaction. What is committed survives `kill -9` and, in
SQLite, a power cut. What is still in the buffer survives `kill -9` where there is a spool beside
it: the next server on the same folder commits it. When the database does not answer, the buffer
fills; what comes beyond its bound is dropped and counted.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Engine, insert
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from trip_duration.serving.log_queries import (
    REMOVED,
    count_lost,
    find_known,
    find_prediction,
    note_feedback,
    remove_older,
)
from trip_duration.serving.log_tables import dropped, insert_predictions, metadata
from trip_duration.serving.predictor import Predictor
from trip_duration.serving.rows import NAMES
from trip_duration.serving.spool import Spool

#: Predictions that are written in one transaction, at most.
_BATCH = 5_000
#: Predictions of one statement: while it is made, answers wait for the interpreter's lock.
_PART = 50
_RETRY_SECONDS = 1.0
_RETENTION_SECONDS = 600.0
_DAY_SECONDS = 86_400

#: Errors that are the entries' own, and not of a database that is away.
_UNFIT = (IntegrityError, DataError)

_NO_INPUTS = (None,) * len(NAMES)

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One prediction.

    Parameters
    ----------
    prediction_id
        At most 32 characters.
    at
        Seconds since 1970.
    service, version, part
        Which model answered, and as what: ``champion``, ``challenger`` or ``form``.
    caller, key
        Name of the token or user, and the key that the request came with.
    minutes, latency_ms
        What was answered, and how long that took.
    row
        The trip, as in `rows.COLUMNS`.
    """

    prediction_id: str
    at: float
    service: str
    version: int
    part: str
    caller: str
    key: str | None
    minutes: float
    latency_ms: float
    row: Sequence[float]


@dataclass
class LogCounts:
    """What has become of predictions since the start: committed, dropped, compared with shadow."""

    written: int = 0
    dropped: int = 0
    shadowed: int = 0
    shadow_difference: float = 0.0


@dataclass(frozen=True)
class LogRules:
    """How the log is kept.

    Parameters
    ----------
    buffer
        Predictions that may wait.
    flush_seconds
        How long they are gathered.
    inputs
        Whether what was asked is kept.
    days
        Older predictions are removed; 0 keeps all.
    """

    buffer: int = 100_000
    flush_seconds: float = 0.1
    inputs: bool = True
    days: float = 90.0


@dataclass
class RequestLog:
    """The log of one server.

    Parameters
    ----------
    engine
        Where it is kept; see `open_log`.
    rules
        How it is kept.
    shadow
        The version whose answers are compared, if there is one at the moment.
    spool
        Keeps what is not committed yet beyond the end of the process; None to keep it in memory
        alone.
    """

    engine: Engine
    rules: LogRules = field(default_factory=LogRules)
    shadow: Callable[[], Predictor | None] = lambda: None
    spool: Spool[Entry] | None = None

    def __post_init__(self) -> None:
        """Prepare what the threads share."""
        self.counts = LogCounts()
        self._waiting: collections.deque[Entry] = collections.deque()
        #: Held while the buffer and the spool have to say the same.
        self._recording = threading.Lock()
        self._taken: list[Entry] = []
        self._dropped_unwritten = 0
        self._dropping = threading.Lock()
        self._unsure = False
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._turns = threading.Condition()
        self._begun = self._done = 0
        self._thread: threading.Thread | None = None
        self._next_retention = 0.0

    def start(self) -> None:
        """Begin to write; a second call changes nothing."""
        if self._thread is None:
            if self.spool is not None and (left := self.spool.inherit()):
                logger.info("%d predictions of a server that was killed are logged", len(left))
                self._waiting.extendleft(reversed(left))
            self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        # A thread that still answers must not meet a spool that is closed.
        with self._recording:
            spool, self.spool = self.spool, None
        if spool is not None:
            spool.close()

    @property
    def waiting(self) -> int:
        """Predictions that are not written yet."""
        return len(self._waiting) + len(self._taken)

    def record(self, entry: Entry) -> None:
        """Log one prediction; it never waits and never fails."""
        if len(self._waiting) >= self.rules.buffer:
            self._drop(1)
            return
        with self._recording:
            if self.spool is not None:
                self.spool.keep(entry)
            self._waiting.append(entry)

    def record_many(self, entries: Iterable[Entry]) -> None:
        """Log several predictions; what the buffer cannot hold is dropped."""
        for entry in entries:
            self.record(entry)

    def flush(self, seconds: float) -> bool:
        """Wait until all that was recorded before is written; whether it was."""
        with self._turns:
            # A turn that has begun already may have passed over the last ones.
            turn = self._begun + 1
            self._hurry.set()
            return self._turns.wait_for(lambda: self._done >= turn, timeout=seconds)

    def find(self, prediction_id: str) -> dict[str, Any] | None:
        """A prediction that is in the log, with its feedback.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the database does not answer.
        """
        return find_prediction(self.engine, prediction_id)

    def add_feedback(self, actual: dict[str, float], caller: str) -> list[str]:
        """Note how long trips took; what was noted before of the same predictions is replaced.

        Parameters
        ----------
        actual
            Minutes by prediction id.

        Returns
        -------
        list of str
            Ids that are not in the log; if there are any, nothing is noted.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the database does not answer.
        """
        return note_feedback(self.engine, actual, caller)

    def lost(self) -> int:
        """Predictions that were answered and are not in the log, as far as the log knows."""
        return count_lost(self.engine)

    def _drop(self, count: int) -> None:
        # Large requests are answered on several threads, and adding takes two steps.
        with self._dropping:
            self.counts.dropped += count
            self._dropped_unwritten += count

    def _run(self) -> None:
        while True:
            self._hurry.wait(self.rules.flush_seconds)
            ending = self._stop.is_set()
            self._hurry.clear()
            written = self._write_all()
            if ending:
                # A last try has been made; what a dead database does not take is lost.
                break
            if written:
                self._retain()
            else:
                self._stop.wait(_RETRY_SECONDS)

    def _write_all(self) -> bool:
        """Write what waits; whether the database took it.

        What comes meanwhile has to gather first: it would be written in ever smaller batches, which
        take longer than the answers that fill them.
        """
        with self._turns, self._recording:
            self._begun += 1
            due = len(self._waiting)
            if self.spool is not None:
                self.spool.begin()
        while due or self._taken or self._dropped_unwritten:
            if not self._taken:
                count = min(due, _BATCH)
                due -= count
                self._taken = [self._waiting.popleft() for _ in range(count)]
            try:
                if self._unsure:
                    metadata.create_all(self.engine)
                    self._unsure = False
                due += self._write_taken()
            except SQLAlchemyError as error:
                # It may have been away since before the tables were made.
                self._unsure = True
                logger.warning("The request log cannot be written: %s", error)
                return False
        if self.spool is not None:
            self.spool.written()
        with self._turns:
            self._done = self._begun
            self._turns.notify_all()
        return True

    def _write_taken(self) -> int:
        """Write what was taken; how many of it wait again."""
        lost = self._dropped_unwritten
        try:
            self._write(self._taken, lost)
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and not self._unfit(error):
                raise
            return self._sort_out(error)
        self.counts.written += len(self._taken)
        with self._dropping:
            self._dropped_unwritten -= lost
        self._taken = []
        return 0

    def _unfit(self, error: SQLAlchemyError) -> bool:
        # SQLite's driver says so of values that it does not know, Postgres of a missing table.
        strange = self.engine.dialect.name == "sqlite" and isinstance(error, ProgrammingError)
        return strange or isinstance(error, _UNFIT)

    def _sort_out(self, error: Exception) -> int:
        """Find the entry that no database takes, by halves, and drop it.

        It would stand in the way of all that comes after it.
        """
        known = find_known(self.engine, [entry.prediction_id for entry in self._taken])
        if known:
            # A commit went through whose answer was lost: those are written.
            self.counts.written += len(known)
            self._taken = [entry for entry in self._taken if entry.prediction_id not in known]
            return 0
        half = len(self._taken) // 2
        if not half:
            logger.error("A prediction cannot be logged: %s", error)
            self._drop(len(self._taken))
            self._taken = []
            return 0
        again = self._taken[half:]
        self._waiting.extendleft(reversed(again))
        self._taken = self._taken[:half]
        return len(again)

    def _write(self, entries: list[Entry], lost: int) -> None:
        shadow = self.shadow()
        beside = self._compare(shadow, entries) if shadow and entries else {}
        with self.engine.begin() as connection:
            for first in range(0, len(entries), _PART):
                values = [
                    # In the order of the table.
                    [*entry[:-1], *beside.get(number, (None, None)), *self._inputs(entry)]
                    for number, entry in enumerate(entries[first : first + _PART], first)
                ]
                insert_predictions(connection, values)
            if lost:
                connection.execute(insert(dropped), {"at": time.time(), "predictions": lost})
        # Not before: what a database does not take is compared again.
        self.counts.shadowed += len(beside)
        self.counts.shadow_difference += sum(
            abs(minutes - entries[number].minutes) for number, (_, minutes) in beside.items()
        )

    def _compare(self, shadow: Predictor, entries: Sequence[Entry]) -> dict[int, tuple[int, float]]:
        """Version and minutes of the shadow, of the entries that hold what it needs."""
        able = [number for number, entry in enumerate(entries) if not shadow.lacking([entry.row])]
        if not able:
            return {}
        rows = np.asarray([entries[number].row for number in able], dtype=np.float64)
        try:
            minutes = shadow.predict(rows).tolist()
        except Exception:
            # The shadow is on trial; the log is not.
            logger.exception("The shadow, version %d, failed", shadow.version)
            return {}
        return {number: (shadow.version, one) for number, one in zip(able, minutes, strict=True)}

    def _inputs(self, entry: Entry) -> Sequence[float | None]:
        return entry.row if self.rules.inputs else _NO_INPUTS

    def _retain(self) -> None:
        """Remove what is older than it may become."""
        now = time.time()
        if not self.rules.days or now < self._next_retention:
            return
        self._next_retention = now + _RETENTION_SECONDS
        try:
            than = now - self.rules.days * _DAY_SECONDS
            removed = remove_older(self.engine, than, REMOVED)
        except SQLAlchemyError as error:
            logger.warning("Old predictions cannot be removed: %s", error)
            return
        if removed == REMOVED:
            # There are more of them, but what was predicted meanwhile comes first.
            self._next_retention = now
