"""Threads for one kind of work each, so that work that is stuck holds up no other."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from model_loop.serving.http.requests import RequestRefusedError

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """A few threads, and a bounded queue before them.

    Parameters
    ----------
    what
        Name in errors.
    threads
        Number of requests that run at once.
    waiting
        Number of requests that may wait for a thread.
    """

    def __init__(self, what: str, threads: int, waiting: int) -> None:
        self._what = what
        self._most = threads + waiting
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=what.lower())
        self._busy = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do some work on a thread.

        Raises
        ------
        RequestRefusedError
            If too many requests wait for one (503).
        """
        if self._busy >= self._most:
            raise RequestRefusedError(
                503, self._what, f"has {self._busy} requests waiting", "Try again later."
            )
        self._busy += 1
        try:
            call = functools.partial(work, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._busy -= 1
