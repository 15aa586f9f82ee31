"""Evidence from counts, by the published formula and by how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from model_loop.serving.comparison.odds import ENOUGH, evidence_of_odds

#: Looks of a week, every five minutes.
LOOKS = 7 * 24 * 12
RUNS = 400


def test_it_is_the_mixture_of_likelihood_ratios() -> None:
    """The binomial probability of the counts by each multiple of the odds, against the expected."""
    hits, units, expected = [3, 9], [40, 50], np.array([0.1, 0.3])
    logs = np.geomspace(0.005, 10.0, 40)
    ratios = []
    for log in (*logs, *-logs):
        odds = expected / (1 - expected) * np.exp(log)
        by = stats.binom.pmf(hits, units, odds / (1 + odds))
        ratios.append(by / stats.binom.pmf(hits, units, expected))
    first, second = np.transpose(ratios)
    both = [first / 2 + 1 / 2, first * second / 2 + second / 6 + 1 / 3]
    assert evidence_of_odds(hits, units, expected) == pytest.approx(np.mean(both, axis=1))
    above = np.mean([each[:40] for each in both], axis=1)
    assert evidence_of_odds(hits, units, expected, more_alone=True) == pytest.approx(above)


def test_looking_every_five_minutes_for_a_week_is_seldom_wrong() -> None:
    """A rate that is at its bound, or below, is taken for a larger one in 5 % of weeks at most."""
    rng, wrong = np.random.default_rng(1), 0
    for run in range(RUNS):
        units = rng.poisson(rng.choice([0.5, 20.0, 300.0]), LOOKS)
        hits = rng.binomial(units, 0.01 if run % 2 else 0.008)
        wrong += bool((evidence_of_odds(hits, units, 0.01, more_alone=True) >= ENOUGH).any())
    assert wrong / RUNS <= 0.05


def test_busy_hours_make_no_version_slow() -> None:
    """Slow answers come in bursts, of both versions alike."""
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(RUNS):
        requests = rng.poisson(30, LOOKS)
        slow = rng.binomial(requests, np.where(rng.random(LOOKS) < 0.02, 0.8, 0.03))
        own = rng.binomial(slow, 0.1)
        wrong += bool((evidence_of_odds(own, slow, 0.1, more_alone=True) >= ENOUGH).any())
    assert wrong / RUNS <= 0.05


def test_shares_that_change_are_no_mismatch() -> None:
    """Daily reading of thirty days with three shares finds a mismatch in 5 % of them at most."""
    rng, wrong = np.random.default_rng(3), 0
    shares = np.repeat([0.05, 0.2, 0.5], 10)
    for _ in range(1_000):
        units = rng.poisson(rng.choice([50, 2_000, 100_000]), 30)
        evidence = evidence_of_odds(rng.binomial(units, shares), units, shares)
        wrong += bool((evidence >= ENOUGH).any())
    assert wrong / 1_000 <= 0.05


@pytest.mark.parametrize(("share", "days"), [(0.5, 4), (0.1, 10)])
@pytest.mark.parametrize("loses", ["canary", "champion"])
def test_a_loss_is_noticed_within_days(share: float, days: int, loses: str) -> None:
    """One in fifty answers of a version is missing from the log, of 100,000 requests a day."""
    rng, late = np.random.default_rng(4), 0
    for _ in range(100):
        own = rng.binomial(100_000, share, days)
        others = 100_000 - own
        if loses == "canary":
            own = rng.binomial(own, 0.98)
        else:
            others = rng.binomial(others, 0.98)
        late += bool(evidence_of_odds(own, own + others, share)[-1] < ENOUGH)
    assert late <= 5


def test_a_fault_of_today_shows_after_weeks_without_one() -> None:
    """Weeks without a fault do not hide it."""
    units = np.full(40, 10_000)
    evidence = evidence_of_odds(np.where(np.arange(40) < 39, 1_000, 1_300), units, 0.1)
    assert evidence[-2] < 1 < ENOUGH < evidence[-1]


@pytest.mark.parametrize("failures", [3, 10])
def test_a_version_that_always_fails_shows_at_once(failures: int) -> None:
    """Three failures of three requests suffice where one in a hundred is allowed."""
    assert evidence_of_odds([failures], [failures], 0.01, more_alone=True)[-1] > ENOUGH
    assert evidence_of_odds([0], [10_000], 0.01, more_alone=True)[-1] < 1
