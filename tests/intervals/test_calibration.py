"""Limits of intervals, held against two libraries of conformal prediction and their theory."""

from __future__ import annotations

import json

import crepes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.conformity_scores import AbsoluteConformityScore
from mapie.regression import SplitConformalRegressor
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from model_loop.errors import InvalidInputError
from model_loop.intervals import calibration
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import calibrate, order_statistics, weights_by_age
from model_loop.intervals.grid import STEPS
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals, digest_of
from model_loop.intervals.scores import Numbers, shape_of
from model_loop.objects.documents import record_of
from model_loop.objects.tree import to_tree

HOUR, DAY = 3_600.0, 86_400.0
#: Scores are stored to a thousandth of half of their spread.
CLOSE = 2e-3


def residuals(
    actual: Numbers, predicted: Numbers, times: Numbers | None = None, part: str = "validation"
) -> Residuals:
    """Make residuals of a model that has learned from other rows."""
    return Residuals(part, actual, predicted, ("a",), "b", times)


def symmetric(rows: int, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Draw targets of both signs with their predictions."""
    random = np.random.default_rng(seed)
    predicted = random.normal(0, 10, rows)
    return predicted + random.standard_t(3, rows), predicted


def positive(rows: int, seed: int = 0, noise: float = 0.3) -> tuple[Numbers, Numbers]:
    """Draw positive, heavy-tailed targets with their predictions."""
    random = np.random.default_rng(seed)
    predicted = random.lognormal(2.5, 0.7, rows)
    return predicted * np.exp(random.normal(0, noise, rows)), predicted


class Prefit(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A model that predicts its only column."""

    def fit(self, X: Numbers, y: Numbers) -> Prefit:  # noqa: ARG002 - scikit-learn's
        """Learn nothing."""
        self.fitted_ = True
        return self

    def predict(self, X: Numbers) -> Numbers:
        """Return the column."""
        return X[:, 0]


@pytest.mark.parametrize("rows", [200, 250, 333])
@pytest.mark.parametrize("level", [50.0, 80.0, 90.0, 95.0, 99.0])
def test_limits_are_those_of_mapie(rows: int, level: float) -> None:
    """Without bins and weights, the limits are those of split conformal prediction."""
    actual, predicted = symmetric(rows)
    scored = AbsoluteConformityScore(sym=False)
    oracle = SplitConformalRegressor(
        Prefit().fit(predicted[:, None], actual), level / 100, conformity_score=scored
    )
    oracle.conformalize(predicted[:, None], actual)
    asked = np.array([-3.0, 0.0, 12.0])
    _, limits = oracle.predict_interval(asked[:, None])
    low, high = calibrate(residuals(actual, predicted)).at(level).limits_of(asked)
    np.testing.assert_allclose(low, limits[:, 0, 0], atol=CLOSE)
    np.testing.assert_allclose(high, limits[:, 1, 0], atol=CLOSE)


@pytest.mark.parametrize("level", [50.0, 80.0, 90.0, 95.0, 99.0])
def test_limits_of_bins_are_those_of_crepes(level: float) -> None:
    """In each bin of the prediction, the limits are those of a Mondrian conformal predictor."""
    actual, predicted = symmetric(4_000)
    intervals = calibrate(residuals(actual, predicted))
    assert len(intervals.edges) == calibration.BINS - 1
    bins = np.searchsorted(intervals.edges, predicted, side="right")
    oracle = crepes.ConformalPredictiveSystem().fit(actual - predicted, bins=bins)
    asked = np.linspace(-20, 20, 41)
    limits = oracle.predict_int(
        asked,
        bins=np.searchsorted(intervals.edges, asked, side="right"),
        confidence=level / 100,
    )
    low, high = intervals.at(level).limits_of(asked)
    np.testing.assert_allclose(low, limits[:, 0], atol=CLOSE)
    np.testing.assert_allclose(high, limits[:, 1], atol=CLOSE)


@given(
    scores=st.lists(st.integers(-20, 20), min_size=1, max_size=60),
    step=st.integers(1, STEPS - 1),
)
def test_order_statistics_correct_for_the_number_of_rows(scores: list[int], step: int) -> None:
    """A rank is that of n + 1 values, ties or not; beyond all of them lies the infinite."""
    rows = len(scores)
    found = order_statistics(np.array(scores, dtype=np.float64), np.ones(rows))[step - 1]
    ranked = [-np.inf, *sorted(scores), np.inf]
    exact = step * (rows + 1)
    rank = exact // STEPS if step < STEPS // 2 else -(-exact // STEPS)
    assert found == ranked[rank]


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=40))
def test_a_weight_of_a_row_counts_as_so_many_rows(rows: list[tuple[int, int]]) -> None:
    """Weighted order statistics are those of rows that are repeated, but for the new row's."""
    scores, weights = (np.array(values, dtype=np.float64) for values in zip(*rows, strict=True))
    repeated = np.repeat(scores, weights.astype(int))
    np.testing.assert_array_equal(
        order_statistics(scores, weights), order_statistics(repeated, np.ones(len(repeated)))
    )


