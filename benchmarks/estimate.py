"""Accuracy of an estimate of the error that needs no labels, on months that it has not seen.

A model of the recipe `rich` is fitted on two months. On the next one, its test month, a second
model learns how large its errors are, from the inputs and the prediction; the mean of what it says
of the trips of a later month, or of each of its days, estimates their error. This is NannyML's
Direct Loss Estimation ("How it works: performance estimation", 2022), made again, for the package
itself pins versions that do not go with ours. Its estimates are compared with the errors, and with
the trivial estimate: as on the test month.

Months come from MODEL_LOOP_TLC_FOLDER. The last table is of generated months, one of which has
the same inputs and a speed that is a quarter lower.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.results import record
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.models.estimators import make_booster
from model_loop.models.search import SearchRequest
from model_loop.training_set.matrices import Targets
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month, MonthSplit
from trip_duration.recipes import RECIPES
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import DISTANCE, DURATION, PICKUP_TIME, get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.training_set.build import CLIP_DISTANCE
from trip_duration.training_set.request import TrainingSetRequest

SERVICE = get_service("green")
SETTINGS = {"max_depth": 8, "learning_rate": 0.1, "min_child_weight": 5.0, "subsample": 0.8}
ROUNDS = 250
#: Train, validation and test month, and those that follow.
REAL = (
    ("2023-01", "2023-02", "2024-01", ("2024-02", "2024-03", "2024-04")),
    ("2024-01", "2024-02", "2024-03", ("2024-04",)),
)
GENERATED: Mapping[str, Drift] = {
    "as before": Drift(),
    "distances half as long again": Drift(distance_factor=1.5),
    "speed - 25 %, inputs unchanged": Drift(speed_factor=0.75),
}
COLUMNS = list(RECIPES["rich"].columns)
#: Days of fewer trips say nothing.
LEAST = 200


@dataclass(frozen=True)
class Losses:
    """Squared errors of some trips, each of shape (trips,): as they were, and as estimated."""

    actual: Targets
    estimated: Targets

    def rmse(self, which: npt.NDArray[np.bool_] | slice = slice(None)) -> tuple[float, float]:
        """Return the RMSE of some of them, and the estimate of it."""
        # A tree may say less than nothing of a square.
        means = (max(float(one[which].mean()), 0.0) for one in (self.actual, self.estimated))
        actual, estimated = (mean**0.5 for mean in means)
        return actual, estimated


@dataclass(frozen=True)
class WatchedModel:
    """A model, what it came to on its test month, and what has learned its errors there."""

    model: Pipeline
    test_rmse: float
    estimator: HistGradientBoostingRegressor

    def losses(self, trips: pd.DataFrame) -> Losses:
        """Squared errors of trips."""
        predicted = np.asarray(self.model.predict(trips[COLUMNS]), np.float64)
        actual = np.square(predicted - trips[DURATION].to_numpy())
        return Losses(actual, self.estimator.predict(features(trips, predicted)))


def main() -> None:
    """Print a table of months, one of days, and one of generated months."""
    with tempfile.TemporaryDirectory() as storage:
        if folder := os.environ.get("MODEL_LOOP_TLC_FOLDER"):
            real_months(folder, storage)
        generated_months(storage)


def real_months(source: str, storage: str) -> None:
    """Print how far off both estimates are, on months and on days."""
    print("| Trained on, errors learned on | | RMSE | estimated | as on the test month |")
    print("| --- | --- | --- | --- | --- |")
    days = []
    for *split, later in REAL:
        watched = watch(source, split, storage)
        for month in later:
            trips = month_of(source, month, storage)
            losses, name = watched.losses(trips), f"{'+'.join(split[:2])}, {split[2]}"
            print(f"| {name} | {month} | {row(*losses.rmse(), watched.test_rmse)} |", flush=True)
            record_row(f"{name}: {month}", *losses.rmse(), watched.test_rmse)
            found = np.array([*days_of(losses, trips[PICKUP_TIME])])
            days.append((name, month, found, watched.test_rmse))
    print(
        "\n| Trained on, errors learned on | days of | mean off | as on the test month | nearer |"
    )
    print("| --- | --- | --- | --- | --- |")
    for name, month, found, trivial in days:
        off, plain = np.abs(found[:, 1] - found[:, 0]), np.abs(trivial - found[:, 0])
        nearer = f"{np.count_nonzero(off < plain)} of {len(found)} days"
        kept = {
            "days off by the estimate, min": off.mean(),
            "days off by the test month, min": plain.mean(),
            "days nearer": np.count_nonzero(off < plain),
            "days": len(found),
        }
        record("estimate", f"{name}: {month}", kept)
        print(f"| {name} | {month} | {off.mean():.3f} | {plain.mean():.3f} | {nearer} |")


def generated_months(storage: str) -> None:
    """Print which drifts it sees, and which it cannot see."""
    usual = SampleOptions(trips=20_000)
    watched = watch("sample", ("2024-01", "2024-02", "2024-03"), storage, usual)
    print("\n| Generated month | RMSE | estimated | as on the test month |")
    print("| --- | --- | --- | --- |")
    for name, drift in GENERATED.items():
        options = SampleOptions(trips=usual.trips, drift=drift)
        losses = watched.losses(month_of("sample", "2024-04", storage, options))
        print(f"| {name} | {row(*losses.rmse(), watched.test_rmse)} |")
        record_row(f"generated: {name}", *losses.rmse(), watched.test_rmse)


def row(actual: float, estimated: float, trivial: float) -> str:
    """Errors and how far off the estimates are, in per cent of what they were."""
    estimates = [f"{value:.3f} ({value / actual - 1:+.1%})" for value in (estimated, trivial)]
    return " | ".join([f"{actual:.3f}", *estimates])


def record_row(name: str, actual: float, estimated: float, trivial: float) -> None:
    """Record a row of errors."""
    names = ("RMSE, min", "estimated, min", "as on the test month, min")
    record("estimate", name, dict(zip(names, (actual, estimated, trivial), strict=True)))


def days_of(losses: Losses, pickups: pd.Series[pd.Timestamp]) -> Iterator[tuple[float, float]]:
    """Errors of each day that has enough trips."""
    days = pickups.dt.strftime("%Y-%m-%d").to_numpy()
    for day in np.unique(days):
        if np.count_nonzero(days == day) >= LEAST:
            yield losses.rmse(days == day)


def features(trips: pd.DataFrame, predicted: Targets) -> npt.NDArray[np.float64]:
    """Return the features of errors: the prediction, and the inputs as plain numbers."""
    times = trips[PICKUP_TIME].dt
    numbers = trips[COLUMNS].drop(columns=PICKUP_TIME)
    numbers[DISTANCE] = numbers[DISTANCE].clip(upper=CLIP_DISTANCE)
    clock = (times.hour + times.minute / 60).to_numpy()
    return np.column_stack([predicted, clock, times.weekday, numbers.to_numpy(np.float64)])


def watch(
    source: str, split: Sequence[str], storage: str, sample: SampleOptions | None = None
) -> WatchedModel:
    """Fit a model on the first two months, and learn its errors on the third."""
    request = TrainingSetRequest(
        source, "green", MonthSplit.parse(*split), sample=sample or SampleOptions()
    )
    training_set = build_training_set(request, storage_root=storage)
    model, test = fit(training_set), training_set.test_rows
    predicted = np.asarray(model.predict(test[COLUMNS]), np.float64)
    squared = np.square(predicted - test[DURATION].to_numpy())
    estimator = HistGradientBoostingRegressor(random_state=42)
    estimator.fit(features(test, predicted), squared)
    return WatchedModel(model, float(squared.mean()) ** 0.5, estimator)


def fit(training_set: TrainingSet) -> Pipeline:
    """XGBoost with settings that suit, on train and validation."""
    family = get_family(XGBOOST)
    splits = training_set.layout_for(family.layout)
    booster = make_booster(family, SETTINGS, SearchRequest(threads=2), rounds=ROUNDS)
    booster.fit(splits.train_validation, training_set.train_validation_target)
    return Pipeline([("encode", splits.encoder), ("estimate", booster)])


def month_of(
    source: str, month: str, storage: str, sample: SampleOptions | None = None
) -> pd.DataFrame:
    """The clean trips of a month, with everything that the recipe knows."""
    raw = fetch_month(
        source,
        SERVICE,
        Month.parse(month),
        storage,
        sample=sample or SampleOptions(),
        timeout_seconds=60,
    )
    checked = CheckedMonthStore(storage).check(raw, SERVICE, ContractLimits())
    return clean_month(checked, SERVICE, Selection(COLUMNS, CleaningRules()))


if __name__ == "__main__":
    main()
