"""Logs that nobody reads any more: Airflow writes one for each try of a task, and removes none."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from model_loop.days import SECONDS_PER_DAY


def old_logs(folder: Path, *, days: float) -> Iterator[Path]:
    """Logs in a folder and below it that nobody has written to for so many days.

    Links are not followed: what lies elsewhere is not ours.
    """
    horizon = time.time() - days * SECONDS_PER_DAY
    for place, _, names in os.walk(folder):
        for name in names:
            log = Path(place, name)
            if log.suffix == ".log" and not log.is_symlink() and log.stat().st_mtime < horizon:
                yield log


def remove_log(log: Path, folder: Path) -> None:
    """Remove a log, and the folders up to a given one that hold nothing else."""
    log.unlink(missing_ok=True)
    for parent in log.parents:
        if parent == folder or any(parent.iterdir()):
            break
        parent.rmdir()
