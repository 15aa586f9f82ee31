"""Intervals of errors, computed a second time trip by trip, as their papers write them."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from model_loop.models.intervals import (
    DaySpread,
    ErrorSums,
    Spread,
    around,
    measured_errors,
    not_negative,
    quantile,
    reference_half,
    sums_by_day,
)

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

#: What is assumed of days that were never measured: their spread in parts of the mean absolute and
#: of the mean squared error, how much they resemble the day before, and of how many days it comes.
ASSUMED, CORRELATION, MOST_DAYS = (0.25, 0.1, 0.2), 0.2, 10


@dataclass(frozen=True)
class Month:
    """Errors of trips and their days."""

    errors: Floats
    days: Days

    @property
    def kinds(self) -> tuple[Floats, Floats, Floats]:
        """Errors, absolute errors and squared errors of each trip."""
        return self.errors, np.abs(self.errors), self.errors**2

    @property
    def groups(self) -> list[int]:
        """The days, in order."""
        return sorted({int(day) for day in self.days})


def month(
    days: int | list[int], *, between: float = 1.0, follow: float = 0.0, seed: int = 0
) -> Month:
    """Make trips of days that are off as a whole, in differing numbers, and in any order."""
    random = np.random.default_rng(seed)
    names = list(range(19_000, 19_000 + days)) if isinstance(days, int) else days
    effect, errors, which = 0.0, [], []
    for name in names:
        effect = follow * effect + random.normal(0, between)
        count = int(random.integers(3, 40))
        errors += list(0.4 + effect + random.standard_t(6, count) * 4)
        which += [name] * count
    order = random.permutation(len(errors))
    return Month(np.array(errors)[order], np.array(which, dtype=np.int64)[order])


def correlations(days: list[int], correlation: float) -> Floats:
    """Return the correlations of all days with each other, AR(1)."""
    return np.array([[correlation ** abs(one - other) for other in days] for one in days])


def freedom(days: int, correlation: float) -> float:
    """Return Bartlett's number of days that are worth so many correlated ones, less one."""
    return max(days * (1 - correlation**2) / (1 + correlation**2) - 1, 1)


def spread_of(values: Floats, given: Month) -> Spread:
    """Analyse variances as a textbook does, one day after another."""
    groups = [values[given.days == day] for day in given.groups]
    count, total, mean = len(groups), len(values), values.mean()
    among = sum(len(one) * (one.mean() - mean) ** 2 for one in groups) / (count - 1)
    within = sum(((one - one.mean()) ** 2).sum() for one in groups) / (total - count)
    size = (total - sum(len(one) ** 2 for one in groups) / total) / (count - 1)
    means = [one.mean() for one in groups]
    away = [one - np.mean(means) for one in means]
    follows = sum(
        away[place] * away[place - 1]
        for place in range(1, count)
        if given.groups[place] - given.groups[place - 1] == 1
    )
    found = follows / sum(one**2 for one in away)
    correlation = float(np.clip(found + (1 + 3 * found) / count, 0.2, 0.8))
    whole = correlations(list(range(count)), correlation).sum() / count
    between = max(among - within, 0) / size * (count - 1) / (count - whole)
    return Spread(within, between, correlation)


def half_of(number: int, given: Month, known: DaySpread | None, confidence: float) -> float:
    """Return half of an interval, from the trips themselves."""
    values, days = given.kinds[number], given.groups
    count, total = len(days), len(values)
    independent = values.var(ddof=1) / total
    sizes = np.array([(given.days == day).sum() for day in days])
    if count >= 7:
        correlation = known.spreads[number].correlation if known else CORRELATION
        residuals = np.array([(values - values.mean())[given.days == day].sum() for day in days])
        variance = count / (count - 1) * (residuals**2).sum() / total**2
        whole = correlations(list(range(count)), correlation).sum() / count
        variance *= whole * (count - 1) / (count - whole)
        free, variance = freedom(count, correlation), max(variance, independent)
    else:
        free = MOST_DAYS
        if known:
            _, between, correlation = astuple(known.spreads[number])
            free = min(free, freedom(known.days, correlation))
        else:
            mean = given.kinds[2 if number == 2 else 1].mean()
            between, correlation = (ASSUMED[number] * mean) ** 2, CORRELATION
        weights = sizes / total
        shared = weights @ correlations(days, correlation) @ weights
        variance = independent + between * shared
    return float(stats.t.ppf((1 + confidence) / 2, free) * math.sqrt(variance))


