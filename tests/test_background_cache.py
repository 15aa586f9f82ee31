"""A cached value that is reloaded in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from model_loop import background_cache
from model_loop.background_cache import BackgroundCache
from model_loop.errors import WorkerError


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """A load that does not end until the test does."""
    event = threading.Event()
    yield event
    event.set()


def test_a_value_is_loaded_once_for_many() -> None:
    """Callers that ask during a load, or soon after, get the same value."""
    loads: list[float] = []

    def load() -> int:
        loads.append(time.monotonic())
        time.sleep(0.05)
        return len(loads)

    cache = BackgroundCache(load, fresh_seconds=60)
    values: list[int | None] = []

    def ask() -> None:
        cache.refresh()
        values.append(cache.get(5).value)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [1] * 8
    old = BackgroundCache(load, fresh_seconds=0)
    for number in (2, 3):
        old.refresh()
        assert old.get(5).value == number


def test_a_load_that_failed_is_repeated_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its values stay fresh: servers start side by side."""
    results: Iterator[Exception | int] = iter([ConnectionError("not yet\nand more"), 7])

    def load() -> int:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    cache = BackgroundCache(load, fresh_seconds=1e6)
    cache.refresh()
    assert cache.get(5).problem == "ConnectionError: not yet"
    cache.refresh()
    assert cache.get(5).problem, "not at once, however many ask"
    monkeypatch.setattr(background_cache, "_RETRY_SECONDS", 0)
    cache.refresh()
    assert cache.get(5).value == 7


def test_a_stale_value_bridges_a_slow_load(hanging: threading.Event) -> None:
    """Up to its age; then the cache says that there is none."""
    seconds = iter([0, 60])
    cache = BackgroundCache(lambda: hanging.wait(next(seconds)), fresh_seconds=0, stale_seconds=0.5)
    cache.refresh()
    assert cache.get(5).value is False
    cache.refresh()
    assert cache.get(0.05).value is False
    time.sleep(0.5)
    late = cache.get(0)
    assert (late.value, late.problem) == (None, "does not answer in time")
    assert cache.has_value
    assert cache.loading


def test_tracebacks_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Those of a worker process are in its own log, and its error names the type already."""
    errors = iter((WorkerError("MlflowException: no answer"), OSError("no answer")))

    def load() -> int:
        raise next(errors)

    for _ in range(2):
        cache = BackgroundCache(load)
        with caplog.at_level(logging.ERROR):
            cache.refresh()
            problem = cache.get(5).problem
        assert problem.endswith(": no answer")
        assert problem.count(":") == 1
    traced = [bool(record.exc_info) for record in caplog.records]
    assert traced == [False, True]
