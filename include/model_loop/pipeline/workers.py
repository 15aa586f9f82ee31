"""Worker processes that fit the families of a run, several at a time.

Most of scikit-learn's fits keep a single core busy, so that families side by side take as much less
time as there are cores. Each worker holds the training set: where memory is short, there are fewer.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from model_loop.memory import free_memory

Job = TypeVar("Job")

#: Bytes of a training set below which a fit takes less time than the start of a worker.
_SMALL = 32 * 1024**2
#: Copies of the training set that a worker may need while it fits and explains.
_COPIES = 8
#: Bytes of a worker without any data: its libraries.
_PROCESS = 600 * 1024**2


def workers_for(size: int, jobs: int) -> int:
    """Return how many workers suit the data, the cores and the memory that is free.

    Parameters
    ----------
    size
        Bytes of the training set.
    jobs
        Number of jobs: no more workers are of any use.
    """
    if size < _SMALL:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = free_memory()
    fitting = jobs if free is None else int(free // (_PROCESS + _COPIES * size))
    return max(min(cores or 1, jobs, fitting), 1)


def run_jobs(
    work: Callable[[Job], dict[str, Any]], jobs: Sequence[Job], workers: int
) -> list[dict[str, Any]]:
    """Do jobs in worker processes; return their results in the order of the jobs.

    Parameters
    ----------
    work
        Function of a module, which each worker imports.
    workers
        Number of processes.

    Raises
    ------
    Exception
        Of the first job that fails; those that have begun end first, and keep what they have done.
    """
    results: dict[int, dict[str, Any]] = {}
    with _pool(workers) as pool:
        waiting = {pool.submit(work, job): place for place, job in enumerate(jobs)}
        try:
            for done in as_completed(waiting):
                results[waiting[done]] = done.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [results[place] for place in range(len(jobs))]


def _pool(workers: int) -> ProcessPoolExecutor:
    levels = {name: logger.level for name, logger in _loggers() if logger.level != logging.NOTSET}
    # A fork would share the threads' locks of XGBoost and of the tracking client.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(levels,))


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            yield name, logger


def _begin(levels: dict[str, int]) -> None:
    """Log as the parent does, and end with it, also where it was killed."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()


def _end_with(parent: Any) -> None:  # noqa: ANN401 - a process, of a class without a public name
    parent.join()
    os._exit(1)
