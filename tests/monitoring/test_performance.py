"""Errors of a window, judged against those of the test months."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from model_loop.errors import InvalidInputError
from model_loop.models.evaluation import errors_by_slice
from model_loop.models.intervals import (
    DaySpread,
    Spread,
    measured_errors,
    reference_half,
    sums_by_day,
)
from model_loop.models.slices import Slicing
from model_loop.monitoring.levels import (
    Level,
    Thresholds,
    WindowFinding,
    as_row,
    from_rows,
    judge_value,
    thresholds_of,
)
from model_loop.monitoring.performance import (
    BIAS,
    MAE,
    RMSE,
    SLICE,
    PerformanceRules,
    ReferenceErrors,
    judge_performance,
)
from model_loop.monitoring.slices import errors_table, measure_errors
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.options import build
from model_loop.settings import Settings
from trip_duration.dataset import TRIPS
from trip_duration.services import DISTANCE, DROPOFF_ZONE, PICKUP_TIME, PICKUP_ZONE

THRESHOLDS = thresholds_of(Settings())
#: Names of rules in errors, where they are those of a form.
SAID = {"rows": "least_rows"}
AT_ONCE = PerformanceRules(windows=1, needed=1)


def window(errors: np.ndarray, seed: int = 0) -> WindowRows:
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
    return WindowRows(
        window=Window.of_partition("green", "2024-03"),
        source="month",
        rows=trips,
        predicted=actual + errors,
        versions=np.full(count, 3),
        ids=np.arange(count).astype(str).astype(object),
        actual=actual,
    )


def normal(count: int, spread: float = 4.0, bias: float = 0.0) -> np.ndarray:
    """Errors of a bell."""
    return np.random.default_rng(count).normal(bias, spread, count)


def reference_of(trips: WindowRows) -> ReferenceErrors:
    """Errors of a version, as if these were its test months."""
    total, *slices = measure_errors(trips)
    by_slice = {(one.slice, one.value): one.measured.rmse for one in slices}
    days = DaySpread.of(sums_by_day(trips.predicted - trips.actual, trips.days()))
    return ReferenceErrors(3, total.measured.rmse, total.measured.mae, by_slice, days)


TESTED = reference_of(window(normal(8_000)))


def levels(found: tuple[WindowFinding, ...]) -> dict[str, Level]:
    """Levels by metric."""
    return {finding.metric: finding.level for finding in found}


def test_errors_are_those_of_the_reports_of_training() -> None:
    """The same slices with the same errors, and intervals around them."""
    trips = window(normal(2_000))
    total, *slices = measure_errors(trips)
    wanted = errors_by_slice(trips.rows, trips.actual, trips.predicted, Slicing(TRIPS))
    found = errors_table(slices)
    for name in ("slice", "value"):
        assert found[name].tolist() == wanted[name].tolist()
    assert found["rows"].tolist() == wanted["rows"].tolist()
    for name in ("rmse", "mae", "bias"):
        np.testing.assert_allclose(found[name], wanted[name])
        assert (found[f"{name}_low"] < found[name]).all()
    errors = trips.predicted - trips.actual
    assert total.measured.bias == pytest.approx(errors.mean())
    low, high = stats.norm.interval(0.95, errors.mean(), stats.sem(errors))
    assert total.measured.bias_interval is not None
    assert total.measured.bias_interval[0] <= low
    assert total.measured.bias_interval[1] >= high


def test_intervals_of_slices_hold_together() -> None:
    """Each is that of its trips alone, at so much more confidence as there are slices."""
    trips = window(normal(3_000))
    _, *slices = measure_errors(trips, 0.9)
    errors, hours = trips.predicted - trips.actual, trips.rows[PICKUP_TIME].dt.hour.to_numpy()
    each = 1 - (1 - 0.9) / len(slices)
    found = {one.value: one.measured for one in slices if one.slice == "hour"}
    assert set(found) == {str(hour) for hour in range(24)}
    for hour, measured in found.items():
        rows = hours == int(hour)
        alone = measured_errors(sums_by_day(errors[rows], trips.days()[rows]), None, each)
        assert measured.rmse == pytest.approx(alone.rmse)
        for name in ("bias_interval", "mae_interval", "rmse_interval"):
            assert getattr(measured, name) == pytest.approx(getattr(alone, name))


def test_the_same_errors_are_no_alarm() -> None:
    """For any size of the window; none of 100 windows with the same errors alarms."""
    for seed in range(100):
        count = 600 if seed % 2 else 5_000
        errors = np.random.default_rng(seed).normal(0, 4, count)
        trips = window(errors, seed)
        # Slices take most of the time.
        trips = trips if seed < 20 else without_slices(trips)
        found = judge_performance(trips, TESTED, (), THRESHOLDS, AT_ONCE)
        assert {finding.level for finding in found[:3]} <= {Level.OK}
        assert found[3].level is (Level.OK if seed < 20 else Level.UNKNOWN)


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
    assert f"{TESTED.rmse:.2f} on the test trips" in found[0].note
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
    night = (trips.rows[PICKUP_TIME].dt.hour == 3).to_numpy()
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
    history = [[judge_value(RMSE, "all", value, THRESHOLDS[RMSE])] for value in past]
    found = judge_performance(window(normal(5_000, 6.0)), TESTED, history, THRESHOLDS)
    assert found[0].level is level
    if level is not Level.ACT:
        assert "2 of the last 3 are needed" in found[0].note


@pytest.mark.parametrize("kept", [True, False], ids=["as found", "as kept before"])
def test_what_chance_gives_counts_for_no_later_window(*, kept: bool) -> None:
    """A window without a finding is none of the two that are needed."""
    small = window(np.random.default_rng(9).normal(0, 4.8, 600))
    small = small.where(small.days() == small.days().min())
    rules = dataclasses.replace(AT_ONCE, rows=2)
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
    history = [[judge_value(RMSE, "all", 0.9, THRESHOLDS[RMSE])]] * 5
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
    found = judge_performance(
        window(normal(5_000, 50)), ReferenceErrors(3), (), THRESHOLDS, AT_ONCE
    )
    assert {finding.level for finding in found} == {Level.UNKNOWN}
    assert "no errors on test trips" in found[0].note


def test_trips_without_inputs_count_in_total_alone() -> None:
    """Feedback gives errors also if the log keeps no inputs."""
    trips = window(normal(2_000))
    bare = dataclasses.replace(trips, rows=_emptied(trips.rows))
    assert len(measure_errors(bare)) == 1
    found = judge_performance(bare, TESTED, (), THRESHOLDS, AT_ONCE)
    assert levels(found)[RMSE] is Level.OK
    assert levels(found)[SLICE] is Level.UNKNOWN


def test_hours_keep_their_names_where_one_is_unknown() -> None:
    """A trip whose time was not logged belongs to no hour, and renames none."""
    trips = window(normal(2_000))
    trips.rows.loc[0, PICKUP_TIME] = pd.NaT
    hours = {one.value for one in measure_errors(trips) if one.slice == "hour"}
    assert hours == {str(hour) for hour in range(24)}


def test_a_slice_that_was_never_wrong_is_passed_over() -> None:
    """No error can become larger by a share of nothing."""
    trips = window(normal(2_000))
    slices = dict.fromkeys(TESTED.slices, 0.0)
    reference = dataclasses.replace(TESTED, slices=slices)
    found = judge_performance(trips, reference, (), THRESHOLDS, AT_ONCE)
    assert levels(found)[SLICE] is Level.UNKNOWN


def noted(error: float, interval: tuple[float, float], count: int, standard: float) -> str:
    """Write down an error as people read it."""
    low, high = interval
    told = f"{error:.2f} min ({low:.2f} to {high:.2f}) on {count:,} trips"
    return f"{told}; {standard:.2f} on the test trips"


def without_slices(trips: WindowRows) -> WindowRows:
    """Return a window whose zones were not logged: slices take most of the time."""
    return dataclasses.replace(trips, rows=trips.rows.drop(columns=PICKUP_ZONE))


def expected(
    trips: WindowRows, reference: ReferenceErrors, rules: PerformanceRules = AT_ONCE
) -> list[tuple[str, float, Level, bool, str]]:
    """Judge a window a second time: metric, share, level, whether it is certain, and the note."""
    errors = trips.predicted - trips.actual
    confidence = 1 - (1 - rules.confidence) / 3
    measured = measured_errors(sums_by_day(errors, trips.days()), reference.days, confidence)
    assert measured.rmse_interval
    assert measured.mae_interval
    assert measured.bias_interval
    assert reference.rmse
    assert reference.mae
    theirs = [
        reference_half(reference.days, number, confidence) if reference.days else 0.0
        for number in range(3)
    ]
    (low, high), count = measured.rmse_interval, len(errors)
    half = np.hypot(measured.rmse**2 - low**2, theirs[2])
    found = [
        (
            RMSE,
            measured.rmse / reference.rmse - 1,
            measured.rmse**2 - half > reference.rmse**2,
            noted(measured.rmse, (low, high), count, reference.rmse),
        )
    ]
    low, high = measured.mae_interval
    half = np.hypot(measured.mae - low, theirs[1])
    found.append(
        (
            MAE,
            measured.mae / reference.mae - 1,
            measured.mae - half > reference.mae,
            noted(measured.mae, (low, high), count, reference.mae),
        )
    )
    low, high = measured.bias_interval
    moved = np.hypot((high - low) / 2, theirs[0])
    found.append(
        (
            BIAS,
            abs(measured.bias) / reference.mae,
            not low <= 0 <= high
            and (not reference.days or abs(measured.bias - reference.days.bias) > moved),
            f"predicted less actual is {measured.bias:+.2f} min ({low:.2f} to {high:.2f})",
        )
    )
    judged = []
    for metric, value, certain, note in found:
        level = THRESHOLDS[metric].level(value)
        if level is not Level.OK and not certain:
            judged.append((metric, value, Level.OK, False, f"{note}; within what chance gives"))
        else:
            judged.append((metric, value, level, True, note))
    return judged


#: Spread and mean of the errors of a window, and how many there are.
WINDOWS = [
    (spread, bias, count)
    for spread in (4.3, 4.45, 4.55, 4.6, 4.9, 6.0)
    for bias in (-2.0, 0.0, 0.9)
    for count in (520, 700, 3_000)
]


@pytest.mark.parametrize("days", ["known", "biased", "unknown"])
def test_each_figure_is_judged_as_by_hand(days: str) -> None:
    """Share, level, note, and that only what is surely worse than the test months counts."""
    assert TESTED.days is not None
    known = {
        "known": TESTED.days,
        "biased": dataclasses.replace(TESTED.days, bias=1.0),
        "unknown": None,
    }[days]
    reference = dataclasses.replace(TESTED, days=known)
    seen = set()
    for spread, bias, count in WINDOWS:
        errors = np.random.default_rng(count).normal(bias, spread, count)
        trips = without_slices(window(errors, count))
        wanted = expected(trips, reference)
        found = judge_performance(trips, reference, (), THRESHOLDS, AT_ONCE)
        for one, (metric, value, level, certain, note) in zip(found, wanted, strict=False):
            assert (one.metric, one.subject) == (metric, "all")
            assert one.value == pytest.approx(value)
            assert (one.level, one.certain) == (level, certain), (metric, spread, bias, count)
            assert one.note == note
            seen.add((metric, level, certain))
    # Every figure is at every level somewhere, and worse by chance somewhere else.
    levels_seen = {(level, certain) for metric, level, certain in seen if metric == RMSE}
    assert levels_seen >= {
        (Level.OK, True),
        (Level.OK, False),
        (Level.WARN, True),
        (Level.ACT, True),
    }


@pytest.mark.parametrize("count", [520, 3_000])
def test_a_mean_error_has_to_have_moved(count: int) -> None:
    """Away from that of the test months, by more than both are uncertain, to either side."""
    assert TESTED.days is not None
    reference = dataclasses.replace(TESTED, days=dataclasses.replace(TESTED.days, bias=1.0))
    certain = []
    for bias in np.arange(0.85, 2.4, 0.05):
        trips = without_slices(window(np.random.default_rng(9).normal(bias, 4, count), 9))
        wanted = expected(trips, reference)[2]
        found = judge_performance(trips, reference, (), THRESHOLDS, AT_ONCE)[2]
        assert (found.level, found.certain) == wanted[2:4], bias
        certain.append(found.certain)
    assert {*certain} == {True, False}


def test_how_much_days_differ_counts_in_short_windows_and_long_ones() -> None:
    """As in the test months: three days of a window alarm less easily than a month."""
    assert TESTED.days is not None
    days = dataclasses.replace(
        TESTED.days,
        errors=Spread(16.0, 8.0, 0.6),
        absolute=Spread(6.0, 0.2, 0.5),
        squared=Spread(600.0, 12.0, 0.4),
    )
    reference = dataclasses.replace(TESTED, days=days)
    rules, seen = dataclasses.replace(AT_ONCE, rows=2), set()
    for spread in np.arange(4.3, 5.5, 0.05):
        errors = np.random.default_rng(4).normal(1.2, spread, 9_000)
        month = without_slices(window(errors, 4))
        short = month.where(month.days() < month.days().min() + 3)
        for length, trips in (("month", month), ("three days", short)):
            found = judge_performance(trips, reference, (), THRESHOLDS, rules)
            for one, wanted in zip(found, expected(trips, reference), strict=False):
                assert one.note == wanted[4]
                assert (one.level, one.certain) == wanted[2:4], (length, spread)
                seen.add((length, one.metric, one.certain))
    assert {("month", RMSE, True), ("three days", RMSE, True), ("three days", RMSE, False)} <= seen


def test_three_figures_of_the_same_trips_are_corrected_for() -> None:
    """A window between the bounds of one comparison and of three is no finding."""
    alone = dataclasses.replace(AT_ONCE, confidence=1 - 0.05 * 3)
    differ = 0
    for seed in range(60):
        trips = without_slices(window(np.random.default_rng(seed).normal(0, 4.65, 520), seed))
        one, three = (
            judge_performance(trips, TESTED, (), THRESHOLDS, rules)[0] for rules in (alone, AT_ONCE)
        )
        assert one.certain >= three.certain
        differ += one.certain and not three.certain
    assert differ


def worst_slice(
    trips: WindowRows, reference: ReferenceErrors, least: int
) -> tuple[str, float, bool]:
    """Find the worst slice a second time: its name, its increase, and whether that is certain."""
    _, *slices = measure_errors(trips, AT_ONCE.confidence, reference.days)
    rows = []
    for one in slices:
        standard = reference.slices.get((one.slice, one.value), 0.0)
        if one.measured.rows >= least and standard > 0:
            assert one.measured.rmse_interval
            certain = one.measured.rmse_interval[0] > standard
            increase = one.measured.rmse / standard - 1
            rows.append((certain, increase, f"{one.slice} {one.value}"))
    certain, increase, name = max(rows)
    return name, increase, certain


@pytest.mark.parametrize("least", [2, 60, 100])
def test_the_worst_slice_is_found_as_by_hand(least: int) -> None:
    """One that is surely worse counts before one that chance has made bad, however bad that is."""
    rules = dataclasses.replace(AT_ONCE, slice_rows=least)
    kinds = set()
    for seed in range(6):
        errors = np.random.default_rng(seed).normal(0, 4, 2_400)
        trips = window(errors, seed)
        night = (trips.rows[PICKUP_TIME].dt.hour == seed).to_numpy()
        factor = np.where(night, (1.0, 1.5, 3.0)[seed % 3], 1)
        worse = dataclasses.replace(trips, predicted=trips.actual + errors * factor)
        finding = judge_performance(worse, TESTED, (), THRESHOLDS, rules)[3]
        name, increase, certain = worst_slice(worse, TESTED, least)
        assert (finding.metric, finding.subject) == (SLICE, "worst slice")
        assert finding.note.startswith(f"{name}: ")
        assert finding.value == pytest.approx(increase)
        reached = THRESHOLDS[SLICE].level(increase) is not Level.OK
        # It is a warning at most: among dozens, one always is the worst.
        assert finding.level is (Level.WARN if reached and certain else Level.OK)
        assert finding.certain is (certain or not reached)
        assert finding.note.endswith("within what chance gives") is (reached and not certain)
        kinds.add((reached, certain))
    assert (True, True) in kinds
    assert len(kinds) > 1


def test_the_note_of_a_slice_tells_its_figures() -> None:
    """Its error with the interval, its trips, and what it was on the test trips."""
    trips = window(normal(4_000, 5.0))
    one = next(one for one in measure_errors(trips, 0.95, TESTED.days) if one.slice == "hour")
    reference = dataclasses.replace(TESTED, slices={(one.slice, one.value): 2.5})
    rules = dataclasses.replace(AT_ONCE, slice_rows=one.measured.rows)
    found = judge_performance(trips, reference, (), THRESHOLDS, rules)[3]
    assert one.measured.rmse_interval
    low, high = one.measured.rmse_interval
    assert found.note == (
        f"hour {one.value}: {one.measured.rmse:.2f} min ({low:.2f} to {high:.2f}) on "
        f"{one.measured.rows:,} trips; 2.50 on the test trips"
    )
    # Of fewer trips than are needed it says nothing, nor without an error to compare with.
    for changed, needed in (
        (reference, one.measured.rows + 1),
        (dataclasses.replace(TESTED, slices={("hour", "25"): 2.5}), 2),
        (dataclasses.replace(TESTED, slices={}), 2),
    ):
        rules = dataclasses.replace(AT_ONCE, slice_rows=needed)
        found = judge_performance(trips, changed, (), THRESHOLDS, rules)[3]
        assert (found.level, found.subject) == (Level.UNKNOWN, "worst slice")
        assert found.note == f"no slice has {needed:,} trips and an error on the test trips"


def test_an_error_of_nothing_is_compared_with_nothing() -> None:
    """A version that was never wrong on its test months has no share that it could be above."""
    trips = window(normal(2_000))
    reference = dataclasses.replace(TESTED, rmse=0.0, mae=0.0)
    found = judge_performance(trips, reference, (), THRESHOLDS, AT_ONCE)
    assert [one.level for one in found[:3]] == [Level.UNKNOWN] * 3
    assert "; 0.00 on the test trips" in found[0].note


def test_just_enough_trips_and_a_bound_that_is_reached() -> None:
    """As many as are needed are enough; a half-tested version is unknown, with its number."""
    trips = window(normal(500))
    assert judge_performance(trips, TESTED, (), THRESHOLDS, AT_ONCE)[0].level is Level.OK
    few = dataclasses.replace(AT_ONCE, rows=1_500)
    found = judge_performance(trips, TESTED, (), THRESHOLDS, few)
    assert [(one.metric, one.subject) for one in found] == [
        (RMSE, "all"),
        (MAE, "all"),
        (BIAS, "all"),
        (SLICE, "worst slice"),
    ]
    assert {one.note for one in found} == {"500 labelled trips, 1,500 are needed"}
    assert all(one.thresholds == THRESHOLDS[one.metric] for one in found)
    for reference in (
        dataclasses.replace(TESTED, rmse=None),
        dataclasses.replace(TESTED, mae=None),
    ):
        found = judge_performance(trips, reference, (), THRESHOLDS, AT_ONCE)
        assert found[0].note == "version 3 has no errors on test trips to compare with"


@pytest.mark.parametrize(
    ("windows", "needed", "past", "level", "reached"),
    [
        (3, 2, [0.3, 0.3], Level.ACT, 3),
        (3, 3, [0.3, 0.3], Level.ACT, 3),
        (3, 3, [0.3, 0.15], Level.WARN, 2),
        (3, 3, [0.3, 0.05], Level.OK, 2),
        (3, 3, [0.3], Level.OK, 2),
        (2, 2, [0.3, 0.0], Level.OK, 1),
        (2, 2, [0.0, 0.1], Level.WARN, 1),
        (4, 2, [0.25, 0.0, 0.0], Level.ACT, 2),
        (1, 1, [], Level.ACT, 1),
    ],
)
def test_so_many_of_the_last_windows(
    windows: int, needed: int, past: list[float], level: Level, reached: int
) -> None:
    """Including the present one; if too few have reached it, the note gives the number."""
    rules = PerformanceRules(windows=windows, needed=needed)
    history = [
        [
            judge_value(MAE, "all", 0.9, THRESHOLDS[MAE]),
            judge_value(RMSE, "all", value, THRESHOLDS[RMSE]),
            judge_value(RMSE, "other", 0.9, THRESHOLDS[RMSE]),
        ]
        for value in past
    ]
    found = judge_performance(window(normal(5_000, 6.0)), TESTED, history, THRESHOLDS, rules)[0]
    assert found.level is level
    told = (
        f"; act in this window; {needed} of the last {windows} are needed, "
        f"{reached} have reached it"
    )
    assert found.note.endswith(told) is (level is not Level.ACT)


def test_thresholds_of_today_judge_windows_of_before() -> None:
    """A window that was a warning by others counts by its value."""
    strict = {**THRESHOLDS, RMSE: Thresholds(0.01, 0.02)}
    history = [[judge_value(RMSE, "all", 0.03, THRESHOLDS[RMSE])]]
    found = judge_performance(window(normal(5_000, 6.0)), TESTED, history, strict)[0]
    assert found.level is Level.ACT


@pytest.mark.parametrize(
    ("bound", "least", "most"),
    [
        ("rows", 2, None),
        ("slice_rows", 2, None),
        ("windows", 1, None),
        ("needed", 1, 3),
        ("confidence", 0.5, 0.999),
    ],
)
def test_each_rule_has_bounds(bound: str, least: float, most: float | None) -> None:
    """Values at a bound are allowed, those beyond are refused by name."""
    step = 0.001 if bound == "confidence" else 1
    changes: dict[str, Any] = {"windows": 3, "needed": 1}
    for right in (least, most if most is not None else 1_000_000):
        assert getattr(PerformanceRules(**{**changes, bound: right}), bound) == right
    for wrong in (least - step, *([most + step] if most is not None else [])):
        with pytest.raises(InvalidInputError, match=f"{SAID.get(bound, bound)} = "):
            PerformanceRules(**{**changes, bound: wrong})


def test_rules_have_bounds() -> None:
    """More windows cannot be needed than are looked at."""
    with pytest.raises(InvalidInputError):
        PerformanceRules(windows=2, needed=3)
    assert build(PerformanceRules, {}) == PerformanceRules()


def _emptied(trips: pd.DataFrame) -> pd.DataFrame:
    times = pd.Series(pd.NaT, index=trips.index, dtype="datetime64[us]")
    return (trips.drop(columns=PICKUP_TIME) * np.nan).assign(**{PICKUP_TIME: times})
