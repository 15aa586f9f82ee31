"""Scored chunks of abandoned jobs."""

from __future__ import annotations

import time

from upath import UPath

from model_loop.days import SECONDS_PER_DAY
from model_loop.scoring.batch.planning import SCORING_FOLDER


def find_abandoned(storage_root: str, days: float) -> list[UPath]:
    """The folders of jobs in which nothing was written for so many days."""
    folder = UPath(storage_root) / SCORING_FOLDER
    if not folder.exists():
        return []
    oldest = time.time() - days * SECONDS_PER_DAY
    return [job for job in folder.iterdir() if job.is_dir() and _last_written(job) < oldest]


def remove_abandoned(folder: UPath) -> int:
    """Remove the files of a job, and say how many bytes they had."""
    size = 0
    for path in folder.iterdir():
        size += path.stat().st_size
        path.unlink(missing_ok=True)
    if folder.exists():
        folder.rmdir()
    return size


def _last_written(folder: UPath) -> float:
    return max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
