"""Errors of a window, judged against those of the test months."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from model_loop.errors import InvalidInputError
from model_loop.models.evaluation import errors_by_slice
from model_loop.models.intervals import DaySpread, measured_errors, sums_by_day
from model_loop.monitoring.levels import (
    Finding,
    Level,
    as_row,
    from_rows,
    judge,
    thresholds_of,
)
from model_loop.monitoring.performance import (
    BIAS,
    MAE,
    RMSE,
    SLICE,
    PerformanceRules,
    Reference,
    judge_performance,
)
from model_loop.monitoring.slices import errors_table, measure_errors
from model_loop.monitoring.windows import Window, WindowTrips
from model_loop.settings import Settings
from model_loop.trips.months import Month
from model_loop.trips.services import DISTANCE, DROPOFF_ZONE, PICKUP_TIME, PICKUP_ZONE

THRESHOLDS = thresholds_of(Settings())
AT_ONCE = PerformanceRules(windows=1, needed=1)


def window(errors: np.ndarray, seed: int = 0) -> WindowTrips:
    """Trips of all hours and of some zones, predicted with these errors."""
    random, count = np.random.default_rng(seed), len(errors)
    hours = pd.to_timedelta(random.integers(0, 24 * 28, count), unit="h")
    actual = random.uniform(5, 40, count)
    trips = pd.DataFrame(
        {
            PICKUP_ZONE: random.choice([7, 42, 74, 97], count).astype(np.int32),
            DROPOFF_ZONE: np.full(count, 75, dtype=np.int32),
            PICKUP_TIME: (pd.Timestamp("2024-03-01") + hours).astype("datetime64[us]"),
            DISTANCE: random.uniform(0.5, 10, count),
        }
    )
    return WindowTrips(
        window=Window.of_month("green", Month(2024, 3)),
        source="month",
        trips=trips,
        predicted=actual + errors,
        versions=np.full(count, 3),
        ids=np.arange(count).astype(str).astype(object),
        actual=actual,
    )


def normal(count: int, spread: float = 4.0, bias: float = 0.0) -> np.ndarray:
    """Errors of a bell."""
    return np.random.default_rng(count).normal(bias, spread, count)


def reference_of(trips: WindowTrips) -> Reference:
    """What a version came to, had these been its test months."""
    total, *slices = measure_errors(trips)
    by_slice = {(one.slice, one.value): one.measured.rmse for one in slices}
    days = DaySpread.of(sums_by_day(trips.predicted - trips.actual, trips.days()))
    return Reference(3, total.measured.rmse, total.measured.mae, by_slice, days)


TESTED = reference_of(window(normal(8_000)))


def levels(found: tuple[Finding, ...]) -> dict[str, Level]:
    """Levels by metric."""
    return {finding.metric: finding.level for finding in found}


def test_errors_are_those_of_the_reports_of_training() -> None:
    """The same slices with the same errors, and intervals around them."""
    trips = window(normal(2_000))
    total, *slices = measure_errors(trips)
    wanted = errors_by_slice(trips.trips, trips.actual, trips.predicted)
    found = errors_table(slices)
    for name in ("slice", "value", "trips"):
        assert found[name].tolist() == wanted[name].tolist()
    for name in ("rmse", "mae", "bias"):
        np.testing.assert_allclose(found[name], wanted[name])
        assert (found[f"{name}_low"] < found[name]).all()
    errors = trips.predicted - trips.actual
    assert total.measured.bias == pytest.approx(errors.mean())
    low, high = stats.norm.interval(0.95, errors.mean(), stats.sem(errors))
    assert total.measured.bias_interval is not None
    assert total.measured.bias_interval[0] <= low
    assert total.measured.bias_interval[1] >= high


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


def test_the_same_errors_are_no_alarm() -> None:
    """Whatever the size of the window; of 100 windows from the same errors none alarms."""
    for seed in range(100):
        count = 600 if seed % 2 else 5_000
        errors = np.random.default_rng(seed).normal(0, 4, count)
        found = judge_performance(window(errors, seed), TESTED, (), THRESHOLDS, AT_ONCE)
        assert {finding.level for finding in found} <= {Level.OK}


def test_larger_errors_are_found_and_named() -> None:
    """By a share that people read, at the level of the thresholds."""
    found = judge_performance(window(normal(5_000, 4.6)), TESTED, (), THRESHOLDS, AT_ONCE)
    assert levels(found) == {
        RMSE: Level.WARN,
        MAE: Level.WARN,
        BIAS: Level.OK,
        SLICE: Level.OK,
    }
    assert found[0].value == pytest.approx(0.15, abs=0.03)
    assert f"{TESTED.rmse:.2f} on the test months" in found[0].note
    found = judge_performance(window(normal(5_000, 6.0)), TESTED, (), THRESHOLDS, AT_ONCE)
    assert levels(found)[RMSE] is Level.ACT
    assert levels(found)[SLICE] is Level.WARN


def test_bias_is_found_on_both_sides() -> None:
    """Trips that take longer than predicted, and shorter."""
    for bias in (-2.5, 2.5):
        found = judge_performance(window(normal(5_000, 4, bias)), TESTED, (), THRESHOLDS, AT_ONCE)
        assert levels(found)[BIAS] is Level.ACT
        assert f"{bias:+.0f}"[0] in found[2].note


def test_one_bad_slice_is_named() -> None:
    """The total hides it; the finding says which slice."""
    errors = normal(8_000)
    trips = window(errors)
    night = (trips.trips[PICKUP_TIME].dt.hour == 3).to_numpy()
    worse = dataclasses.replace(trips, predicted=trips.actual + errors * np.where(night, 1.6, 1))
    found = judge_performance(worse, TESTED, (), THRESHOLDS, AT_ONCE)
    assert levels(found)[RMSE] is Level.OK
    assert found[3].level is Level.WARN
    assert "hour 3" in found[3].note


@pytest.mark.parametrize(
    ("past", "level"),
    [([], Level.OK), ([0.3], Level.ACT), ([0.3, 0.0], Level.ACT), ([0.15], Level.WARN),
     ([0.3, 0.0, 0.0], Level.OK), ([None], Level.OK)],
)  # fmt: skip
def test_enough_windows_have_to_agree(past: list[float | None], level: Level) -> None:
    """Two of the last three, this one among them; at the gravest level that they share."""
    history = [[judge(RMSE, "all", value, THRESHOLDS[RMSE])] for value in past]
    found = judge_performance(window(normal(5_000, 6.0)), TESTED, history, THRESHOLDS)
    assert found[0].level is level
    if level is not Level.ACT:
        assert "2 of the last 3 are needed" in found[0].note


@pytest.mark.parametrize("kept", [True, False], ids=["as found", "as kept before"])
def test_what_chance_gives_counts_for_no_later_window(*, kept: bool) -> None:
    """A window whose error was no finding is none of the two that are needed."""
    small = window(np.random.default_rng(9).normal(0, 4.8, 600))
    small = small.where(small.days() == small.days().min())
    rules = dataclasses.replace(AT_ONCE, trips=2)
    chance = judge_performance(small, TESTED, (), THRESHOLDS, rules)
    assert chance[0].value > THRESHOLDS[RMSE].warn
    assert (chance[0].level, chance[0].certain) == (Level.OK, False)
    rows = [as_row(one) for one in chance]
    if not kept:
        for row in rows:
            del row["certain"]
    history = [from_rows(rows)]
    found = judge_performance(window(normal(5_000, 6.0)), TESTED, history, THRESHOLDS)
    assert found[0].level is Level.OK
    assert "1 have reached it" in found[0].note


def test_a_window_that_is_well_never_alarms() -> None:
    """However bad those before were."""
    history = [[judge(RMSE, "all", 0.9, THRESHOLDS[RMSE])]] * 5
    assert (
        judge_performance(window(normal(5_000)), TESTED, history, THRESHOLDS)[0].level is Level.OK
    )


@pytest.mark.parametrize("count", [0, 1, 499])
def test_too_few_labels_say_nothing(count: int) -> None:
    """Unknown, with the reason."""
    found = judge_performance(window(normal(count, 50)), TESTED, (), THRESHOLDS, AT_ONCE)
    assert {finding.level for finding in found} == {Level.UNKNOWN}
    assert f"{count:,} labelled trips" in found[0].note


def test_a_version_without_tests_is_unknown() -> None:
    """There is nothing to compare with."""
    found = judge_performance(window(normal(5_000, 50)), Reference(3), (), THRESHOLDS, AT_ONCE)
    assert {finding.level for finding in found} == {Level.UNKNOWN}
    assert "no errors on test months" in found[0].note


def test_trips_without_inputs_count_in_total_alone() -> None:
    """Feedback tells errors also where the log keeps no inputs."""
    trips = window(normal(2_000))
    bare = dataclasses.replace(trips, trips=_emptied(trips.trips))
    assert len(measure_errors(bare)) == 1
    found = judge_performance(bare, TESTED, (), THRESHOLDS, AT_ONCE)
    assert levels(found)[RMSE] is Level.OK
    assert levels(found)[SLICE] is Level.UNKNOWN


def test_hours_keep_their_names_where_one_is_unknown() -> None:
    """A trip whose time was not logged belongs to no hour, and renames none."""
    trips = window(normal(2_000))
    trips.trips.loc[0, PICKUP_TIME] = pd.NaT
    hours = {one.value for one in measure_errors(trips) if one.slice == "hour"}
    assert hours == {str(hour) for hour in range(24)}


def test_a_slice_that_was_never_wrong_is_passed_over() -> None:
    """No error can become larger by a share of nothing."""
    trips = window(normal(2_000))
    slices = dict.fromkeys(TESTED.slices, 0.0)
    reference = dataclasses.replace(TESTED, slices=slices)
    found = judge_performance(trips, reference, (), THRESHOLDS, AT_ONCE)
    assert levels(found)[SLICE] is Level.UNKNOWN


def test_rules_have_bounds() -> None:
    """More windows cannot be needed than are looked at."""
    with pytest.raises(InvalidInputError):
        PerformanceRules(windows=2, needed=3)
    assert PerformanceRules.of(Settings()) == PerformanceRules()


def _emptied(trips: pd.DataFrame) -> pd.DataFrame:
    times = pd.Series(pd.NaT, index=trips.index, dtype="datetime64[us]")
    return (trips.drop(columns=PICKUP_TIME) * np.nan).assign(**{PICKUP_TIME: times})
