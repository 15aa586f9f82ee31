"""Alarms of errors on labels that arrive, and the time that it takes to judge them.

Weeks of generated months, each of another seed, are predicted by a model of the months before and
judged by the thresholds of the settings: at once, and by the rule that two of three successive
weeks have to agree. Then 100,000 labelled predictions are judged, and as many are matched with a
month of 100,000 trips.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from benchmarks.estimate import fit
from benchmarks.results import record
from benchmarks.tables import KNOWN

from model_loop.monitoring.labels import labelled, match_partition
from model_loop.monitoring.levels import Level, WindowFinding, thresholds_of, worst
from model_loop.monitoring.performance import PerformanceRules, ReferenceErrors, judge_performance
from model_loop.monitoring.published import window_of_published
from model_loop.monitoring.slices import measure_errors
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.settings import get_settings
from model_loop.training_set.preparation import build_training_set
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.judged import JudgedDurations
from trip_duration.months import Month, MonthSplit
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import PICKUP_TIME, get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.training_set.request import TrainingSetRequest

SERVICE, RULES = get_service("green"), CleaningRules()
MONTH = Month(2024, 4)
SEEDS, WEEKS = range(100, 110), 4
TRIPS = 6_000
DRIFTS: Mapping[str, Drift] = {
    "as before": Drift(),
    "speed - 10 %": Drift(speed_factor=0.9),
    "speed - 25 %": Drift(speed_factor=0.75),
    "speed + 25 %": Drift(speed_factor=1.25),
    "distances half as long again": Drift(distance_factor=1.5),
    "half of the pick-ups in quiet zones": Drift(zone_shift=0.5),
    "rush hours 4 hours later": Drift(rush_hour_shift=4),
}


def main() -> None:
    """Print a table of alarms, and how long judging takes."""
    with tempfile.TemporaryDirectory() as storage:
        sample = SampleOptions(trips=20_000)
        request = TrainingSetRequest(
            "sample", "green", MonthSplit.parse("2024-01", "2024-02", "2024-03"), sample=sample
        )
        training_set = build_training_set(request, storage_root=storage)
        predictor = Predictor(
            RegisteredVersion("green", 1), fit(training_set), training_set.recipe.columns
        )
        reference = reference_of(backtest(month_of(Month(2024, 3), sample, storage), predictor))
        print("| Generated weeks | | warn | act | warn, 2 of 3 | act, 2 of 3 | RMSE |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, drift in DRIFTS.items():
            weeks = [[*weeks_of(drift, seed, predictor, storage)] for seed in SEEDS]
            print(f"| {name} | {row(name, weeks, reference)} |", flush=True)
        cost(predictor, reference, storage)


def row(name: str, months: Sequence[Sequence[WindowRows]], reference: ReferenceErrors) -> str:
    """Count the weeks that are an alarm, with their errors."""
    at_once: Counter[Level] = Counter()
    settled: Counter[Level] = Counter()
    rmse = []
    for weeks in months:
        history: list[tuple[WindowFinding, ...]] = []
        for week in weeks:
            rmse.append(measure_errors(week)[0].measured.rmse)
            found = judge_week(week, reference, (), PerformanceRules(windows=1, needed=1))
            at_once[worst(found)] += 1
            history.append(judge_week(week, reference, history, PerformanceRules()))
            settled[worst(history[-1])] += 1
    total = sum(at_once.values())
    levels = (Level.WARN, Level.ACT)
    shares = [100 * one[level] / total for one in (at_once, settled) for level in levels]
    values = dict(zip(KNOWN["performance"].columns, (*shares, float(np.mean(rmse))), strict=True))
    record("performance", name, values)
    cells = [
        f"{counts[level] / total:.0%}" for counts in (at_once, settled)
        for level in (Level.WARN, Level.ACT)
    ]  # fmt: skip
    return " | ".join([str(total), *cells, f"{np.mean(rmse):.2f}"])


def judge_week(
    week: WindowRows,
    reference: ReferenceErrors,
    history: Sequence[Sequence[WindowFinding]],
    rules: PerformanceRules,
) -> tuple[WindowFinding, ...]:
    """Findings of a week, by the thresholds of the settings."""
    return judge_performance(week, reference, history, thresholds_of(get_settings()), rules)


def cost(predictor: Predictor, reference: ReferenceErrors, storage: str) -> None:
    """Time to judge and to match 100,000 predictions."""
    month = month_of(MONTH, SampleOptions(trips=100_000, seed=7), storage)
    window = backtest(month, predictor)
    started = time.perf_counter()
    judge_week(window, reference, (), PerformanceRules())
    judged = time.perf_counter() - started
    unknown = dataclasses.replace(window, actual=np.full(len(window), np.nan))
    started = time.perf_counter()
    _, report = match_partition(unknown, month)
    matched = time.perf_counter() - started
    print(f"\n{len(window):,} predictions judged in {judged:.2f} s; in {matched:.2f} s: {report}")


def weeks_of(drift: Drift, seed: int, predictor: Predictor, storage: str) -> Iterator[WindowRows]:
    """The labelled weeks of a generated month."""
    options = SampleOptions(trips=TRIPS, seed=seed, drift=drift)
    found = backtest(month_of(MONTH, options, storage), predictor)
    weeks = (found.rows[PICKUP_TIME].dt.day.to_numpy() - 1) // 7
    for week in range(WEEKS):
        yield found.where(weeks == week)


def backtest(month: CheckedMonth, predictor: Predictor) -> WindowRows:
    """Labelled predictions of a month."""
    window = Window.of_partition("green", month.raw.month)
    found = window_of_published(window, month, predictor.columns, predictor)
    return labelled(found, JudgedDurations.of_rules(RULES).of_actual)


def reference_of(window: WindowRows) -> ReferenceErrors:
    """Result of a version on its test month."""
    total, *slices = measure_errors(window)
    by_slice = {
        (one.slice, one.value): one.measured.rmse
        for one in slices
        if one.measured.rows >= PerformanceRules.slice_rows
    }
    return ReferenceErrors(1, total.measured.rmse, total.measured.mae, by_slice)


def month_of(month: Month, sample: SampleOptions, storage: str) -> CheckedMonth:
    """A generated month, checked."""
    raw = fetch_month("sample", SERVICE, month, storage, sample=sample, timeout_seconds=60)
    return CheckedMonthStore(storage).check(raw, SERVICE, ContractLimits())


if __name__ == "__main__":
    main()
