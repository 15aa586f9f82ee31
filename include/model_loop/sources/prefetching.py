"""Iterators that are advanced side by side and ahead of who takes what they give."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@contextlib.contextmanager
def prefetch(
    iterators: Sequence[Iterator[_Item]], *, ahead: int
) -> Generator[Iterator[Sequence[_Item | None]]]:
    """Go through iterators together, as `itertools.zip_longest` does.

    Other threads advance them meanwhile, and the caller does where they are behind. With a thread
    for each of two iterators, and one that waits for them and works on what they give, three would
    share two cores, and one core would often be idle: a system moves threads about too late.

    Parameters
    ----------
    iterators
        They let go of the interpreter while they work. None of their items is None.
    ahead
        Items of each that are ready before they are taken.
    """
    streams = _Streams(iterators, ahead)
    # Each, and the caller, has a core; on a single one, a helper still waits for files far away.
    helpers = min(len(iterators), max(1, (os.cpu_count() or 1) - 1))
    with ThreadPoolExecutor(helpers) as pool:
        for _ in range(helpers):
            pool.submit(streams.help)
        try:
            yield streams.take_all()
        finally:
            streams.end()


@dataclass
class _Stream(Generic[_Item]):
    """An iterator whose next item is read beforehand.

    Parameters
    ----------
    items
        Source of the items.
    ready
        Items that are not consumed yet: an item, None behind the last one, or an error.
    busy
        Whether somebody advances it.
    """

    items: Iterator[_Item]
    ready: deque[Future[_Item | None]] = field(default_factory=deque)
    busy: bool = False


class _Streams(Generic[_Item]):
    def __init__(self, iterators: Sequence[Iterator[_Item]], ahead: int) -> None:
        self._streams = [_Stream(items) for items in iterators]
        self._ahead = ahead
        self._changed = threading.Condition()
        self._ended = False

    def take_all(self) -> Iterator[Sequence[_Item | None]]:
        """One item of each, until none of them has another."""
        items = self._take()
        while any(item is not None for item in items):
            yield items
            items = self._take()

    def help(self) -> None:
        """Advance what is least ahead, until the end."""
        with self._changed:
            while not self._ended:
                self._advance(self._with_fewer_than(self._ahead))

    def end(self) -> None:
        """Let the helpers go."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self) -> Sequence[_Item | None]:
        with self._changed:
            while lacking := self._with_fewer_than(1):
                self._advance(lacking)
            self._changed.notify_all()
            return [stream.ready.popleft().result() for stream in self._streams]

    def _with_fewer_than(self, items: int) -> Sequence[_Stream[_Item]]:
        return [stream for stream in self._streams if len(stream.ready) < items]

    def _advance(self, streams: Sequence[_Stream[_Item]]) -> None:
        """Advance one of some streams; where nobody is needed, wait until something has changed."""
        free = [stream for stream in streams if not stream.busy]
        if not free:
            self._changed.wait()
            return
        stream = min(free, key=lambda stream: len(stream.ready))
        stream.busy = True
        self._changed.release()
        item = _next(stream.items)
        self._changed.acquire()
        stream.busy = False
        stream.ready.append(item)
        self._changed.notify_all()


def _next(items: Iterator[_Item]) -> Future[_Item | None]:
    outcome: Future[_Item | None] = Future()
    try:
        outcome.set_result(next(items, None))
    except BaseException as error:  # noqa: BLE001 - raised where the item is taken
        outcome.set_exception(error)
    return outcome
