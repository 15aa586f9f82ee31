"""Micro-batching: rows of several requests are predicted by one call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_loop.errors import ModelLoopError
from model_loop.scoring.rows import Rows

Outcomes = npt.NDArray[np.float64]


@dataclass(eq=False)
class _Call:
    """Rows of one thread, and what becomes of them.

    Parameters
    ----------
    rows
        The rows.
    woken
        Set when the thread need not wait any more.
    leads
        Whether the thread predicts next, with the rows of those that wait.
    outcomes
        The outcomes; None if the batch has failed.
    """

    rows: Rows
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    outcomes: Outcomes | None = None


class MicroBatcher:
    """Predicts rows of several threads together, where a call costs more than a row.

    A call that finds no other under way begins at once. Calls that come meanwhile wait; then the
    first of them predicts the rows of all. No call waits for a batch to fill. After a batch that
    fails, each thread predicts its own rows, so that rows that fail spoil no others' answers.

    Parameters
    ----------
    predict
        Returns the outcomes of rows, shape (rows,) or (rows, classes), where the outcome of a row
        does not depend on the other rows.
    most_rows
        Rows that are predicted together at most; a call with more is predicted alone.
    """

    def __init__(self, predict: Callable[[Rows], Outcomes], most_rows: int) -> None:
        self._predict, self._most_rows = predict, most_rows
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._busy = False

    def __call__(self, rows: Rows) -> Outcomes:
        """Return the outcomes of rows; its errors are those of the function."""
        call = _Call(rows)
        with self._lock:
            call.leads = not self._busy
            self._busy = True
            if not call.leads:
                self._waiting.append(call)
        if not call.leads:
            call.woken.wait()
        if call.leads:
            return self._lead(call)
        return self._predict(rows) if call.outcomes is None else call.outcomes

    def _lead(self, call: _Call) -> Outcomes:
        followers = self._followers(len(call.rows))
        outcomes = None
        try:
            batch = [call.rows, *(each.rows for each in followers)]
            outcomes = self._predict(np.concatenate(batch) if followers else call.rows)
        except ModelLoopError:
            if not followers:
                raise
        finally:
            self._release(followers, len(call.rows), outcomes)
        return self._predict(call.rows) if outcomes is None else outcomes[: len(call.rows)]

    def _followers(self, size: int) -> list[_Call]:
        """Take calls that wait, as many as fit beside a number of rows."""
        followers = []
        with self._lock:
            while self._waiting:
                size += len(self._waiting[0].rows)
                if size > self._most_rows:
                    break
                followers.append(self._waiting.popleft())
        return followers

    def _release(self, followers: list[_Call], start: int, outcomes: Outcomes | None) -> None:
        """Hand out outcomes, and let the next call lead."""
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._busy = following is not None
        if following is not None:
            following.leads = True
            following.woken.set()
        for call in followers:
            if outcomes is not None:
                call.outcomes = outcomes[start : start + len(call.rows)]
                start += len(call.rows)
            call.woken.set()