def test_weights_fall_by_half_in_a_half_life() -> None:
    """A row of the last day weighs 1, whatever its hour; one of a half-life before, a half."""
    times = np.array([0.0, 7 * DAY + HOUR, 14 * DAY, 14 * DAY + 23 * HOUR])
    np.testing.assert_allclose(weights_by_age(times, 7.0, 4), [0.25, 0.5, 1, 1])
    np.testing.assert_array_equal(weights_by_age(times, None, 4), 1)


@pytest.mark.parametrize("make", [symmetric, positive])
@pytest.mark.parametrize("level", [80.0, 90.0])
def test_exchangeable_rows_are_covered(make: object, level: float) -> None:
    """Of rows like those of calibration, the level is covered, in all and in each bin.

    The bounds are those of a share: binomial for the new rows, and as much again for those of
    calibration.
    """
    actual, predicted = make(40_000)  # type: ignore[operator]  # one of two
    half = len(actual) // 2
    intervals = calibrate(residuals(actual[:half], predicted[:half]))
    low, high = intervals.at(level).limits_of(predicted[half:])
    inside = (actual[half:] >= low) & (actual[half:] <= high)
    bins = np.searchsorted(intervals.edges, predicted[half:], side="right")
    for rows in (np.ones(half, dtype=bool), *(bins == number for number in np.unique(bins))):
        spread = 4 * np.sqrt(2 * level / 100 * (1 - level / 100) / rows.sum())
        assert abs(inside[rows].mean() - level / 100) < spread


def test_coverage_holds_on_average_over_small_calibrations() -> None:
    """Corrected for few rows, coverage is not below the level; otherwise it would be."""
    covered = []
    for seed in range(400):
        actual, predicted = symmetric(59, seed)
        band = calibrate(residuals(actual[:39], predicted[:39])).at(90.0)
        low, high = band.limits_of(predicted[39:])
        covered.append(np.mean((actual[39:] >= low) & (actual[39:] <= high)))
    error = stats.sem(covered)
    assert 0.9 - 3 * error < np.mean(covered) < 0.9 + 2 / 40 + 3 * error


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 900),
    heavy=st.booleans(),
    seed=st.integers(0, 1_000),
    levels=st.tuples(st.floats(50, 99), st.floats(50, 99)),
)
def test_higher_levels_hold_lower_ones(
    *, rows: int, heavy: bool, seed: int, levels: tuple[float, float]
) -> None:
    """Intervals are nested, so that no caller sees a wider one of a lower level."""
    actual, predicted = (positive if heavy else symmetric)(rows, seed)
    intervals = calibrate(residuals(actual, predicted))
    narrow, wide = (intervals.at(level).limits_of(predicted) for level in sorted(levels))
    assert (wide[0] <= narrow[0]).all()
    assert (narrow[1] <= wide[1]).all()
    assert (narrow[0] <= narrow[1]).all()


def test_a_level_takes_the_next_outer_step() -> None:
    """Between two steps of the grid the wider interval is given."""
    intervals = calibrate(residuals(*symmetric(1_000)))
    assert intervals.at(90.3).limits(1.0) == intervals.at(91.0).limits(1.0)
    assert intervals.at(90.0).limits(1.0) != intervals.at(91.0).limits(1.0)


