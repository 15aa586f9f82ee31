"""What a first champion has to beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from trip_duration.models.baseline import FEWEST_TRIPS, best_baseline
from trip_duration.models.evaluation import measure
from trip_duration.training_set.build import build_training_set
from trip_duration.training_set.types import TrainingSet, TrainingSetRequest
from trip_duration.trips.cleaning import Selection, clean_month
from trip_duration.trips.contract.checked import CheckedMonthStore
from trip_duration.trips.contract.rules import Limits
from trip_duration.trips.months import MonthSplit
from trip_duration.trips.services import get_service


def learned_trips(training_set: TrainingSet, root: str) -> pd.DataFrame:
    """Read the train and validation trips from their months, another way than the rule does."""
    store, service = CheckedMonthStore(root), get_service("green")
    months = [store.check(raw, service, Limits()) for raw in training_set.months[:2]]
    selection = Selection(training_set.recipe.columns, training_set.request.rules)
    trips = pd.concat([clean_month(month, service, selection) for month in months])
    return trips[trips.pickup_datetime < "2024-03-01"]


def test_the_table_is_that_of_the_months(
    sample_training_set: TrainingSet, sample_root: str
) -> None:
    """Of a frequent pair it says what pandas says of the raw trips; a rare one says its zone's."""
    rule = best_baseline(sample_training_set)
    trips = learned_trips(sample_training_set, str(sample_root))
    trips["value"] = trips.duration
    if rule.statistic == "median pace":
        trips["value"] = trips.duration / trips.trip_distance.clip(0.1, 30.0)
    statistic = "mean" if rule.statistic == "mean" else "median"
    pairs = trips.groupby(["PULocationID", "DOLocationID"])["value"].agg([statistic, "size"])
    frequent, rare = pairs[pairs["size"] >= FEWEST_TRIPS], pairs[pairs["size"] < FEWEST_TRIPS]
    assert len(frequent) > 20 < len(rare)
    for pair in frequent.index:
        assert rule.table[pair] == pytest.approx(frequent.loc[pair, statistic])
    zones = trips.groupby("PULocationID")["value"].agg(statistic)
    for pair in rare.index:
        assert rule.table[pair] == pytest.approx(zones[pair[0]])
    assert rule.table[500, 500] == pytest.approx(trips["value"].agg(statistic))


def test_it_is_the_best_of_them(sample_training_set: TrainingSet) -> None:
    """It beats the median of all trips by far, and needs no model."""
    trips = sample_training_set.test_trips
    actual = trips.duration.to_numpy()
    naive = measure(actual, np.full_like(actual, np.median(actual)))
    assert (
        measure(actual, best_baseline(sample_training_set).predict(trips)).rmse < 0.9 * naive.rmse
    )


def test_the_metered_distance_is_used_only_where_it_is_known(sample_root: str) -> None:
    """A rule for models that are asked when a ride is booked does not read the distance."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    request = TrainingSetRequest("sample", "green", split, "booking")
    training_set = build_training_set(request, storage_root=str(sample_root))
    rule = best_baseline(training_set)
    assert rule.statistic in {"mean", "median"}
    assert "distance" not in rule.title
    assert rule.predict(training_set.test_trips).shape == (training_set.rows["test"],)


def test_on_published_months(whole_months: str, tmp_path: str) -> None:
    """Always saying the median is far off; the table of pairs is the real bar."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    request = TrainingSetRequest(whole_months, "green", split, "booking")
    training_set = build_training_set(request, storage_root=str(tmp_path))
    trips = training_set.test_trips
    actual = trips.duration.to_numpy()
    rule = best_baseline(training_set)
    assert rule.title == "mean of the pair of zones"
    assert measure(actual, rule.predict(trips)).rmse == pytest.approx(6.702, abs=0.001)
    median = np.full_like(actual, np.median(training_set.train_validation_minutes))
    assert measure(actual, median).rmse == pytest.approx(9.444, abs=0.001)
