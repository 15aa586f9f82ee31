"""Evidence that intervals do not hold: hardly ever wrong, however often it is read."""

from __future__ import annotations

import numpy as np
import pytest

from model_loop.intervals.evidence import ENOUGH, coverage_evidence


def days(
    mean: float, count: int, deviation: float = 0.03, follows: float = 0.0, seed: int = 0
) -> np.ndarray:
    """Coverage of days that follow each other with a correlation (AR(1))."""
    random = np.random.default_rng(seed)
    noise, made = random.normal(0, 1, count), np.empty(count)
    made[0] = noise[0]
    for day in range(1, count):
        made[day] = follows * made[day - 1] + np.sqrt(1 - follows**2) * noise[day]
    return np.clip(mean + deviation * made, 0, 1)


@pytest.mark.parametrize(
    ("mean", "follows"), [(0.9, 0.0), (0.9, 0.3), (0.9, 0.5), (0.93, 0.3), (0.88, 0.0)]
)
def test_false_alarms_are_rare_under_daily_reading(mean: float, follows: float) -> None:
    """In a year of days at most one version in twenty, and two standard errors more.

    At the bound itself too, where days are independent.
    """
    runs = 400
    alarms = [
        coverage_evidence(days(mean, 365, follows=follows, seed=seed), 90).max() >= ENOUGH
        for seed in range(runs)
    ]
    assert np.mean(alarms) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(("after", "within"), [(0.8, 14), (0.7, 8), (0.5, 5)])
def test_a_shift_is_said_within_days(after: float, within: int) -> None:
    """After two good months, which cost the evidence next to nothing."""
    needed = []
    for seed in range(100):
        both = np.concatenate([days(0.9, 60, seed=seed), days(after, 60, 0.04, seed=seed + 500)])
        needed.append(int(np.argmax(coverage_evidence(both, 90)[60:] >= ENOUGH)) + 1)
    assert np.quantile(needed, 0.9) <= within


def test_intervals_that_hold_more_are_no_alarm() -> None:
    """Too wide is no miss; and without a day there is no evidence."""
    assert coverage_evidence(days(0.99, 365), 90).max() < 1.5
    assert not len(coverage_evidence([], 90))


def test_a_day_is_judged_by_the_days_before_it() -> None:
    """The stake of a day depends on no later one, so that the past never changes."""
    some = days(0.8, 40)
    assert coverage_evidence(some[:25], 90) == pytest.approx(coverage_evidence(some, 90)[:25])
    first = coverage_evidence([0.0], 90)
    assert first == pytest.approx(1.0)
