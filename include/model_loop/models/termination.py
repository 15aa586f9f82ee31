"""Early termination of trials: three policies on learning curves.

A curve holds the validation error after each interval of effort (boosting rounds, added trees,
iterations); the catalogue says what an interval is, so that the curves of a family can be compared
place by place. The policies are those of the hyperparameter services:

- bandit: Li et al., "Hyperband" (2018), in the form that Azure Machine Learning gives it;
- median stopping: Golovin et al., "Google Vizier" (2017), section 3.2.2;
- truncation selection: Jaderberg et al., "Population Based Training" (2017), section 4.1.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from model_loop.options import option, options

Policy = Literal["none", "bandit", "median", "truncation"]

Curve = Sequence[float]

#: A median of fewer curves says little.
_LEAST_CURVES = 3


@options
class EarlyTermination:
    """Rules for pruning trials: ending them before their fit is complete."""

    policy: Policy = option(
        "truncation",
        "Early termination",
        "Policy for pruning trials by their learning curves.",
        name="early_termination",
        choices={
            "none": "none: every trial ends by itself",
            "bandit": "bandit: too far behind the best",
            "median": "median: worse than the median of the averages",
            "truncation": "truncation: among the worst",
        },
    )
    evaluation_interval: int = option(
        1,
        "Evaluation interval",
        "Number of intervals of the learning curve between two checks of a trial.",
        ge=1,
    )
    delay_evaluations: int = option(
        5, "Delay (intervals)", "Number of first intervals in which no trial is pruned.", ge=0
    )
    slack_factor: float = option(
        0.1, "Slack factor", "bandit: allowed distance above the best, as a share of it.", ge=0
    )
    slack_amount: float = option(
        0.0,
        "Slack amount",
        "bandit: allowed distance above the best, in the unit of the target; replaces the factor "
        "unless it is 0.",
        ge=0,
    )
    # All of them would leave none.
    truncation_share: float = option(
        0.5,
        "Truncation share",
        "truncation: share of the trials that are pruned, the worst first.",
        ge=0,
        le=0.95,
    )


class Terminator:
    """Compares the curve of a trial with those of the other trials.

    Parameters
    ----------
    rule
        Rule for pruning a trial.
    projected
        Whether a curve shows what a fit is expected to come to, so that its last point counts; as
        a rule it shows what the fit has come to, so that its lowest does.
    """

    def __init__(self, rule: EarlyTermination, *, projected: bool = False) -> None:
        self.rule = rule
        self._projected = projected
        self._curves: dict[int, Curve] = {}
        self._finished: set[int] = set()

    @property
    def first_look(self) -> int | None:
        """The interval after which a trial may be pruned for the first time, if ever."""
        if self.rule.policy == "none":
            return None
        return self.rule.delay_evaluations + self.rule.evaluation_interval

    def add(self, number: int, curve: Curve, *, finished: bool = False) -> None:
        """Remember how far a trial has come, and whether that was its end."""
        if curve:
            self._curves[number] = tuple(curve)
            if finished:
                self._finished.add(number)

    def score(self, curve: Curve) -> float:
        """Return the error of a trial by its curve."""
        return curve[-1] if self._projected else min(curve)

    def reason(self, number: int, curve: Curve) -> str | None:
        """Return why to prune a trial with this curve so far; None if it should go on."""
        rule, interval = self.rule, len(curve)
        if rule.policy == "none" or interval <= rule.delay_evaluations:
            return None
        if (interval - rule.delay_evaluations) % rule.evaluation_interval:
            return None
        return self.compare(number, curve)

    def compare(self, number: int, curve: Curve) -> str | None:
        """Apply the policy at any interval, ignoring the delay and the evaluation interval."""
        rule, interval = self.rule, len(curve)
        others = {key: known[:interval] for key, known in self._curves.items() if key != number}
        decide = {
            "bandit": self._bandit,
            "median": self._median,
            "truncation": self._truncation,
        }[rule.policy]
        reason = decide(self.score(curve), number, others, interval)
        return f"{rule.policy}: {reason} after interval {interval}" if reason else None

    def _bandit(
        self, error: float, _number: int, others: Mapping[int, Curve], _interval: int
    ) -> str | None:
        if not others:
            return None
        best, rule = min(map(self.score, others.values())), self.rule
        allowed = best + (rule.slack_amount or best * rule.slack_factor)
        return f"{error:.3f}, allowed are {allowed:.3f}," if error > allowed else None

    def _median(
        self, error: float, _number: int, others: Mapping[int, Curve], _interval: int
    ) -> str | None:
        if len(others) < _LEAST_CURVES:
            return None
        median = statistics.median(statistics.fmean(curve) for curve in others.values())
        return f"{error:.3f}, the median is {median:.3f}," if error > median else None

    def _truncation(
        self, error: float, number: int, others: Mapping[int, Curve], interval: int
    ) -> str | None:
        # Trials that were pruned before are not compared with a second time.
        others = {
            key: curve
            for key, curve in others.items()
            if len(curve) >= interval or key in self._finished
        }
        share, all_trials = self.rule.truncation_share, len(others) + 1
        # The earlier of two equal trials is the better, so that there is always a best.
        better = sum((self.score(curve), key) < (error, number) for key, curve in others.items())
        # With too few trials, the worst share is less than one trial.
        if all_trials * share < 1 or better < all_trials - all_trials * share:
            return None
        return f"{error:.3f}, {better} of {len(others)} others were better"
