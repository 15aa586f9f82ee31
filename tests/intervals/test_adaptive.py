"""Corrections by closed days: coverage comes back after a shift, and nonsense moves little."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from model_loop.intervals.adaptive import (
    NO_CORRECTION,
    ClosedDay,
    Correction,
    CorrectionRules,
    corrected,
)
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scores import Numbers, scores_of
from model_loop.objects.documents import record_of
from model_loop.objects.tree import to_tree

LEVEL, ROWS = 90.0, 500
Draw = Callable[[np.random.Generator, int], tuple[Numbers, Numbers]]


def as_before(random: np.random.Generator, rows: int) -> tuple[Numbers, Numbers]:
    """Draw true values and predictions like those of calibration."""
    predicted = random.lognormal(2.5, 0.6, rows)
    return predicted * np.exp(random.normal(0, 0.3, rows)), predicted


def slower(random: np.random.Generator, rows: int) -> tuple[Numbers, Numbers]:
    """Draw rows whose true values are half as large again."""
    actual, predicted = as_before(random, rows)
    return actual * 1.5, predicted


def noisier(random: np.random.Generator, rows: int) -> tuple[Numbers, Numbers]:
    """Draw rows with twice the noise."""
    predicted = random.lognormal(2.5, 0.6, rows)
    return predicted * np.exp(random.normal(0, 0.6, rows)), predicted


@pytest.fixture(scope="module")
def intervals() -> Intervals:
    """Intervals of rows before any shift."""
    actual, predicted = as_before(np.random.default_rng(0), 20_000)
    return calibrate(Residuals("validation", actual, predicted, (), ""))


def live(
    intervals: Intervals, draw: Draw, days: int, rules: CorrectionRules, *, seed: int = 1
) -> tuple[list[float], Correction]:
    """Answer day after day, each by the correction of those before; return the coverage of each."""
    random, state, covered = np.random.default_rng(seed), NO_CORRECTION, []
    for number in range(days):
        actual, predicted = draw(random, ROWS)
        low, high = intervals.at(LEVEL, state).limits_of(predicted)
        below, above = float(np.mean(actual < low)), float(np.mean(actual > high))
        covered.append(1 - below - above)
        scores = scores_of(actual, predicted, intervals.shape, intervals.floor or 0.0)
        day = f"2024-03-{number + 1:02d}"
        closed = ClosedDay(day, ROWS, float(np.median(scores)), below, above)
        state = corrected(state, closed, rules)
    return covered, state


@pytest.mark.parametrize("draw", [slower, noisier])
def test_coverage_comes_back_within_days(intervals: Intervals, draw: Draw) -> None:
    """After a shift of place or of noise the level is reached; without correction it is not."""
    covered, _ = live(intervals, draw, 28, CorrectionRules())
    without, _ = live(intervals, draw, 28, CorrectionRules(step=0.0, bias_step=0.0))
    assert np.mean(without[7:]) < 0.8
    assert covered[0] == without[0]
    assert np.mean(covered[10:]) == pytest.approx(0.9, abs=0.025)


def test_days_like_those_before_are_left_alone(intervals: Intervals) -> None:
    """Without a shift the level stays, and limits hardly move."""
    covered, state = live(intervals, as_before, 28, CorrectionRules())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)
    assert abs(state.bias) < 0.03
    assert 0.6 < state.lower < 1.5
    assert 0.6 < state.upper < 1.5


def test_a_day_comes_once_and_in_order() -> None:
    """Reading a day again, or an earlier one, changes nothing: runs are repeated."""
    first = corrected(NO_CORRECTION, ClosedDay("2024-03-02", 100, 0.2, 0.0, 0.3), CorrectionRules())
    assert first.version == 1
    assert first.day == "2024-03-02"
    for day in ("2024-03-02", "2024-03-01"):
        assert corrected(first, ClosedDay(day, 100, 9.0, 0.5, 0.5), CorrectionRules()) == first


def test_a_day_of_few_rows_says_little() -> None:
    """Shares of a handful are noise; those of an empty day are none."""
    few, many, more = (
        corrected(NO_CORRECTION, ClosedDay("2024-03-02", rows, 1.0, 0.5, 0.0), CorrectionRules())
        for rows in (10, 100, 1_000)
    )
    assert many == more
    assert few.bias == pytest.approx(many.bias / 10)
    assert 1 > few.lower > many.lower
    assert 1 < few.upper < many.upper
    empty = ClosedDay("2024-03-02", 0, float("nan"), float("nan"), float("nan"))
    assert corrected(NO_CORRECTION, empty, CorrectionRules()) == NO_CORRECTION


def test_nonsense_moves_limits_within_bounds() -> None:
    """A feed that breaks for a month neither closes an interval nor moves it without end."""
    rules = CorrectionRules(most_bias=0.5)
    state = NO_CORRECTION
    for number in range(30):
        closed = ClosedDay(f"2024-03-{number + 1:02d}", 100, 100.0, 0.0, 1.0)
        state = corrected(state, closed, rules)
    assert state.bias == 0.5
    assert state.upper == rules.smallest
    assert state.lower == rules.largest


def test_a_side_that_is_missed_gets_a_smaller_tail(intervals: Intervals) -> None:
    """Each side moves by its own misses."""
    closed = ClosedDay("2024-03-02", 100, 0.0, 0.05, 0.2)
    state = corrected(NO_CORRECTION, closed, CorrectionRules())
    assert state.lower == 1.0
    assert state.upper < 1.0
    moved = dataclasses.replace(state, upper=0.5)
    (low, high), (same, wider) = (
        intervals.at(LEVEL, one).limits(10.0) for one in (NO_CORRECTION, moved)
    )
    assert low == same
    assert high < wider
    assert intervals.at(LEVEL, moved).limits(10.0)[1] == intervals.at(95.0).limits(10.0)[1]


def test_limits_go_on_beyond_the_grid(intervals: Intervals) -> None:
    """A tail that no order statistic stands for has a limit further out, with few rows none."""
    tails = (1.0, 0.1, 0.09, 0.05, 0.01, 0.001)
    limits = [intervals.at(90.0, Correction(upper=tail)).limits(10.0)[1] for tail in tails]
    assert (np.diff(limits) > 0).all()
    assert limits[2] < 1.1 * limits[1]
    lower = [intervals.at(90.0, Correction(lower=tail)).limits(10.0)[0] for tail in tails]
    assert (np.diff(lower) < 0).all()
    actual, predicted = as_before(np.random.default_rng(0), 60)
    few = calibrate(Residuals("validation", actual, predicted, (), ""))
    assert few.at(90.0, Correction(upper=0.05)).limits(10.0)[1] == np.inf


def test_a_bias_moves_limits_and_chances(intervals: Intervals) -> None:
    """Both by the same score."""
    moved = intervals.at(LEVEL, Correction(bias=0.2)).limits(10.0)
    assert moved == pytest.approx(np.exp(0.2) * np.array(intervals.at(LEVEL).limits(10.0)))
    before = intervals.exceedance(10.0, None, 12.0)
    assert intervals.exceedance(10.0, None, 12.0 * np.exp(0.2), bias=0.2) == before


def test_a_correction_is_data() -> None:
    """It is stored by its format."""
    state = Correction(0.1, 0.5, 1.5, 3, "2024-03-02")
    assert record_of(Correction, json.loads(json.dumps(to_tree(state)[0]))) == state