MONTHS = {
    "a month": month(30),
    "days that are all alike": month(20, between=0.0, seed=2),
    "days that resemble the day before": month(60, between=4, follow=0.99, seed=4),
    "days that resemble it a little": month(40, between=3, follow=0.6, seed=12),
    "days that are opposite to the day before": month(28, follow=-0.9, seed=5),
    "with gaps": month(
        [day for day in range(19_000, 19_031) if day % 7 and day % 5], between=4, follow=0.8, seed=6
    ),
    "a week": month(7, seed=7),
    "six days": month(6, seed=8),
    "three days apart": month([19_003, 19_000, 19_020], seed=9),
    "a day": month(1, seed=10),
    "two weeks": month(14, seed=11),
    "two weeks as one": month(14, between=6, follow=0.99, seed=13),
}
KNOWN = {
    "unknown": None,
    "known": "a month",
    "resembling": "days that resemble the day before",
    "few": "two weeks as one",
}


@pytest.mark.parametrize("name", MONTHS)
@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_errors_and_their_intervals(name: str, known: str, confidence: float) -> None:
    """Of windows of any length, with and without test months, as computed from the trips."""
    given, theirs = MONTHS[name], KNOWN[known]
    months = MONTHS[theirs] if theirs else None
    spread = DaySpread.of(sums_by_day(months.errors, months.days)) if months else None
    found = measured_errors(sums_by_day(given.errors, given.days), spread, confidence)
    errors, absolute, squared = given.kinds
    assert (found.rows, found.days) == (len(errors), len(given.groups))
    assert found.bias == pytest.approx(errors.mean())
    assert found.mae == pytest.approx(absolute.mean())
    assert found.rmse == pytest.approx(math.sqrt(squared.mean()))
    assert found.deviation == pytest.approx(absolute.std(ddof=1))
    halves = [half_of(number, given, spread, confidence) for number in range(3)]
    assert found.bias_interval == pytest.approx(
        (errors.mean() - halves[0], errors.mean() + halves[0])
    )
    assert found.mae_interval == pytest.approx(
        (max(absolute.mean() - halves[1], 0), absolute.mean() + halves[1])
    )
    assert found.rmse_interval == pytest.approx(
        (
            math.sqrt(max(squared.mean() - halves[2], 0)),
            math.sqrt(squared.mean() + halves[2]),
        )
    )


@pytest.mark.parametrize("name", MONTHS)
def test_how_much_days_differ(name: str) -> None:
    """Variances and correlations of each kind of error; of less than two weeks nothing is said."""
    given = MONTHS[name]
    found = DaySpread.of(sums_by_day(given.errors, given.days))
    if len(given.groups) < 14:
        assert found is None
        return
    assert found is not None
    assert (found.days, found.rows) == (len(given.groups), len(given.errors))
    assert found.bias == pytest.approx(given.errors.mean())
    assert found.spreads == (found.errors, found.absolute, found.squared)
    for spread, values in zip(found.spreads, given.kinds, strict=True):
        assert astuple(spread) == pytest.approx(astuple(spread_of(values, given)))
    for number, spread in enumerate(found.spreads):
        whole = correlations(list(range(found.days)), spread.correlation).sum() / found.days
        error = math.sqrt(spread.within / found.rows + whole * spread.between / found.days)
        free = freedom(found.days, spread.correlation)
        for given_confidence, confidence in ((None, 0.95), (0.7, 0.7)):
            half = (
                reference_half(found, number)
                if given_confidence is None
                else reference_half(found, number, given_confidence)
            )
            assert half == pytest.approx(stats.t.ppf((1 + confidence) / 2, free) * error)


def test_the_months_are_of_every_kind() -> None:
    """Some are so correlated, or so little, that a bound counts, and one lies between."""
    spreads = [
        DaySpread.of(sums_by_day(one.errors, one.days))
        for one in MONTHS.values()
        if len(one.groups) >= 14
    ]
    found = {one.errors.correlation for one in spreads if one}
    assert {0.2, 0.8} <= found
    assert any(0.2 < one < 0.8 for one in found)
    assert any(one.errors.between == 0 for one in spreads if one)


def test_days_of_one_trip_each() -> None:
    """Nothing is known of the trips of a day then; equal days are correlated with none."""
    days = np.arange(20, dtype=np.int64)
    found = DaySpread.of(sums_by_day(np.full(20, 3.0), days))
    assert found is not None
    assert astuple(found.errors) == (0.0, 0.0, 0.2)
    random = np.random.default_rng(0).normal(0, 1, 20)
    varied = DaySpread.of(sums_by_day(random, days))
    assert varied is not None
    assert varied.errors.within == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("error", [3.0, -3.0])
def test_one_trip_has_no_interval(error: float) -> None:
    """Its error is known, and nothing of others."""
    found = measured_errors(sums_by_day(np.array([error]), np.array([5])))
    assert (found.rows, found.days, found.bias, found.mae, found.rmse) == (1, 1, error, 3.0, 3.0)
    assert found.bias_interval is found.mae_interval is found.rmse_interval is None
    assert found.deviation == 0.0
    two = measured_errors(sums_by_day(np.array([error, error + 1]), np.array([5, 5])))
    assert two.bias_interval is not None
    assert two.deviation == pytest.approx(math.sqrt(0.5))


