"""Progress of a search, a line for each trial."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from model_loop.models.search import Trial, metric_title

logger = logging.getLogger(__name__)


#: A step that takes longer says so.
_STILL_SECONDS = 30.0


@contextlib.contextmanager
def step(description: str, every_seconds: float = _STILL_SECONDS) -> Iterator[None]:
    """Log a step: when it begins, that it goes on while it takes long, and how long it took."""
    done, started = threading.Event(), time.monotonic()

    def remind() -> None:
        while not done.wait(every_seconds):
            logger.info("%s: still at it, %.0f s so far", description, time.monotonic() - started)

    logger.info("%s", description)
    reminder = threading.Thread(target=remind, name="progress", daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()
    logger.info("%s: done after %.1f s", description, time.monotonic() - started)


class TrialProgress:
    """Logs each trial with the best error so far.

    Parameters
    ----------
    family
        Name of the family.
    planned
        Number of requested evaluations.
    metric
        Metric that is shown.
    """

    def __init__(self, family: str, planned: int, metric: str = "rmse") -> None:
        self.family = family
        self.planned = planned
        self.metric = metric
        self.best = float("inf")

    def __call__(self, trial: Trial) -> None:
        """Log *trial*."""
        if trial.metrics and trial.finished:
            error: float = getattr(trial.metrics, self.metric)
            self.best, title = min(self.best, error), metric_title(self.metric)
            outcome = f"validation {title} {error:.3f} (best {self.best:.3f})"
        else:
            outcome = f"pruned, {trial.stopped}" if trial.stopped else f"failed, {trial.error}"
        logger.info(
            "%s: trial %d of at most %d: %s, %.1f s",
            self.family,
            trial.number + 1,
            self.planned,
            outcome,
            trial.seconds,
        )

    def then(self, further: Callable[[Trial], None]) -> Callable[[Trial], None]:
        """Log, then pass the trial on."""

        def both(trial: Trial) -> None:
            self(trial)
            further(trial)

        return both
