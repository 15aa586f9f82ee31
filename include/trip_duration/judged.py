"""Predictions that are compared with actual durations: one rule for monitoring, A/B and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

from model_loop.settings import Settings
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.settings import TripSettings


@dataclass(frozen=True)
class JudgedDurations:
    """Durations that versions learn from; how far one is off elsewhere tells nothing of it.

    A meter that ran all night is one row among a hundred, and most of the squared error.

    Parameters
    ----------
    shortest, longest
        Targets; both are included.
    """

    shortest: float = 1.0
    longest: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the bounds by which training sets are cleaned."""
        known = cast("TripSettings", settings)
        return cls(known.minimum_duration, known.maximum_duration)

    @classmethod
    def of_rules(cls, rules: CleaningRules) -> Self:
        """Take the bounds of some rules of cleaning."""
        return cls(rules.minimum_duration, rules.maximum_duration)

    def of_actual(self, minutes: Any) -> Any:  # noqa: ANN401 - an array, or a column of a database
        """Say which durations count: of an array, or as a condition on a column."""
        return (minutes >= self.shortest) & (minutes <= self.longest)
