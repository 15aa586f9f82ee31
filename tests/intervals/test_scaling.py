"""Sizes of errors: learned from other days, kept where they make intervals sharper, as data."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals, part_of
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.intervals.scaling import (
    CalibrationSettings,
    ScaledKind,
    ScaleGains,
    calibrate_scaled,
    learn_scale,
    scale_gains,
    sharper_intervals,
)
from model_loop.objects.documents import record_of
from model_loop.objects.tree import to_tree

ROWS, DAYS = 8_000, 40
KINDS: dict[str, ScaledKind] = {"place": "category", "way": "number", "noise": "number"}
SETTINGS = CalibrationSettings(by_hour=True)


def drawn(seed: int = 0, *, differ: float = 2.0) -> tuple[Residuals, pd.DataFrame]:
    """Rows whose errors are larger in one place, and by night, and grow with the way."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "place": random.choice(["near", "far"], ROWS),
            "way": random.uniform(0, 2, ROWS),
            "noise": random.normal(0, 1, ROWS),
        }
    )
    rows.loc[::50, "way"] = np.nan
    times = np.sort(random.uniform(0, DAYS * SECONDS_PER_DAY, ROWS))
    night = times % SECONDS_PER_DAY < SECONDS_PER_DAY / 4
    sizes = np.where(rows.place == "far", differ, 1.0) * np.where(night, differ, 1.0)
    sizes *= differ ** rows.way.fillna(0.0).to_numpy()
    predicted = random.normal(0, 10, ROWS)
    actual = predicted + sizes * random.normal(0, 1, ROWS)
    return Residuals("validation", actual, predicted, ("a",), "b", times), rows


def limits(intervals: Intervals, known: Residuals, rows: pd.DataFrame) -> tuple[float, float]:
    """Return coverage and interval score at 90 %."""
    sizes = intervals.sizes(known.predicted, known.times, rows)
    found = intervals.at(90.0).limits_of(known.predicted, known.times, sizes)
    held = measure_intervals(*found, known.actual, 90.0)
    return held.coverage, held.score


@pytest.fixture(scope="module")
def scaled() -> Intervals:
    """Intervals of rows whose errors differ."""
    found = sharper_intervals(*drawn(), KINDS, SETTINGS)
    assert found is not None
    return found


def test_sizes_that_differ_make_intervals_sharper(scaled: Intervals) -> None:
    """Later rows of each place are covered, and the interval score is better by far."""
    known, rows = drawn(1)
    plain = SETTINGS.calibrate(drawn()[0])
    coverage, score = limits(scaled, known, rows)
    assert coverage == pytest.approx(0.9, abs=0.015)
    assert score < 0.8 * limits(plain, known, rows)[1]
    for place in ("near", "far"):
        there = (rows.place == place).to_numpy()
        assert limits(scaled, part_of(known, there), rows[there])[0] == pytest.approx(0.9, abs=0.02)


def test_what_explains_nothing_has_no_factors(scaled: Intervals) -> None:
    """The features that matter have: place, way, hour; noise and weekday have none."""
    assert scaled.scale is not None
    assert {bins.column or bins.feature for bins in scaled.scale.bins} == {"place", "way", "hour"}


def test_sizes_that_do_not_differ_are_not_kept() -> None:
    """Nothing explains them; so do too few days, and rows without a time."""
    known, rows = drawn(differ=1.0)
    assert sharper_intervals(known, rows, KINDS, SETTINGS) is None
    known, rows = drawn()
    assert scale_gains(known, rows, KINDS, SETTINGS).kept
    assert known.times is not None
    early = known.times < 20 * SECONDS_PER_DAY
    assert not scale_gains(part_of(known, early), rows[early], KINDS, SETTINGS).kept
    timeless = dataclasses.replace(known, times=None)
    assert sharper_intervals(timeless, rows, KINDS, SETTINGS) is None


def test_a_gain_in_one_half_of_the_days_is_not_enough() -> None:
    """Both halves have to be better by three in a hundred; untried ones are not."""
    assert ScaleGains((0.03, 0.05)).kept
    assert not ScaleGains((0.05, 0.029)).kept
    assert not ScaleGains((0.029, 0.05)).kept
    assert not ScaleGains().kept


