"""Coverage of intervals on months that the model did not know, and of sharper ways.

XGBoost with the settings of `benchmarks.estimate` (trips of green) and `benchmarks.calibration`
(declared tables) is fitted on train alone for the residuals on validation, and on both for the
answers. Its intervals, as every trained model gets them, are measured on later rows: at 80 and
90 %, by six hours of the day, by fifths of the prediction and by the slices by which errors are
shown (the worst of them with 200 rows and more), and with the correction that each closed day
makes (`intervals.adaptive`).

With `sharper`, plain intervals are compared with those in sizes of errors (`intervals.scaling`) by
the interval score at 90 %, whether a version would keep these or not. With `sharper quantiles`
conformalized quantile regression (Romano et al., 2019) is compared as well, which takes many
minutes.

With `alarms`, days are generated, 300 rows each, whose errors share a day effect (of 0.3 of the
deviation of rows) that follows the day before or not. How often a year of daily reading says that
intervals fail which hold, by the evidence of monitoring and by a binomial test of all rows so far;
and after a shift, in how many days it is said, and in how many the corrected intervals cover 88 %
again (medians of 100 runs).

Months come from MODEL_LOOP_TLC_FOLDER; without it, nothing is recorded.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import benchmarks.calibration as tables
import benchmarks.estimate as months
import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost as xgb
from benchmarks.results import record
from scipy import stats

from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import datasets_folder
from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.adaptive import NO_CORRECTION, ClosedDay, CorrectionRules, corrected
from model_loop.intervals.calibrated import Intervals, hours_of
from model_loop.intervals.calibration import calibrate, order_statistics
from model_loop.intervals.evidence import ENOUGH, coverage_evidence
from model_loop.intervals.grid import STEPS, outer_step, tail_of
from model_loop.intervals.measures import IntervalMeasures, measure_intervals
from model_loop.intervals.residuals import Residuals, digest_of
from model_loop.intervals.scaling import calibrate_scaled, scale_gains
from model_loop.intervals.scores import Numbers
from model_loop.models.boosting import BoosterRegressor
from model_loop.models.calibrating import intervals_of, kinds_of, settings_of, sizing_rows
from model_loop.models.slices import slicing_of
from model_loop.training_set.frames import as_numbers
from model_loop.training_set.matrices import Matrix, Targets
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.services import DURATION, PICKUP_TIME
from trip_duration.training_set.request import TrainingSetRequest

LEVEL = 90.0
#: Train, validation and test month, and those that follow.
SPLITS = (
    ("2023-01", "2023-02", "2024-01", ("2024-02", "2024-03", "2024-04")),
    ("2024-01", "2024-02", "2024-03", ("2024-04",)),
)
TABLES = ("bikes", "flights")
#: Rows below which a part of the day or of the predictions says nothing.
LEAST, BANDS, HOURS = 200, 5, 6
Make = Callable[[], BoosterRegressor]


@dataclass(frozen=True)
class Later:
    """Rows that no model knew: as they are, inputs, predictions, true values, times and slices."""

    raw: pd.DataFrame
    inputs: Matrix
    predicted: Numbers
    actual: Numbers
    times: Numbers
    slices: Mapping[str, Any]

    def limits(self, intervals: Intervals, level: float) -> tuple[Numbers, Numbers]:
        """Return the limits of the rows."""
        sizes = intervals.sizes(self.predicted, self.times, self.raw)
        return intervals.at(level).limits_of(self.predicted, self.times, sizes)


@dataclass(frozen=True)
class Fits:
    """A training set with its residuals, and later rows by their name."""

    training_set: TrainingSet
    residuals: Residuals
    later: Mapping[str, Later]

    @functools.cached_property
    def ways(self) -> tuple[Intervals, Intervals, bool]:
        """Plain intervals, those in sizes of errors, and whether a version keeps the latter."""
        training_set = self.training_set
        settings = settings_of(training_set)
        given = sizing_rows(self.residuals, training_set)
        assert given is not None
        known, rows = given
        scaled = calibrate_scaled(known, rows, kinds_of(training_set), settings)
        assert scaled is not None
        kept = scale_gains(known, rows, kinds_of(training_set), settings).kept
        return settings.calibrate(self.residuals), scaled, kept


def main() -> None:
    """Print a table of coverage; with `sharper` of interval scores, with `alarms` of evidence."""
    if "alarms" in sys.argv:
        alarms()
        return
    sharper = "sharper" in sys.argv
    names = SHARPER if sharper else HELD
    print(f"| | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for name, fits in all_fits():
        intervals = intervals_of(fits.residuals, fits.training_set)
        for part, rows in fits.later.items():
            if sharper:
                found = scores(fits, rows)
                record(
                    "intervals sharper", f"{name}: {part}", dict(zip(names, found, strict=False))
                )
            else:
                found = coverage(intervals, rows)
                record("intervals", f"{name}: {part}", dict(zip(names, found, strict=True)))
            print(
                f"| {name}: {part} | {' | '.join(f'{value:.2f}' for value in found)} |", flush=True
            )


def all_fits() -> Iterator[tuple[str, Fits]]:
    """Fit the models of all tables, one after another."""
    with tempfile.TemporaryDirectory() as storage:
        if folder := os.environ.get("MODEL_LOOP_TLC_FOLDER"):
            for *split, later in SPLITS:
                request = TrainingSetRequest(
                    folder, "green", MonthSplit.parse(*split), recipe="rich"
                )
                training_set = build_training_set(request, storage_root=storage)
                trips = {
                    month: months.month_of(folder, month, storage) for month in (split[2], *later)
                }
                yield (
                    f"trips, {split[0]}+{split[1]}",
                    fitted(training_set, trips, DURATION, PICKUP_TIME, booster_of_months),
                )
    for name in TABLES:
        declaration = tables.completed(datasets_folder() / f"{name}.toml")
        for recipe in dataset_of(declaration).recipes:
            training_set = tables.training_set(declaration, recipe, tables.WITHOUT, 1)
            time, rows = training_set.dataset.time, training_set.test_rows
            assert time is not None
            test = {"test": rows}
            target = training_set.target.name
            make = lambda: tables.model(1)  # noqa: E731 - of this seed
            yield f"{name}, {recipe}", fitted(training_set, test, target, time, make)


def booster_of_months() -> BoosterRegressor:
    """The model of months, not fitted."""
    return BoosterRegressor(months.SETTINGS, rounds=months.ROUNDS, random_state=42)


def fitted(
    training_set: TrainingSet,
    later: Mapping[str, pd.DataFrame],
    target: str,
    time: str,
    make: Make,
) -> Fits:
    """Fit on train for the residuals, on train and validation for the later rows."""
    splits, validation = training_set.layout_for("dense"), training_set.validation_target
    tuned = make().fit(splits.train, training_set.train_target)
    final = make().fit(splits.train_validation, training_set.train_validation_target)
    slices = slicing_of(training_set).slices

    def rows_of(rows: pd.DataFrame) -> Later:
        inputs = splits.encoder.transform(rows[list(training_set.recipe.columns)])
        predicted = np.asarray(final.predict(inputs), dtype=np.float64)
        actual, times = rows[target].to_numpy(np.float64), as_numbers(rows[time])
        return Later(rows, inputs, predicted, actual, times, slices(rows))

    residuals = Residuals(
        "validation",
        validation,
        np.asarray(tuned.predict(splits.validation), dtype=np.float64),
        (digest_of(training_set.train_target),),
        digest_of(training_set.test_target),
        training_set.validation_times,
    )
    return Fits(training_set, residuals, {name: rows_of(rows) for name, rows in later.items()})


HELD = (
    "coverage at 80, %",
    "coverage at 90, %",
    "width at 90, in its unit",
    "worst hours at 90, %",
    "worst predictions at 90, %",
    "worst slice at 90, %",
    "first week, %",
    "corrected by day, %",
    "corrected width, in its unit",
)


def coverage(intervals: Intervals, rows: Later) -> tuple[float, ...]:
    """Measure intervals on later rows: by level, by group, and with the correction of each day."""
    held = {level: held_by(intervals, rows, level) for level in (80.0, LEVEL)}
    low, high = rows.limits(intervals, LEVEL)
    inside = (rows.actual >= low) & (rows.actual <= high)
    edges = np.quantile(rows.predicted, np.arange(1, BANDS) / BANDS)
    hours, bands = hours_of(rows.times) // HOURS, np.searchsorted(edges, rows.predicted)
    sliced = min(worst(inside, groups) for groups in rows.slices.values())
    first, live = corrected_by_day(intervals, rows)
    groups = (worst(inside, hours), worst(inside, bands), sliced)
    shares = (held[80.0].coverage, held[LEVEL].coverage, *groups, first.coverage, live.coverage)
    eighty, ninety, *rest = (100 * share for share in shares)
    return (eighty, ninety, held[LEVEL].width, *rest, live.width)


def worst(inside: npt.NDArray[np.bool_], groups: Any) -> float:  # noqa: ANN401 - an array or a categorical
    """Return the least share of rows inside, of the groups that are large enough."""
    table = pd.Series(inside).groupby(np.asarray(groups, dtype=object)).agg(["mean", "size"])
    return float(table["mean"][table["size"] >= LEAST].min())


def held_by(intervals: Intervals, rows: Later, level: float) -> IntervalMeasures:
    """Measure intervals of a level."""
    return measure_intervals(*rows.limits(intervals, level), rows.actual, level)


def corrected_by_day(
    intervals: Intervals, rows: Later
) -> tuple[IntervalMeasures, IntervalMeasures]:
    """Measure intervals that each closed day corrects: in the first week, and after it."""
    state, rules = NO_CORRECTION, CorrectionRules(tail=tail_of(LEVEL))
    days = (rows.times // SECONDS_PER_DAY).astype(np.int64)
    sizes = intervals.sizes(rows.predicted, rows.times, rows.raw)
    scored = intervals.scores(rows.actual, rows.predicted, sizes)
    low, high = np.empty(len(days)), np.empty(len(days))
    for day in np.unique(days):
        of_day = days == day
        band = intervals.at(LEVEL, state)
        low[of_day], high[of_day] = band.limits_of(
            rows.predicted[of_day],
            rows.times[of_day],
            None if sizes is None else sizes[of_day],
        )
        held = measure_intervals(low[of_day], high[of_day], rows.actual[of_day], LEVEL)
        name = str(np.datetime64(int(day), "D"))
        bias = float(np.median(scored[of_day]))
        state = corrected(state, ClosedDay(name, held.rows, bias, held.below, held.above), rules)
    week = days < days.min() + 7
    first, after = (
        measure_intervals(low[part], high[part], rows.actual[part], LEVEL) for part in (week, ~week)
    )
    return first, after


#: Days before the shift and after it, rows of a day, and deviation of day effects.
_BEFORE, _AFTER, _DAY_ROWS, _DAY_EFFECT = 60, 60, 300, 0.3
_YEAR, _RUNS, _BACK = 365, 100, 0.88


def alarms() -> None:
    """Record how often evidence is wrong, and how soon it is right."""
    for follows in (0.0, 0.3, 0.5):
        false = [_false_alarms(seed, follows) for seed in range(_RUNS)]
        found = {
            name: 100 * float(np.mean(shares))
            for name, shares in zip(FALSE_ALARMS, zip(*false, strict=True), strict=True)
        }
        record("intervals alarms", f"days that follow by {follows:g}", found)
        print(follows, found, flush=True)
    for name, (bias, noise) in SHIFTS.items():
        needed = [_days_needed(seed, bias, noise) for seed in range(_RUNS)]
        medians = {
            column: float(np.median(days))
            for column, days in zip(SHIFTED, zip(*needed, strict=True), strict=True)
        }
        record("intervals shift", name, medians)
        print(name, medians, flush=True)


FALSE_ALARMS = ("by evidence of days, %", "by a test of rows, daily, %")
SHIFTED = ("coverage after it, %", "said after, days", "covered again after, days")
#: Bias, and factor of the deviation of errors.
SHIFTS = {
    "errors move by 0.7 deviations": (0.7, 1.0),
    "errors move by 1.5 deviations": (1.5, 1.0),
    "errors are 1.5 times as large": (0.0, 1.5),
    "errors are 2.5 times as large": (0.0, 2.5),
}


def _errors(random: np.random.Generator, days: int, follows: float) -> Numbers:
    """Return errors of rows, shape (days, rows), of variance 1."""
    noise, effect = random.normal(0, 1, days), np.empty(days)
    effect[0] = noise[0]
    for day in range(1, days):
        effect[day] = follows * effect[day - 1] + np.sqrt(1 - follows**2) * noise[day]
    rows = random.normal(0, 1, (days, _DAY_ROWS))
    return np.asarray(_DAY_EFFECT * effect[:, None] + np.sqrt(1 - _DAY_EFFECT**2) * rows)


def _false_alarms(seed: int, follows: float) -> tuple[bool, bool]:
    """Say whether a year of intervals that hold has an alarm: by evidence, and by a test."""
    errors = _errors(np.random.default_rng(seed), _YEAR, follows)
    # The limits between which nine tenths of all rows lie.
    limit = stats.norm.ppf(1 - tail_of(LEVEL))
    inside = np.abs(errors) <= limit
    evidence = coverage_evidence(inside.mean(axis=1), LEVEL)
    rows = _DAY_ROWS * np.arange(1, _YEAR + 1)
    chances = stats.binom.cdf(np.cumsum(inside.sum(axis=1)), rows, LEVEL / 100)
    return bool(evidence.max() >= ENOUGH), bool(chances.min() < 0.05)  # noqa: PLR2004 - as usual


def _days_needed(seed: int, bias: float, noise: float) -> tuple[float, float, float]:
    """Return coverage after a shift, and days until it is said and until it is made good."""
    random = np.random.default_rng(seed)
    predicted = np.full(5_000, 100.0)
    known = random.normal(0, 1, len(predicted))
    intervals = calibrate(Residuals("validation", predicted + known, predicted, (), ""))
    errors = _errors(random, _BEFORE + _AFTER, 0.3)
    errors[_BEFORE:] = bias + noise * errors[_BEFORE:]
    state, rules, held, plain = NO_CORRECTION, CorrectionRules(tail=tail_of(LEVEL)), [], []
    for day, of_day in enumerate(errors):
        of = np.full(len(of_day), 100.0)
        now, before = (
            measure_intervals(*intervals.at(LEVEL, one).limits_of(of), of + of_day, LEVEL)
            for one in (state, NO_CORRECTION)
        )
        held.append(now.coverage)
        plain.append(before.coverage)
        closed = ClosedDay(f"{day:03d}", now.rows, float(np.median(of_day)), now.below, now.above)
        state = corrected(state, closed, rules)
    evidence = coverage_evidence(plain, LEVEL)[_BEFORE:]
    (said,), (back,) = np.nonzero(evidence >= ENOUGH), np.nonzero(np.array(held[_BEFORE:]) >= _BACK)
    return (
        100 * float(np.mean(plain[_BEFORE:])),
        float(said[0] + 1 if len(said) else _AFTER),
        float(back[0] if len(back) else _AFTER),
    )


SHARPER = (
    "as it is, in its unit",
    "in sizes of errors, in its unit",
    "gain by sizes, %",
    "kept for this version (1 is yes)",
    "quantile regression, in its unit",
)
_QUANTILE = {"max_depth": 8, "learning_rate": 0.05, "min_child_weight": 50.0, "subsample": 0.8}


def scores(fits: Fits, rows: Later) -> tuple[float, ...]:
    """Compute interval scores at 90 % of plain intervals, and of sharper ways."""
    plain, scaled, kept = fits.ways
    limits = [(plain, None), (scaled, scaled.sizes(rows.predicted, rows.times, rows.raw))]
    now, new = (
        measure_intervals(
            *one.at(LEVEL).limits_of(rows.predicted, rows.times, sizes), rows.actual, LEVEL
        ).score
        for one, sizes in limits
    )
    found = (now, new, 100 * (1 - new / now), float(kept))
    if "quantiles" not in sys.argv:
        return found
    regressed = measure_intervals(*by_quantiles(fits, plain, rows), rows.actual, LEVEL)
    return (*found, regressed.score)


def by_quantiles(fits: Fits, intervals: Intervals, rows: Later) -> tuple[Numbers, Numbers]:
    """Return limits by quantile regression, moved by what it misses on validation."""
    ratio, splits = intervals.shape == "log ratio", fits.training_set.layout_for("dense")
    there, back = (np.log, np.exp) if ratio else (np.asarray, np.asarray)
    tail = tail_of(LEVEL)
    settings = {**_QUANTILE, "objective": "reg:quantileerror"}
    settings |= {"quantile_alpha": [tail, 1 - tail], "tree_method": "hist", "seed": 1}

    def learned(inputs: Matrix, actual: Targets) -> xgb.Booster:
        return xgb.train(settings, xgb.QuantileDMatrix(inputs, there(actual)), months.ROUNDS)

    training_set = fits.training_set
    tuned = learned(splits.train, training_set.train_target)
    low, high = tuned.inplace_predict(splits.validation).T
    actual = there(fits.residuals.actual)
    step = STEPS - outer_step(tail)
    missed = (order_statistics(each, np.ones(len(each))) for each in (low - actual, actual - high))
    below, above = (table[step - 1] for table in missed)
    final = learned(splits.train_validation, training_set.train_validation_target)
    low, high = final.inplace_predict(rows.inputs).T
    return back(low - below), back(high + above)


if __name__ == "__main__":
    main()
