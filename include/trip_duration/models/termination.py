"""When a trial is given up: three policies on learning curves.

A curve holds the validation error after each interval of effort (boosting rounds, added trees,
iterations); the catalogue says what an interval is, so that the curves of a family can be compared
place by place. The policies are those of the hyperparameter services:

- bandit: Li et al., "Hyperband" (2018), in the form that Azure Machine Learning gives it;
- median stopping: Golovin et al., "Google Vizier" (2017), section 3.2.2;
- truncation selection: Jaderberg et al., "Population Based Training" (2017), section 4.1.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from trip_duration.errors import InvalidInputError, require_within

Policy = Literal["none", "bandit", "median", "truncation"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

Curve = Sequence[float]

#: A median of fewer curves says little.
_LEAST_CURVES = 3


@dataclass(frozen=True)
class EarlyTermination:
    """Which trials are given up before they end.

    Parameters
    ----------
    policy
        ``none``, ``bandit``, ``median`` or ``truncation``.
    evaluation_interval
        Look at a trial after every so many intervals of its curve.
    delay_evaluations
        Let every trial go on for so many intervals first.
    slack_factor
        bandit: give up a trial whose error is more than so much (as a share) above the best.
    slack_amount
        bandit: the same in minutes; where it is not 0, it is used in place of the factor.
    truncation_share
        truncation: give up a trial that is among this share of the worst.

    Raises
    ------
    InvalidInputError
        If a value is out of bounds.
    """

    policy: Policy = "none"
    evaluation_interval: int = 1
    delay_evaluations: int = 5
    slack_factor: float = 0.1
    slack_amount: float = 0.0
    truncation_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.policy not in POLICIES:
            raise InvalidInputError(
                f"Early termination {self.policy!r}",
                "is unknown",
                f"Choose one of: {', '.join(POLICIES)}.",
            )
        require_within("evaluation_interval", self.evaluation_interval, least=1)
        for name in ("delay_evaluations", "slack_factor", "slack_amount"):
            require_within(name, getattr(self, name), least=0)
        require_within("truncation_share", self.truncation_share, least=0.0, most=1.0)


class Terminator:
    """Compares the curve of a trial with those of the trials before it."""

    def __init__(self, rule: EarlyTermination) -> None:
        self.rule = rule
        self._curves: list[Curve] = []

    def add(self, curve: Curve) -> None:
        """Remember the curve of a trial that has ended or was given up."""
        if curve:
            self._curves.append(tuple(curve))

    def reason(self, curve: Curve) -> str | None:
        """Why the trial with this curve so far should be given up; None if it should go on."""
        rule, interval = self.rule, len(curve)
        if rule.policy == "none" or interval <= rule.delay_evaluations:
            return None
        if (interval - rule.delay_evaluations) % rule.evaluation_interval:
            return None
        decide = {
            "bandit": self._bandit,
            "median": self._median,
            "truncation": self._truncation,
        }[rule.policy]
        return decide(min(curve), interval)

    def _bandit(self, error: float, interval: int) -> str | None:
        bests = self._bests(interval)
        if not bests:
            return None
        best, rule = min(bests), self.rule
        allowed = best + (rule.slack_amount or best * rule.slack_factor)
        if error <= allowed:
            return None
        return f"bandit: {error:.3f} after interval {interval}, allowed are {allowed:.3f}"

    def _median(self, error: float, interval: int) -> str | None:
        averages = [statistics.fmean(curve[:interval]) for curve in self._curves]
        if len(averages) < _LEAST_CURVES:
            return None
        median = statistics.median(averages)
        if error <= median:
            return None
        return f"median: {error:.3f} after interval {interval}, the median is {median:.3f}"

    def _truncation(self, error: float, interval: int) -> str | None:
        bests = self._bests(interval)
        share = self.rule.truncation_share
        better = sum(best <= error for best in bests)
        # Of too few trials the worst share is less than one.
        if (len(bests) + 1) * share < 1 or better < (len(bests) + 1) * (1 - share):
            return None
        return (
            f"truncation: {error:.3f} after interval {interval}, "
            f"{better} of {len(bests)} trials were better"
        )

    def _bests(self, interval: int) -> list[float]:
        """The lowest error of each earlier trial up to an interval."""
        return [min(curve[:interval]) for curve in self._curves]
