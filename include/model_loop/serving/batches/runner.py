"""Score waiting batches beside the server, with retries, and remove old ones."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from typing import Protocol

from model_loop.serving.batches.store import BatchStore

#: Seconds between two looks at what waits, and longest pause after a process that has failed.
_LOOK_SECONDS = 2.0
_LONGEST_PAUSE = 60.0
_TIDY_SECONDS = 3_600.0
_ENDING_SECONDS = 10.0

logger = logging.getLogger(__name__)


class BatchScorer(Protocol):
    """Gets batches scored, step by step."""

    def advance(self) -> bool:
        """Take the next step; return False if it has failed, so that a pause is due."""

    def close(self) -> None:
        """Stop scoring; unfinished batches wait for the next server."""


class ScoringProcess:
    """Scores batches in a separate process, which is started while batches wait.

    Parameters
    ----------
    store
        The batches.
    """

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None

    def advance(self) -> bool:
        """Start the process where something waits and none runs; see `BatchScorer`."""
        process = self._process
        if process is not None:
            code = process.poll()
            if code is None:
                return True
            self._process = None
            if code:
                logger.warning("The process that scores batches has ended with %d", code)
                return False
        if self._store.pending():
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [
                    *(sys.executable, "-m", "model_loop.serving.batches.worker"),
                    str(self._store.folder),
                ],
                stdin=subprocess.PIPE,
            )
        return True

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class BatchRunner:
    """A thread that has batches scored, and removes those that are too old.

    Parameters
    ----------
    store
        The batches.
    scorer
        Gets them scored.
    days
        Days after which a finished batch is removed.
    """

    def __init__(self, store: BatchStore, scorer: BatchScorer, days: float) -> None:
        self._store, self._scorer, self._days = store, scorer, days
        self._woken, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._tidy_at = 0.0

    def start(self) -> None:
        """Begin to look; a second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look now: something was accepted."""
        self._woken.set()

    def stop(self) -> None:
        """End, and leave what is not done for the next server."""
        self._ended.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(2 * _ENDING_SECONDS)

    def _run(self) -> None:
        pause = 0.0
        while not self._ended.is_set():
            self._woken.clear()
            try:
                fine = self._scorer.advance()
                self._tidy()
            except Exception:
                # A folder or a server that is away for a while; the thread has to outlive it.
                logger.exception("Batches cannot be looked at, and wait")
                fine = False
            pause = 0.0 if fine else min(max(1.0, 4 * pause), _LONGEST_PAUSE)
            if pause:
                self._ended.wait(pause)
            else:
                self._woken.wait(_LOOK_SECONDS)
        self._scorer.close()

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + _TIDY_SECONDS
            if removed := self._store.remove_expired(self._days):
                logger.info("%d old batches were removed", removed)
