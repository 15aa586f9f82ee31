"""Intervals and sets by day: what closed days hold, and the correction that each makes once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import datasets_folder
from model_loop.intervals.adaptive import NO_CORRECTION, Correction
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.measures import measure_intervals
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.models.classification.class_sets import measure_sets, set_scores, sets_at
from model_loop.models.classification.decision import Decision
from model_loop.models.slices import Cut
from model_loop.monitoring.coverage import (
    WatchedIntervals,
    WatchedSets,
    judge_days,
    measure_days,
)
from model_loop.monitoring.interval_days import IntervalDay, days_of, days_to_json
from model_loop.monitoring.levels import Level, Thresholds
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.partitions.keys import labels_delay

START = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
#: Long after all days are closed.
LATER = START + dt.timedelta(days=400)
ROWS, NOISE = 200, 3.0
LIMITS = Thresholds(20.0, 20.0)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """A declared table with a time, and a delay of labels."""
    return dataset_of(read_declaration(datasets_folder() / "bikes.toml"))


@pytest.fixture(scope="module")
def intervals() -> Intervals:
    """Intervals of normal noise."""
    random = np.random.default_rng(1)
    predicted = random.uniform(50, 100, 5_000)
    actual = predicted + random.normal(0, NOISE, 5_000)
    return calibrate(Residuals("validation", actual, predicted, (), ""))


def labelled(
    dataset: Dataset,
    shift: np.ndarray,
    noise: float = NOISE,
    start: dt.datetime = START,
) -> WindowRows:
    """Rows of successive days whose true values have moved by so much, each day at all hours."""
    assert dataset.time is not None
    random, count = np.random.default_rng(3), ROWS * len(shift)
    predicted = random.uniform(50, 100, count)
    day = np.repeat(np.arange(len(shift)), ROWS)
    hours = pd.to_timedelta(day * 24 + random.integers(0, 24, count), unit="h")
    times = (pd.Timestamp("2024-03-01") + hours).astype("datetime64[us]")
    return WindowRows(
        window=Window("bikes", start, START + dt.timedelta(days=len(shift) + 1), "w", dataset),
        source="request_log",
        rows=pd.DataFrame({dataset.time: times, "weathersit": random.choice(["1", "2"], count)}),
        predicted=predicted,
        versions=np.full(count, 3),
        ids=np.arange(count).astype(str).astype(object),
        actual=predicted + shift[day] + random.normal(0, noise, count),
    )


def watched(intervals: Intervals, correction: Correction = NO_CORRECTION) -> WatchedIntervals:
    """Intervals without a widening."""
    return WatchedIntervals(intervals, NO_CORRECTION, correction)


def test_a_day_is_measured_by_the_sizes_of_its_errors(
    dataset: Dataset, intervals: Intervals
) -> None:
    """Limits of rows whose errors are expected to be larger lie further apart; so does the bias."""
    bins = ScaleBins("category", "weathersit", values=("2",))
    scale = ErrorScale(0.0, (bins,), (ScaleFactors(0, -1, (1_000, 0)),))
    scaled = dataclasses.replace(intervals, scale=scale)
    rows = labelled(dataset, np.full(2, 2.0))
    (first, *_), moved = measure_days(rows, watched(scaled), now=LATER)
    part = rows.where(np.arange(len(rows)) < ROWS)
    sizes = np.where(part.rows.weathersit == "2", math.e, 1.0)
    limits = scaled.at(90).limits_of(part.predicted, None, sizes)
    held = measure_intervals(*limits, part.actual, 90)
    assert (first.coverage, first.calibrated) == (held.coverage, held.coverage)
    assert first.width == pytest.approx(held.width)
    plain = measure_days(rows, watched(intervals), now=LATER)[1]
    assert 0 < moved.bias < plain.bias


def test_a_day_is_measured_as_by_hand(dataset: Dataset, intervals: Intervals) -> None:
    """Of the first day by the intervals as they are, in the unit of the target; slices by name."""
    rows = labelled(dataset, np.zeros(3))
    cuts = (Cut("weather", "weathersit", values=("1", "2")),)
    known = dataclasses.replace(watched(intervals), cuts=cuts)
    (first, *_), _ = measure_days(rows, known, now=LATER)
    part = rows.where(np.arange(len(rows)) < ROWS)
    low, high = intervals.at(90).limits_of(part.predicted)
    held = measure_intervals(low, high, part.actual, 90)
    assert (first.day, first.rows) == ("2024-03-01", ROWS)
    assert (first.coverage, first.calibrated, first.score) == (
        held.coverage,
        held.coverage,
        held.score,
    )
    assert (first.below, first.above, first.width) == (held.below, held.above, held.width)
    inside = (low <= part.actual) & (part.actual <= high)
    by_slice = {code: inside[part.rows.weathersit == code].mean() for code in "12"}
    worst = min(by_slice, key=lambda code: by_slice[code])
    assert (first.worst, first.worst_coverage) == (f"weather {worst}", by_slice[worst])
    assert days_of(json.loads(days_to_json([first]))) == [first]
    assert first.metrics["interval_coverage"] == held.coverage
    with pytest.raises(ValueError, match="interval_days/2"):
        days_of({"format": "interval_days/2", "days": []})


def test_corrected_days_come_back_after_a_shift(dataset: Dataset, intervals: Intervals) -> None:
    """As registered they miss ever after; corrected they hold again within days, and it is said."""
    rows = labelled(dataset, np.r_[np.zeros(20), np.full(25, 5.0)])
    days, correction = measure_days(rows, watched(intervals), now=LATER)
    before, after = days[:20], days[25:]
    assert np.mean([day.coverage for day in before]) == pytest.approx(0.9, abs=0.02)
    assert np.mean([day.calibrated for day in after]) < 0.6
    assert np.mean([day.coverage for day in after]) == pytest.approx(0.9, abs=0.03)
    assert correction.bias == pytest.approx(5.0, abs=0.7)
    assert correction.version == len(days) == 45
    assert judge_days(before, LIMITS).level is Level.OK
    finding = judge_days(days, LIMITS)
    assert finding.level is Level.WARN
    assert "suffices since 2024-03-2" in finding.note
    assert f"of the last 7 closed days, up to {days[-1].day}" in finding.note
    assert "correction 45: bias +" in finding.note
    assert judge_days(days, Thresholds(1.0, 2.0)).level is Level.WARN


def of_classes(dataset: Dataset, sureness: np.ndarray) -> WindowRows:
    """Rows of days on which a classifier of three classes is surer than it may be."""
    random, count = np.random.default_rng(5), ROWS * len(sureness)
    true = random.dirichlet([1, 1, 2], count)
    actual = (random.random((count, 1)) > true.cumsum(axis=1)).sum(axis=1).astype(np.float64)
    told = true ** np.repeat(sureness, ROWS)[:, np.newaxis]
    predicted = told / told.sum(axis=1, keepdims=True)
    rows = labelled(dataset, np.zeros(len(sureness)))
    return dataclasses.replace(rows, predicted=predicted, actual=actual)


@pytest.fixture(scope="module")
def decision(dataset: Dataset) -> Decision:
    """Sets that were calibrated while the probabilities held."""
    known = of_classes(dataset, np.ones(5))
    return Decision(("a", "b", "c"), set_scores=set_scores(known.actual, known.predicted))


def test_sets_of_classes_are_corrected_as_intervals_are(
    dataset: Dataset, decision: Decision
) -> None:
    """Their one side is; a classifier that has grown too sure gets larger sets within days."""
    rows = of_classes(dataset, np.r_[np.ones(15), np.full(30, 3.0)])
    days, correction = measure_days(rows, WatchedSets(decision, NO_CORRECTION), now=LATER)
    before, after = days[:15], days[-10:]
    assert np.mean([day.coverage for day in before]) == pytest.approx(0.9, abs=0.02)
    assert np.mean([day.calibrated for day in after]) < 0.85
    assert np.mean([day.coverage for day in after]) == pytest.approx(0.9, abs=0.03)
    assert (correction.version, correction.bias, correction.lower) == (45, 0.0, 1.0)
    assert correction.upper < 0.8
    last = rows.where(rows.days() == rows.days()[-1])
    inside = sets_at(90, decision.set_scores, last.predicted, days[-2].upper)
    held = measure_sets(inside, last.actual)
    assert (days[-1].coverage, days[-1].width) == (held.coverage, held.size)
    assert (days[-1].score, days[-1].below) == (None, 0.0)
    finding = judge_days(days, LIMITS, of_sets=True)
    assert finding.level is Level.WARN
    assert "lie within sets of 90 % as registered" in finding.note


def test_the_correction_of_sets_is_bounded(dataset: Dataset, decision: Decision) -> None:
    """At its bounds sets hold every class, and are never less than those of 80 %."""
    wrong = of_classes(dataset, np.ones(40))
    shuffled = dataclasses.replace(wrong, actual=wrong.predicted.argmin(axis=1).astype(np.float64))
    known = WatchedSets(decision, Correction(upper=0.051, version=1, day="2024-02-29"))
    (first, second, *_), _ = measure_days(shuffled, known, now=LATER)
    assert first.upper == 0.04
    assert (second.coverage, second.width) == (1.0, 3.0)
    assert second.upper > 0.05
    certain = dataclasses.replace(wrong, actual=wrong.predicted.argmax(axis=1).astype(np.float64))
    _, smaller = measure_days(certain, WatchedSets(decision, NO_CORRECTION), now=LATER)
    assert smaller.upper == 2.0


def test_a_day_counts_once(dataset: Dataset, intervals: Intervals) -> None:
    """A retry measures and corrects nothing twice; one that was cut short is ended."""
    rows = labelled(dataset, np.full(6, 5.0))
    days, correction = measure_days(rows, watched(intervals), now=LATER)
    names = [day.day for day in days]
    again = measure_days(rows, watched(intervals, correction), names, now=LATER)
    assert again == ([], correction)
    # The days were stored, and the correction was not.
    assert measure_days(rows, watched(intervals), names, now=LATER) == ([], correction)
    halves = measure_days(
        rows.where(rows.days() < rows.days()[0] + 3), watched(intervals), now=LATER
    )
    rest, whole = measure_days(rows, watched(intervals, halves[1]), names[:3], now=LATER)
    assert [*halves[0], *rest] == days
    assert whole == correction


def test_a_look_by_hand_corrects_nothing(dataset: Dataset, intervals: Intervals) -> None:
    """It measures with the correction that there is."""
    known = watched(intervals, Correction(bias=5.0, version=9, day="2024-02-29"))
    days, correction = measure_days(
        labelled(dataset, np.full(6, 5.0)), known, now=LATER, learns=False
    )
    assert correction == known.correction
    assert {day.correction for day in days} == {9}
    assert np.mean([day.coverage for day in days]) == pytest.approx(0.9, abs=0.03)


def test_only_closed_days_count(dataset: Dataset, intervals: Intervals) -> None:
    """A day has ended on the clocks of the place, and its labels have had their time."""
    rows = labelled(dataset, np.zeros(5))
    assert dataset.time_zone == "America/New_York"
    assert labels_delay(dataset) == dt.timedelta(hours=1)
    closed = dt.datetime(2024, 3, 4, 5 + 1, tzinfo=dt.UTC)
    for now, last in ((closed - dt.timedelta(seconds=1), "2024-03-02"), (closed, "2024-03-03")):
        days, correction = measure_days(rows, watched(intervals), now=now)
        assert days[-1].day == correction.day == last


def test_half_a_day_does_not_count(dataset: Dataset, intervals: Intervals) -> None:
    """The day in whose midst the window begins was measured by the window before."""
    begun = dt.datetime(2024, 3, 1, 17, tzinfo=dt.UTC)
    days, _ = measure_days(
        labelled(dataset, np.zeros(3), start=begun), watched(intervals), now=LATER
    )
    assert [day.day for day in days] == ["2024-03-02", "2024-03-03"]


def test_few_rows_say_nothing(dataset: Dataset, intervals: Intervals) -> None:
    """Ten labelled rows are a day; without one, the finding says what is lacking."""
    rows = labelled(dataset, np.zeros(1))
    for count, days in ((9, 0), (10, 1)):
        some = rows.where(np.arange(len(rows)) < count)
        assert len(measure_days(some, watched(intervals), now=LATER)[0]) == days
    finding = judge_days([], LIMITS)
    assert finding.level is Level.UNKNOWN
    assert finding.note == "no closed day has 10 labelled rows"


def test_a_day_of_nonsense_moves_little(dataset: Dataset, intervals: Intervals) -> None:
    """The bias is bounded by the spread of the intervals, and so is each step."""
    _, correction = measure_days(labelled(dataset, np.array([1e9])), watched(intervals), now=LATER)
    assert correction.bias <= 0.3 * intervals.spread(90) + 1e-9
    some = np.arange(50.0, 60.0)
    few = calibrate(Residuals("validation", some + 1, some, (), ""))
    assert few.spread(90) == np.inf
    _, correction = measure_days(labelled(dataset, np.array([1e9])), watched(few), now=LATER)
    assert correction.bias == 0.0


def test_the_alarm_is_about_intervals_as_the_gate_has_widened_them(
    dataset: Dataset, intervals: Intervals
) -> None:
    """A widening by the gate is not reported every day."""
    rows = labelled(dataset, np.zeros(30), noise=1.6 * NOISE)
    plain, _ = measure_days(rows, watched(intervals), now=LATER)
    wide = Correction(lower=0.15, upper=0.15, version=1)
    known = WatchedIntervals(intervals, wide, wide)
    widened, correction = measure_days(rows, known, now=LATER)
    assert judge_days(plain, LIMITS).level is Level.WARN
    assert judge_days(widened, LIMITS).level is Level.OK
    assert correction.version == 31


def test_days_are_plain_values(tmp_path: Path) -> None:
    """An unknown value is no metric, and null in the file."""
    day = IntervalDay("2024-03-01", 12, 1.0, 0.0, 0.0, 1.0, None, None, "", None, 0.0, 1.0, 1.0, 0)
    file = tmp_path / "days.json"
    file.write_text(days_to_json([day]))
    assert days_of(json.loads(file.read_text())) == [day]
    assert "interval_score" not in day.metrics
    assert "interval_day" not in day.metrics


def test_days_of_a_later_version_are_read() -> None:
    """A field that is not known yet is ignored."""
    day = IntervalDay("2024-01-01", 10, 0.9, 0.05, 0.05, 0.9, None, 1.0, "", None, 0.0, 1.0, 1.0, 1)
    stored = json.loads(days_to_json([day]))
    stored["days"][0]["later"] = 1
    assert days_of(stored) == [day]
