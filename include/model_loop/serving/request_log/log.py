"""The log of predictions: gathered in memory, written aside, never in the way of an answer.

An answer only appends to a bounded buffer. A thread gives what has gathered to a writer,
which asks the shadow model what it says, and commits it in one transaction. Committed records
survive `kill -9` and, in SQLite, a power cut. Records in the buffer survive `kill -9` if there is a
spool beside it: the next server on the same folder commits it. When the database does not answer,
the buffer fills; what comes beyond its bound, or the spool's, is dropped and counted, and so is the
count kept: whatever ends a server, the answers that it has given are those in the database, those
in the spool and those that are reported as lost.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Engine

from model_loop.datasets.classes import Classes, Label
from model_loop.datasets.stored import digest_of_text
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.request_log.entries import PART, PAUSE_SECONDS, Batch, Entry, Writer
from model_loop.serving.request_log.queries import count_lost, find_prediction, note_feedback
from model_loop.serving.request_log.retention import LogPruner
from model_loop.serving.request_log.spool import Spool
from model_loop.serving.request_log.writer import LogWriter

#: Predictions that are written in one transaction, at most.
_BATCH = 5_000
#: Time until it is tried again to write, after the first failure of an unknown kind and at most.
_RETRY_SECONDS, _MOST_SECONDS = 1.0, 60.0
#: Time between two tries to make a spool.
_SPOOL_SECONDS = 10.0

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass
class LogCounts:
    """Counts of predictions since the start: committed, dropped, compared with the shadow."""

    written: int = 0
    dropped: int = 0
    shadowed: int = 0
    shadow_difference: float = 0.0


@dataclass(frozen=True)
class LogRules:
    """Limits of the buffer and the contents of the log.

    Parameters
    ----------
    buffer
        Predictions that may wait.
    flush_seconds
        Time for which they are gathered.
    inputs
        Whether inputs are stored.
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
        Database of the log; see `open_log`.
    rules
        Limits and contents of the log.
    shadows
        The version of each variant that is asked, too, where there is one at the moment.
    spool
        Keeps what is not committed yet beyond the end of the process; None to keep it in memory
        alone.
    writer
        Writer of the batches; by default, the thread itself.
    make_spool
        Tries to make a spool when there is none, as soon as the disk has room.
    """

    engine: Engine
    rules: LogRules = field(default_factory=LogRules)
    shadows: Callable[[], Mapping[str, ServedVersion]] = dict
    spool: Spool[Entry] | None = None
    writer: Writer | None = None
    make_spool: Callable[[], Spool[Entry] | None] | None = None

    def __post_init__(self) -> None:
        """Prepare what the threads share."""
        self.counts = LogCounts()
        #: Stored declarations of the entries by their digests, and those that the database has.
        self._declarations: dict[str, str] = {}
        self._declared: set[str] = set()
        self._writer = self.writer or LogWriter(self.engine, inputs=self.rules.inputs)
        self._waiting: collections.deque[Entry] = collections.deque()
        #: Held while the buffer and the spool have to say the same.
        self._recording = threading.Lock()
        self._taken: list[Entry] = []
        #: Losses in all, and those that the database knows, by the spool that counts them; without
        #: a spool, by a name of this log's own.
        self._lost: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._name = uuid.uuid4().hex
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._turns = threading.Condition()
        self._begun = self._done = 0
        self._thread: threading.Thread | None = None
        self._retention = LogPruner(self.engine, self.rules.days)
        self._next_spool = 0.0
        self._inherited = False
        #: The last unforeseen error of each step of a turn.
        self._errors: dict[str, str] = {}
        self._written = True

    def start(self) -> None:
        """Begin to write; a second call changes nothing."""
        if self._thread is None:
            self._safely("start", self._writer.start)
            self._safely("take over", self._take_over)
            self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        self._writer.close()
        # A thread that still answers must not meet a spool that is closed.
        with self._recording:
            spool, self.spool, self.make_spool = self.spool, None, None
        if spool is not None:
            spool.close(told=self._told.get(spool.name, 0))
        elif missing := self.waiting + sum(self._untold().values()):
            logger.error("%d predictions are in no log: there was no room to keep them", missing)

    @property
    def waiting(self) -> int:
        """Predictions that are not written yet."""
        return len(self._waiting) + len(self._taken)

    @property
    def working(self) -> bool:
        """Return whether the last turn has written all that was due, and no step of it failed."""
        alive = self._thread is None or self._thread.is_alive()
        return alive and self._written and not self._errors

    def record(self, entry: Entry) -> None:
        """Log one prediction; it never waits and never fails."""
        with self._recording:
            full = len(self._waiting) >= self.rules.buffer
            if full or (self.spool is not None and not self.spool.keep(entry)):
                self._count_lost(1)
            else:
                self._waiting.append(entry)

    def declare(self, declaration: str) -> str:
        """Keep a stored declaration for the entries that it has read; return its digest."""
        digest = digest_of_text(declaration)
        if digest and digest not in self._declarations:
            self._declarations = {**self._declarations, digest: declaration}
        return digest

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

    def find(
        self, prediction_id: str, variants: Collection[str] | None = None
    ) -> dict[str, Any] | None:
        """A prediction that is in the log, with its feedback.

        Parameters
        ----------
        variants
            Keys of the variants whose predictions are looked at; all by default.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the database does not answer.
        """
        return find_prediction(self.engine, prediction_id, variants)

    def add_feedback(
        self,
        actual: Mapping[str, float | Label],
        caller: str,
        variants: Collection[str] | None = None,
        classes: Classes | None = None,
    ) -> list[str]:
        """Note true values; what was noted before of the same predictions is replaced.

        Parameters
        ----------
        actual
            True values by prediction id: numbers, or labels of classes.
        variants
            Keys of the variants whose predictions they may be of; all by default.
        classes
            Classes of the labels; None of numbers.

        Returns
        -------
        list of str
            Ids that are not in the log; if there are any, nothing is noted.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the database does not answer.
        """
        return note_feedback(self.engine, actual, caller, variants, classes)

    def lost(self) -> int:
        """Predictions that were answered and are not in the log, as far as the log knows."""
        with self.engine.connect() as connection:
            return count_lost(connection)

    def _count_lost(self, count: int) -> None:
        """Count predictions that are not logged, where a kill does not reach the count."""
        self.counts.dropped += count
        if self.spool is not None:
            self._lost[self.spool.name] = self.spool.count_lost(count)
        else:
            self._lost[self._name] = self._lost.get(self._name, 0) + count

    def _untold(self) -> dict[str, int]:
        """Losses in all, of those that have lost more than the database knows."""
        with self._recording:
            return {
                name: lost for name, lost in self._lost.items() if lost > self._told.get(name, 0)
            }

    def _take_over(self) -> None:
        """Log what a server that was killed has left; make a spool where there was no room."""
        if self.spool is None:
            now = time.monotonic()
            if self.make_spool is None or self._stop.is_set() or now < self._next_spool:
                return
            self._next_spool = now + _SPOOL_SECONDS
            spool = self.make_spool()
            if spool is None:
                return
            with self._recording:
                self.spool = spool
        elif self._inherited:
            return
        left = self.spool.inherit()
        self._inherited = True
        with self._recording:
            self._lost.update(left.lost)
        if left.records or left.lost:
            kept, lost = len(left.records), sum(left.lost.values())
            logger.info("A server that ended has left %d predictions, and lost %d", kept, lost)
        self._waiting.extendleft(reversed(left.records))

    def _run(self) -> None:
        pause = _RETRY_SECONDS
        while True:
            self._hurry.wait(self.rules.flush_seconds)
            ending = self._stop.is_set()
            self._hurry.clear()
            self._safely("begin retention", self._retention.begin)
            self._safely("take over", self._take_over)
            self._written = bool(self._safely("write", self._write_all))
            if ending:
                # A last try has been made; what a dead database does not take is lost.
                break
            if self._written:
                self._safely("remove", self._retention.run)
            else:
                self._stop.wait(pause)
            failed = "write" in self._errors
            pause = min(2 * pause, _MOST_SECONDS) if failed else _RETRY_SECONDS

    def _safely(self, name: str, step: Callable[[], Result]) -> Result | None:
        """Take one step of a turn; whatever is wrong with it, the others are taken."""
        try:
            result = step()
        except Exception as error:
            if self._errors.get(name) != repr(error):
                logger.exception("The request log cannot %s; it will try again", name)
            self._errors[name] = repr(error)
            return None
        self._errors.pop(name, None)
        return result

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
        while due or self._taken or self._untold():
            if not self._taken:
                count = min(due, _BATCH)
                due -= count
                self._taken = [self._waiting.popleft() for _ in range(count)]
            if problem := self._write_taken():
                logger.warning("The request log cannot be written: %s", problem)
                return False
        if self.spool is not None:
            self.spool.written()
        with self._turns:
            self._done = self._begun
            self._turns.notify_all()
        return True

    def _write_taken(self) -> str:
        """Write what was taken; why something of it is left, if something is."""
        taken, lost, counts = self._taken, self._untold(), self.counts
        self._writer.follow(self.shadows())
        new = {n: text for n, text in self._declarations.items() if n not in self._declared}
        written = self._writer.write(Batch(taken, lost=lost, declarations=new))
        if not written.problem:
            self._declared |= new.keys()
        self._taken = [taken[place] for place in written.left]
        if written.unfit:
            with self._recording:
                self._count_lost(len(written.unfit))
        counts.written += len(taken) - len(written.left) - len(written.unfit)
        counts.shadowed += written.shadowed
        counts.shadow_difference += written.shadow_difference
        if written.noted:
            self._told.update(lost)
        while taken:
            # To free thousands at once takes as long as to encode them, and answers wait for it.
            del taken[-PART:]
            time.sleep(PAUSE_SECONDS)
        return written.problem