def test_no_row_calibrates_by_a_size_that_was_learned_from_it() -> None:
    """A place of one bad day: other days know no size of it, so that it widens all limits."""
    known, rows = drawn()
    assert known.times is not None
    rows = rows.copy()
    bad = (known.times // SECONDS_PER_DAY == 6) | (known.times // SECONDS_PER_DAY == 11)
    bad |= known.times // SECONDS_PER_DAY == 16
    rows.loc[bad, "place"] = "bad"
    away = np.where(bad, 60 * (known.actual - known.predicted), known.actual - known.predicted)
    known = dataclasses.replace(known, actual=known.predicted + away)
    found = calibrate_scaled(known, rows, {"place": "category"}, CalibrationSettings())
    assert found is not None
    scale = learn_scale(known, rows, {"place": "category"}, by_hour=False)
    assert scale is not None
    assert found.scale == scale
    in_sample = known.predicted + away / scale.sizes(known.predicted, known.times, rows)
    as_learned = SETTINGS.calibrate(dataclasses.replace(known, actual=in_sample))
    # Days 6, 11 and 16 are of one fold.
    assert found.spread(94.0) > 3 * as_learned.spread(94.0)


def test_one_row_has_the_size_that_it_has_among_many(scaled: Intervals) -> None:
    """Also with a missing value, and for a place that is unknown."""
    scale = scaled.scale
    assert scale is not None
    rows = pd.DataFrame(
        {
            "place": ["near", "far", "elsewhere", np.nan, "far"],
            "way": [0.0, 1.5, math.nan, 1e9, -1e9],
            "noise": [0.0, math.nan, 1.0, 1.0, 1.0],
        }
    )
    predictions = np.array([1.0, math.nan, -1e6, 1e6, 3.0])
    times = np.array([0.0, 86_399.5, math.nan, -1e9, 1.7e9])
    many = scale.sizes(predictions, times, rows)
    one = scale.of_row({"place": 0, "way": 1, "noise": 2})
    for number, cells in enumerate(rows.itertuples(index=False)):
        size = one.size(predictions[number], times[number], cells)
        assert size == pytest.approx(many[number], rel=1e-12)
    assert scale.of_row({"place": 0, "way": 1, "noise": 2}) is one
    without = scale.sizes(predictions, None, rows)
    assert without[2] == many[2]


def test_limits_of_one_row_are_those_among_many(scaled: Intervals) -> None:
    """Of a level, with a correction or without; and the probability to lie above a limit."""
    known, rows = drawn(2)
    assert known.times is not None
    sizes = scaled.sizes(known.predicted, known.times, rows)
    assert sizes is not None
    low, high = scaled.at(90.0).limits_of(known.predicted, known.times, sizes)
    for number in range(50):
        hour = int(known.times[number] % SECONDS_PER_DAY // 3_600)
        asked = (float(known.predicted[number]), hour)
        limit = scaled.at(90.0).limits(*asked, float(sizes[number]))
        assert limit == pytest.approx((low[number], high[number]), rel=1e-12)
        above = scaled.exceedance(*asked, limit[1], size=float(sizes[number]))
        assert above.at_most <= 0.06


def test_ratios_grow_with_their_size() -> None:
    """Limits of a positive target are powers of a factor; those of huge sizes are infinite."""
    bins, factors = (ScaleBins("number", "way", edges=(1.0,)),), (ScaleFactors(0, -1, (0, 693, 0)),)
    random = np.random.default_rng(0)
    predicted = random.lognormal(2.5, 0.7, 3_000)
    actual = predicted * np.exp(random.normal(0, 0.3, 3_000))
    plain = CalibrationSettings().calibrate(Residuals("validation", actual, predicted, (), ""))
    scaled = dataclasses.replace(plain, scale=ErrorScale(0.0, bins, factors))
    once, twice = (np.array(scaled.at(90.0).limits(10.0, None, size)) / 10 for size in (1.0, 2.0))
    assert once * 10 == pytest.approx(plain.at(90.0).limits(10.0))
    assert twice == pytest.approx(once**2)
    assert scaled.at(90.0).limits(10.0, None, 1e6) == (0.0, math.inf)


def test_sizes_that_are_left_out_are_an_error(scaled: Intervals) -> None:
    """Limits in sizes of errors would be far too wide or too narrow without them."""
    known, _ = drawn()
    with pytest.raises(TypeError, match="sizes of errors"):
        scaled.at(90.0).limits_of(known.predicted, known.times)
    with pytest.raises(TypeError, match="sizes of errors"):
        scaled.scores(known.actual, known.predicted)


def test_they_are_stored_as_data_and_older_ones_are_read(scaled: Intervals) -> None:
    """As JSON with a format and its number; what has no scale has None."""
    stored = json.loads(json.dumps(to_tree(scaled)[0]))
    assert record_of(Intervals, stored) == scaled
    assert stored["scale"]["format"] == "interval_scale/1"
    assert len(json.dumps(stored)) < 100_000
    del stored["scale"]
    assert record_of(Intervals, stored) == dataclasses.replace(scaled, scale=None)
