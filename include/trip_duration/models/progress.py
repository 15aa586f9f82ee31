"""Progress of a search, a line for each trial."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trip_duration.models.search import Trial

logger = logging.getLogger(__name__)


class TrialProgress:
    """Logs each trial with the best error so far.

    Parameters
    ----------
    family
        Name of the family.
    planned
        How many evaluations were asked for.
    """

    def __init__(self, family: str, planned: int) -> None:
        self.family = family
        self.planned = planned
        self.best = float("inf")

    def __call__(self, trial: Trial) -> None:
        """Log *trial*."""
        if trial.metrics and trial.finished:
            self.best = min(self.best, trial.metrics.rmse)
            outcome = f"validation RMSE {trial.metrics.rmse:.3f} minutes (best {self.best:.3f})"
        else:
            outcome = f"given up, {trial.stopped}" if trial.stopped else f"failed, {trial.error}"
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
