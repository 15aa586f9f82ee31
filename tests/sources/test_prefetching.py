"""Iterators side by side come to the same as one after the other."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator

import pytest

from model_loop.sources.prefetching import prefetch


@pytest.fixture(params=[1, 2, 8], autouse=True)
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Machines of several sizes."""
    count: int = request.param
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    return count


def counting(end: int, seconds: float = 0.0) -> Iterator[int]:
    """Numbers that take some time."""
    for number in range(end):
        time.sleep(seconds)
        yield number


@pytest.mark.parametrize("seconds", [(0.0, 0.0), (0.001, 0.0), (0.0, 0.001)])
@pytest.mark.parametrize("ends", [(50, 50), (50, 20), (0, 3), (0, 0)])
def test_as_one_after_the_other(ends: tuple[int, int], seconds: tuple[float, float]) -> None:
    """The same items, in the same order, whichever is slow and whichever ends first."""
    given = [counting(end, wait) for end, wait in zip(ends, seconds, strict=True)]
    expected = [list(items) for items in itertools.zip_longest(*map(range, ends))]
    with prefetch(given, ahead=3) as together:
        assert [list(items) for items in together] == expected


def test_who_takes_lends_a_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the only helper is held up by one iterator, the caller advances the other."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    begun, advanced, whose = threading.Event(), threading.Event(), []

    def held_up() -> Iterator[bool]:
        begun.set()
        yield advanced.wait(60)

    def free() -> Iterator[bool]:
        whose.append(threading.get_ident())
        advanced.set()
        yield True

    with prefetch([held_up(), free()], ahead=1) as together:
        assert begun.wait(60)
        assert next(together) == [True, True]
    assert whose == [threading.get_ident()]


def test_no_further_ahead_than_asked() -> None:
    """Nobody fills the memory with what is not taken."""
    given = []

    def noted() -> Iterator[int]:
        for number in itertools.count():
            given.append(number)
            yield number

    with prefetch([noted(), itertools.count()], ahead=3) as together:
        for taken in range(1, 5):
            next(together)
            time.sleep(0.02)
            assert len(given) <= taken + 3
    assert len(given) > taken


def test_an_error_comes_in_its_turn() -> None:
    """What was given before an error is there, and no thread waits for more."""
    before = threading.active_count()

    def failing() -> Iterator[int]:
        yield 0
        yield 1
        raise ZeroDivisionError

    with prefetch([failing(), counting(50, 0.001)], ahead=3) as together:
        assert [next(together) for _ in range(2)] == [[0, 0], [1, 1]]
        with pytest.raises(ZeroDivisionError):
            next(together)
    assert threading.active_count() == before


def test_whoever_stops_early_leaves_no_thread(cores: int) -> None:
    """Helpers end with the caller's interest."""
    before = threading.active_count()
    with prefetch([itertools.count(), itertools.count()], ahead=3) as together:
        next(together)
        assert threading.active_count() == before + min(2, max(1, cores - 1))
    assert threading.active_count() == before