@pytest.mark.parametrize("level", [49.9, 99.1, 0.9, float("nan")])
def test_a_level_out_of_bounds_is_refused(level: float) -> None:
    """A level is a percentage from 50 to 99."""
    intervals = calibrate(residuals(*symmetric(300)))
    with pytest.raises(InvalidInputError, match="is not a number from 50 to 99"):
        intervals.at(level)


def test_few_rows_have_no_limit_at_high_levels() -> None:
    """Where no order statistic stands for a level, the limit is infinite, not the largest score."""
    actual, predicted = symmetric(39)
    intervals = calibrate(residuals(actual, predicted))
    assert np.isfinite(intervals.at(95.0).limits(0.0)).all()
    assert intervals.at(96.0).limits(0.0) == (-np.inf, np.inf)
    oracle = crepes.ConformalPredictiveSystem().fit(actual - predicted)
    with pytest.warns(UserWarning, match="too small"):
        limits = oracle.predict_int(np.array([0.0]), confidence=0.96)
    assert limits.tolist() == [[-np.inf, np.inf]]


def test_a_row_and_an_array_have_the_same_limits() -> None:
    """One row is answered without NumPy, by the same numbers."""
    actual, predicted = positive(6_000)
    times = np.random.default_rng(3).uniform(0, 28 * DAY, 6_000)
    intervals = calibrate(residuals(actual, predicted, times), by_hour=True, half_life=30.0)
    band, asked = intervals.at(90.0), np.array([-1.0, 0.5, 8.0, 12.0, 500.0])
    moments = np.array([0.0, 5 * HOUR, 17.5 * HOUR, np.nan, 23 * HOUR])
    low, high = band.limits_of(asked, moments)
    hours = [None if np.isnan(time) else int(time // HOUR) for time in moments]
    for number, (value, hour) in enumerate(zip(asked.tolist(), hours, strict=True)):
        np.testing.assert_allclose(band.limits(value, hour), (low[number], high[number]))


def noisy_at_night(rows: int, seed: int = 0) -> tuple[Numbers, Numbers, Numbers]:
    """Draw rows of four weeks that are three times as noisy from midnight to 6."""
    random = np.random.default_rng(seed)
    times = random.uniform(0, 28 * DAY, rows)
    night = times % DAY < 6 * HOUR
    predicted = random.normal(0, 10, rows)
    return predicted + random.normal(0, np.where(night, 3.0, 1.0)), predicted, times


def test_hours_of_like_noise_have_their_own_limits() -> None:
    """Each group of hours is covered; with one limit for all, the noisy ones are not."""
    actual, predicted, times = noisy_at_night(20_000)
    known = residuals(actual[:10_000], predicted[:10_000], times[:10_000])
    night = times[10_000:] % DAY < 6 * HOUR
    covered = {}
    for by_hour in (True, False):
        band = calibrate(known, by_hour=by_hour).at(90.0)
        low, high = band.limits_of(predicted[10_000:], times[10_000:])
        inside = (actual[10_000:] >= low) & (actual[10_000:] <= high)
        covered[by_hour] = inside[night].mean()
    assert covered[True] == pytest.approx(0.9, abs=0.02)
    assert covered[False] < 0.8


def test_hours_alike_are_not_grouped() -> None:
    """Noise of estimates makes no groups: rows would be spent on nothing."""
    actual, predicted = symmetric(20_000)
    times = np.random.default_rng(1).uniform(0, 28 * DAY, 20_000)
    assert calibrate(residuals(actual, predicted, times), by_hour=True).groups == ()


def test_a_row_without_time_has_the_limits_of_its_whole_bin() -> None:
    """They lie between those of calm and of noisy hours."""
    intervals = calibrate(residuals(*noisy_at_night(20_000)), by_hour=True)
    band = intervals.at(90.0)
    (calm, none, noisy) = (band.limits(0.0, hour)[1] for hour in (12, None, 3))
    assert calm < none < noisy


def test_cells_of_few_rows_have_the_limits_of_their_parent() -> None:
    """A group of hours with less rows than the grid has steps answers as its bin does."""
    actual, predicted, times = noisy_at_night(20_000)
    scarce = (times % DAY < 6 * HOUR) & (predicted < 0) & (np.arange(20_000) % 20 > 0)
    known = residuals(actual[~scarce], predicted[~scarce], times[~scarce])
    band = calibrate(known, by_hour=True).at(90.0)
    assert band.limits(10.0, 3) != band.limits(10.0, None)
    assert band.limits(-10.0, 3) == band.limits(-10.0, None)


def test_shapes_follow_the_target() -> None:
    """A ratio is for positive targets with a heavy upper tail alone."""
    heavy, _ = positive(2_000)
    assert shape_of(heavy) == "log ratio"
    assert shape_of(heavy - heavy.min()) == "difference"
    assert shape_of(-heavy) == "difference"
    assert shape_of(symmetric(2_000)[0] + 1_000) == "difference"
    assert shape_of(np.ones(30)) == "difference"


def test_predictions_of_nothing_have_limits_of_a_small_one() -> None:
    """A ratio to zero or less says nothing: such a prediction is raised to a small one."""
    intervals = calibrate(residuals(*positive(2_000)))
    band = intervals.at(90.0)
    assert band.limits(-5.0) == band.limits(0.0) == band.limits(intervals.floor or 0.0)
    assert 0 < band.limits(-5.0)[0] < band.limits(-5.0)[1]


def test_limits_end_at_the_bounds_of_the_target() -> None:
    """A number of rentals is not negative."""
    actual, predicted = symmetric(2_000)
    band = calibrate(residuals(actual, predicted), lowest=0.0, highest=15.0).at(90.0)
    low, high = band.limits(0.5)
    assert low == 0.0
    assert 0 < high < 15
    assert band.limits(15.0)[1] == 15.0
    assert band.limits_of(np.array([0.5]))[0].tolist() == [0.0]


def test_ties_and_constant_scores_are_covered() -> None:
    """A model that is exact has an interval of no width, which holds."""
    predicted = np.arange(300.0) - 150
    assert calibrate(residuals(predicted, predicted)).at(90.0).limits(7.0) == (7.0, 7.0)


@pytest.mark.parametrize("make", [symmetric, positive])
@pytest.mark.parametrize("rows", [60, 3_000])
def test_the_chance_of_more_is_bounded_from_both_sides(make: object, rows: int) -> None:
    """The true share of rows above a threshold lies between the bounds, which are close."""
    actual, predicted = make(rows)  # type: ignore[operator]  # one of two
    intervals = calibrate(residuals(actual, predicted))
    low, _ = intervals.at(50.0).limits(9.0)
    bounds = [
        intervals.exceedance(9.0, None, threshold)
        for threshold in (-1e9, low, *np.linspace(low, low + 9, 30), 1e9)
    ]
    inside = np.searchsorted(intervals.edges, predicted, side="right") == np.searchsorted(
        intervals.edges, 9.0, side="right"
    )
    ratio = intervals.shape == "log ratio"
    values = (actual / predicted * 9.0 if ratio else actual - predicted + 9.0)[inside]
    for threshold, found in zip(
        (-1e9, low, *np.linspace(low, low + 9, 30), 1e9), bounds, strict=True
    ):
        share = float(np.mean(values > threshold))
        count = len(values)
        assert found.at_least <= (share * count + 1) / (count + 1) + 1e-9
        assert found.at_most >= share * count / (count + 1) - 1e-9
        assert 0 <= found.at_least <= found.at_most <= min(found.at_least + 0.05, 1)
    assert bounds == sorted(bounds, key=lambda one: -one.at_most)
    assert bounds[0].at_most == 1.0
    assert bounds[-1].at_least == 0.0


def test_a_limit_and_its_chance_agree() -> None:
    """Above the upper limit of 90 % lie at most 5 %, above the lower one at least 95 %."""
    intervals = calibrate(residuals(*positive(5_000)))
    low, high = intervals.at(90.0).limits(10.0)
    assert intervals.exceedance(10.0, None, high).at_most <= 0.05 + 1e-9
    assert intervals.exceedance(10.0, None, low * (1 - 1e-9)).at_least >= 0.95 - 1e-9


def test_what_is_stored_is_small_and_comes_back() -> None:
    """Intervals are JSON of a few kilobytes, whatever the number of rows."""
    actual, predicted, times = noisy_at_night(30_000)
    intervals = calibrate(residuals(actual, predicted, times), by_hour=True, half_life=30.0)
    tree, further = to_tree(intervals)
    text = json.dumps(tree, separators=(",", ":"))
    assert not further
    assert len(text) < 20_000
    found = record_of(Intervals, json.loads(text))
    assert found == intervals
    assert found.at(95.0).limits(1.0, 3) == intervals.at(95.0).limits(1.0, 3)
    assert found.days == ("1970-01-01", "1970-01-28")


@pytest.mark.parametrize("part", ["train", "test", "validation "])
def test_other_parts_cannot_calibrate(part: str) -> None:
    """Rows that are learned from, or that the gate judges by, are refused by name."""
    actual, predicted = symmetric(40)
    with pytest.raises(InvalidInputError, match=f"the part '{part}'.*may calibrate"):
        residuals(actual, predicted, part=part)


def test_rows_that_were_learned_from_cannot_calibrate() -> None:
    """Whatever they are called: their digest is that of rows that the model knows."""
    actual, predicted = symmetric(40)
    with pytest.raises(InvalidInputError, match="has learned from"):
        Residuals("calibration", actual, predicted, (digest_of(actual),), "")


def test_rows_that_judge_cannot_calibrate() -> None:
    """Neither can those of the gate, by their digest."""
    actual, predicted = symmetric(40)
    with pytest.raises(InvalidInputError, match="may calibrate"):
        Residuals("validation", actual, predicted, (), digest_of(actual))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_no_numbers_cannot_calibrate(value: float) -> None:
    """A prediction that is not finite has no score."""
    with pytest.raises(InvalidInputError, match="not finite"):
        residuals(np.array([1.0, 2.0]), np.array([1.0, value]))


def test_a_shift_breaks_coverage() -> None:
    """Intervals hold for rows like those of calibration; later ones that differ are missed."""
    actual, predicted = positive(20_000)
    band = calibrate(residuals(actual[:10_000], predicted[:10_000])).at(90.0)
    low, high = band.limits_of(predicted[10_000:])
    same = measure_intervals(low, high, actual[10_000:], 90.0)
    slower = measure_intervals(low, high, actual[10_000:] * 1.3, 90.0)
    assert same.coverage == pytest.approx(0.9, abs=0.01)
    assert slower.coverage < 0.8
    assert slower.above > 4 * slower.below
    assert slower.score > same.score


def test_weights_by_age_follow_noise_that_grows() -> None:
    """Where errors grow from day to day, later rows are covered better by weighted days."""
    random = np.random.default_rng(5)
    times = np.sort(random.uniform(0, 70 * DAY, 70_000))
    predicted = random.normal(0, 10, 70_000)
    actual = predicted + random.normal(0, 1 + times / DAY / 20)
    before = times < 60 * DAY
    known = residuals(actual[before], predicted[before], times[before])
    covered = {}
    for half_life in (None, 3.0):
        low, high = calibrate(known, half_life=half_life).at(90.0).limits_of(predicted[~before])
        covered[half_life] = measure_intervals(low, high, actual[~before], 90.0).coverage
    assert covered[None] < 0.75
    assert 0.85 < covered[3.0] < 0.91


def test_days_that_are_off_as_a_whole_widen_the_bounds() -> None:
    """Rows of a day miss together: coverage of a day varies far more than a binomial share.

    So coverage is judged by days; on the mean over many of them the level holds.
    """
    random = np.random.default_rng(6)
    days, rows = 400, 200
    times = np.repeat(np.arange(days) * DAY, rows)
    predicted = random.normal(0, 10, days * rows)
    actual = (
        predicted + np.repeat(random.normal(0, 1, days), rows) + random.normal(0, 1, days * rows)
    )
    half = days * rows // 2
    band = calibrate(residuals(actual[:half], predicted[:half], times[:half])).at(90.0)
    low, high = band.limits_of(predicted[half:])
    of_day = ((actual[half:] >= low) & (actual[half:] <= high)).reshape(-1, rows).mean(axis=1)
    assert of_day.std() > 3 * np.sqrt(0.9 * 0.1 / rows)
    assert abs(of_day.mean() - 0.9) < 4 * np.sqrt(2) * of_day.std() / np.sqrt(days / 2)
