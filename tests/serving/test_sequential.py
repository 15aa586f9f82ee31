"""Comparisons that may be read every day: how often equal versions get a verdict."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from model_loop.datasets.registry import datasets_folder
from model_loop.serving.comparison.sequential import MIXTURE, days_needed, evidence_of

Days = npt.NDArray[np.float64]

REPLAYS, DAYS = 2_000, 60
#: Days that are drawn together, since they depend on each other.
BLOCK = 7
WRONG = 0.05


def most(replays: int) -> float:
    """Return the share of wrong decisions that one in twenty may come to by chance."""
    return WRONG + 2 * math.sqrt(WRONG * (1 - WRONG) / replays)


@pytest.fixture(scope="module")
def differences() -> Days:
    """The differences of the days."""
    return daily_differences()


def daily_differences() -> Days:
    """Return how far the errors of two models are apart on each day of half a year."""
    table = pd.read_csv(datasets_folder() / "data" / "bikes_hourly.csv.gz")
    table = table[table.dteday < "2012-12-31"]
    names = ["hr", "temp", "hum", "windspeed", "workingday", "weathersit", "mnth", "yr"]
    later = table.dteday >= "2012-07-01"
    errors = []
    for model in (LinearRegression(), DecisionTreeRegressor(max_depth=5, random_state=0)):
        model.fit(table.loc[~later, names], table.loc[~later, "cnt"])
        predicted = model.predict(table.loc[later, names])
        errors.append(np.abs(predicted - table.loc[later, "cnt"]))
    daily: Days = (errors[0] - errors[1]).groupby(table.loc[later, "dteday"]).mean().to_numpy()
    assert len(daily) > 180
    return daily


def replays(days: Days) -> list[Days]:
    """Draw blocks of successive days of two equal versions: their differences, centred."""
    rng, centred = np.random.default_rng(0), days - days.mean()
    starts = rng.integers(0, len(days) - BLOCK + 1, (REPLAYS, DAYS // BLOCK + 1))
    return [
        np.concatenate([centred[start : start + BLOCK] for start in row])[:DAYS] for row in starts
    ]


def autoregressive(correlation: float) -> list[Days]:
    """Draw days that each repeat a share of the day before."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(REPLAYS, DAYS))
    days = noise.copy()
    for day in range(1, DAYS):
        days[:, day] = correlation * days[:, day - 1] + noise[:, day] * math.sqrt(
            1 - correlation**2
        )
    return list(days)


def told_apart(drawn: list[Days]) -> float:
    """Return the share of replays that are decided on any day."""
    return float(np.mean([evidence_of(days).decided_after is not None for days in drawn]))


def test_equal_versions_are_seldom_told_apart(differences: Days) -> None:
    """A/A: daily readings over two months; a t-test that is read daily is wrong far more often."""
    drawn = replays(differences)
    assert told_apart(drawn) <= most(REPLAYS)
    weekly = [range(BLOCK, DAYS + 1)] * 400
    naive = np.mean(
        [
            any(stats.ttest_1samp(days[:day], 0).pvalue < WRONG for day in looks)
            for days, looks in zip(drawn, weekly, strict=False)
        ]
    )
    assert naive > 4 * WRONG


def test_days_that_follow_from_each_other_tell_no_more() -> None:
    """AR(1): what a day foretells of the next one is taken out."""
    assert told_apart(autoregressive(0.3)) <= most(REPLAYS)


def test_a_difference_is_found_about_when_it_is_said_to_be() -> None:
    """The median number of days is near the predicted one."""
    needed = days_needed(1.0, 1.0)
    assert needed is not None
    rng = np.random.default_rng(2)
    found = [evidence_of(rng.normal(1.0, 1.0, 3 * needed)).decided_after for _ in range(200)]
    assert all(found)
    assert np.median([day for day in found if day]) == pytest.approx(needed, rel=0.35)
    assert days_needed(0.5, 1.0) > 2 * needed  # type: ignore[operator]  # a number
    assert days_needed(0.01, 1.0) is None


def plain(days: Days) -> float:
    """Return the e-value as the paper has it, of days that foretell nothing."""
    number, total, squares = len(days), days.sum(), (days**2).sum()
    scale = number + MIXTURE
    return float(
        math.sqrt(MIXTURE / scale)
        * (scale * squares / (scale * squares - total**2)) ** (number / 2)
    )


def test_the_first_days_are_weighed_as_in_the_paper() -> None:
    """Before there are days enough to know what they foretell."""
    rng = np.random.default_rng(3)
    for number in (1, 2, 5, 7):
        days = rng.normal(0.5, 1.0, number)
        assert evidence_of(days.tolist()).e_value == pytest.approx(plain(days))
    assert evidence_of([0.0] * 30).e_value == 1
    assert evidence_of([]).interval == (-math.inf, math.inf)


def test_the_interval_leaves_out_what_is_decided_against() -> None:
    """It moves and grows with the days, and 0 is outside of it if the evidence suffices."""
    rng = np.random.default_rng(4)
    decided = 0
    for number in rng.integers(3, 80, 200):
        days = rng.normal(rng.normal(0, 0.5), 1.0, number)
        evidence = evidence_of(days)
        low, high = evidence.interval
        decided += evidence.e_value >= 1 / WRONG
        assert (evidence.e_value >= 1 / WRONG) == (not low < 0 < high)
        moved = evidence_of(3 * days + 5).interval
        if math.isfinite(low):
            assert moved == pytest.approx((3 * low + 5, 3 * high + 5))
    assert 0 < decided < 200


def test_the_interval_holds_the_mean_on_every_day() -> None:
    """A share of 95 % of the sequences never lose it."""
    rng = np.random.default_rng(5)
    lost = 0
    for _ in range(200):
        days = rng.normal(2.0, 1.0, 40)
        intervals = [evidence_of(days[:number]).interval for number in range(1, 41)]
        lost += any(not low <= 2.0 <= high for low, high in intervals)
    assert lost / 200 <= most(200)