def test_sums_are_added_whatever_parts_they_come_in() -> None:
    """Of each day, in the order of days; parts of a stream add up to the whole."""
    given = MONTHS["six days"]
    sums = sums_by_day(given.errors, given.days)
    assert list(sums) == given.groups
    for day, one in sums.items():
        errors = given.errors[given.days == day]
        powers = [errors.sum(), np.abs(errors).sum(), (errors**2).sum(), (errors**4).sum()]
        assert astuple(one) == pytest.approx((len(errors), *powers))
    parts = [ErrorSums.of(part) for part in np.array_split(given.errors, 5)]
    total = sum(parts, ErrorSums())
    assert astuple(total) == pytest.approx(astuple(ErrorSums.of(given.errors)))
    assert astuple(ErrorSums()) == (0, 0.0, 0.0, 0.0, 0.0)


def test_parts_of_intervals() -> None:
    """Around a value to both sides, and nothing below zero."""
    assert around(3.0, 2.0) == (1.0, 5.0)
    assert not_negative((-2.0, -1.0)) == (0.0, 0.0)
    assert not_negative((-2.0, 0.5)) == (0.0, 0.5)
    assert not_negative((0.25, 2.0)) == (0.25, 2.0)
    assert quantile(0.95, 10) == pytest.approx(2.228, abs=5e-4)


def days_of_errors(
    random: np.random.Generator, days: int, trips: int, between: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of trips and their days: each day is off as a whole, and resembles the day before."""
    effects = [random.normal(0, between)]
    for _ in range(days - 1):
        new = random.normal(0, between * np.sqrt(1 - correlation**2))
        effects.append(correlation * effects[-1] + new)
    which = np.repeat(np.arange(days), trips)
    spreads = 4.0 * np.exp(random.normal(0, 0.07 * bool(between), days))
    return np.array(effects)[which] + random.normal(0, 1, days * trips) * spreads[which], which


@pytest.mark.parametrize(
    ("days", "between", "correlation", "tested"),
    [
        (7, 0.0, 0.0, False),
        (30, 0.5, 0.0, False),
        (1, 0.5, 0.3, True),
        (3, 0.5, 0.3, True),
        (7, 0.5, 0.3, True),
        (7, 0.5, 0.3, False),
    ],
)
def test_intervals_hold_as_often_as_they_say(
    days: int, between: float, correlation: float, *, tested: bool
) -> None:
    """As many of those of 95 % as chance allows hold the truth, also where days are not alike.

    As if trips were independent, fewer than half would hold the bias.
    """
    random, held, times = np.random.default_rng(0), dict.fromkeys(("rmse", "mae", "bias"), 0), 200
    spreads = 4.0 * np.exp(np.random.default_rng(1).normal(0, 0.07 * bool(between), 100_000))
    all_spreads = np.sqrt(between**2 + spreads**2)
    truth = {
        "rmse": np.sqrt((all_spreads**2).mean()),
        "mae": all_spreads.mean() * np.sqrt(2 / np.pi),
        "bias": 0.0,
    }
    for _ in range(times):
        month = sums_by_day(*days_of_errors(random, 30, 300, between, correlation))
        known = DaySpread.of(month) if tested else None
        sums = sums_by_day(*days_of_errors(random, days, 300, between, correlation))
        measured = measured_errors(sums, known)
        for name, value in truth.items():
            low, high = getattr(measured, f"{name}_interval")
            held[name] += low <= value <= high
    # Three standard errors of a share of 95 % of so many.
    least = stats.binom.ppf(stats.norm.cdf(-3), times, 0.95)
    assert all(count >= least for count in held.values()), held


def test_a_short_window_of_unknown_days_is_judged_with_caution() -> None:
    """A day whose like was never measured is taken to differ much from others."""
    errors, _ = days_of_errors(np.random.default_rng(0), 1, 2_000, 0.0, 0.0)
    day = np.zeros(2_000, dtype=np.int64)
    alone = measured_errors(sums_by_day(errors, day))
    month = sums_by_day(*days_of_errors(np.random.default_rng(1), 30, 300, 0.3, 0.0))
    known = measured_errors(sums_by_day(errors, day), DaySpread.of(month))
    for name in ("bias", "mae", "rmse"):
        low, high = getattr(alone, f"{name}_interval")
        least, most = getattr(known, f"{name}_interval")
        assert low < least < most < high
    assert DaySpread.of({day: month[day] for day in range(13)}) is None


def test_no_error_is_negative() -> None:
    """However few the trips: an interval that is symmetric would reach below nothing."""
    errors = np.array([0.1, 12.0, 0.2])
    measured = measured_errors(sums_by_day(errors, np.zeros(3, dtype=np.int64)))
    assert measured.mae_interval is not None
    assert measured.rmse_interval is not None
    assert measured.mae_interval[0] == measured.rmse_interval[0] == 0.0
