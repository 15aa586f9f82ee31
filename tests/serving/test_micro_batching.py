"""Rows of several threads are predicted together, and each thread gets its own outcomes."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from model_loop.errors import InvalidInputError
from model_loop.scoring.rows import Rows
from model_loop.serving.models.micro_batching import MicroBatcher, Outcomes

MOST_ROWS, BAD = 10, -1.0


class Doubling:
    """Doubles the values of rows, and fails for a bad one; the first call waits to be released."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self.under_way, self.released = threading.Event(), threading.Event()
        self._error = error or InvalidInputError("The rows", "are bad", "Send others.")

    def __call__(self, rows: Rows) -> Outcomes:
        """Return twice the values."""
        self.sizes.append(len(rows))
        if not self.under_way.is_set():
            self.under_way.set()
            assert self.released.wait(30)
        if (rows == BAD).any():
            raise self._error
        doubled: Outcomes = 2.0 * rows[:, 0].astype(np.float64)
        return doubled


def rows_of(*values: float) -> Rows:
    """Return rows of one column."""
    return np.array([[value] for value in values], dtype=object)


def ask_while_busy(doubling: Doubling, *requests: Rows) -> list[Future[Any]]:
    """Ask for several requests while a first one is under way; return all when they have ended."""
    batcher = MicroBatcher(doubling, MOST_ROWS)
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        futures = [pool.submit(batcher, rows_of(0.5))]
        assert doubling.under_way.wait(30)
        for number, rows in enumerate(requests, 1):
            futures.append(pool.submit(batcher, rows))
            while len(batcher._waiting) < number:
                pass
        doubling.released.set()
    assert not batcher._busy
    return futures


def test_requests_that_wait_are_predicted_together() -> None:
    """One call for all of them, whose outcomes are handed out in order."""
    doubling = Doubling()
    first, *others = ask_while_busy(doubling, rows_of(1), rows_of(2, 3, 4), rows_of(5))
    assert doubling.sizes == [1, 5]
    assert first.result().tolist() == [1]
    assert [each.result().tolist() for each in others] == [[2], [4, 6, 8], [10]]


def test_a_batch_has_a_most() -> None:
    """Rows that do not fit wait for the next call; a request with more rows is alone."""
    doubling = Doubling()
    large = rows_of(*range(MOST_ROWS + 1))
    futures = ask_while_busy(doubling, rows_of(*range(6)), rows_of(*range(5)), large, rows_of(7))
    assert doubling.sizes == [1, 6, 5, MOST_ROWS + 1, 1]
    assert [len(each.result()) for each in futures] == doubling.sizes


def test_rows_that_fail_spoil_no_other_answer() -> None:
    """Each request is then predicted by itself, and the failing one alone fails."""
    doubling = Doubling()
    _, good, bad, other = ask_while_busy(doubling, rows_of(1), rows_of(2, BAD), rows_of(3))
    assert good.result().tolist() == [2]
    assert other.result().tolist() == [6]
    with pytest.raises(InvalidInputError, match="are bad"):
        bad.result()
    assert doubling.sizes[:2] == [1, 4]
    assert sorted(doubling.sizes[2:]) == [1, 1, 2]


@pytest.mark.parametrize("place", [0, 2])
def test_an_unexpected_error_leaves_nobody_waiting(place: int) -> None:
    """It reaches the leader and the request that causes it, and the next call begins at once."""
    requests = [rows_of(1), rows_of(2), rows_of(3)]
    requests[place] = rows_of(BAD)
    _, *others = ask_while_busy(Doubling(ZeroDivisionError()), *requests)
    failed = [each.exception() is not None for each in others]
    assert failed[0]
    assert failed[place]
    assert sum(failed) == len({0, place})


def test_no_row_is_lost_among_many_threads() -> None:
    """Of 400 requests, each gets the outcomes of its own rows."""

    def double(rows: Rows) -> Outcomes:
        doubled: Outcomes = 2.0 * rows[:, 0].astype(np.float64)
        return doubled

    batcher = MicroBatcher(double, MOST_ROWS)
    requests = [rows_of(*range(number, number + number % 4 + 1)) for number in range(400)]
    with ThreadPoolExecutor(16) as pool:
        for rows, outcomes in zip(requests, pool.map(batcher, requests), strict=True):
            np.testing.assert_array_equal(outcomes, 2.0 * rows[:, 0].astype(np.float64))
