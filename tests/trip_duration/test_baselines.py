"""What a first champion has to beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.trip_duration.training_set.test_leak_canaries import build

from model_loop.models.baseline import baseline_errors, best_baseline
from model_loop.models.evaluation import measure
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.baselines import FEWEST_TRIPS, PairRule, best_pair_rule
from trip_duration.cleaning import Selection, clean_month
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month, MonthSplit
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.training_set.request import TrainingSetRequest

GREEN = get_service("green")


def learned_trips(training_set: TrainingSet, root: str) -> pd.DataFrame:
    """Read the train and validation trips from their months, another way than the rule does."""
    store, service = CheckedMonthStore(root), get_service("green")
    months = [store.check(raw, service, ContractLimits()) for raw in training_set.files[:2]]
    selection = Selection(training_set.recipe.columns, training_set.request.rules)
    trips = pd.concat([clean_month(month, service, selection) for month in months])
    return trips[trips.pickup_datetime < "2024-03-01"]


def test_the_table_is_that_of_the_months(
    sample_training_set: TrainingSet, sample_root: str
) -> None:
    """Of a frequent pair it says what pandas says of the raw trips; a rare one says its zone's."""
    rule = best_pair_rule(sample_training_set)
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
    trips = sample_training_set.test_rows
    actual = trips.duration.to_numpy()
    naive = measure(actual, np.full_like(actual, np.median(actual)))
    assert (
        measure(actual, best_pair_rule(sample_training_set).predict(trips)).rmse < 0.9 * naive.rmse
    )


Targets = Callable[[np.ndarray], np.ndarray]


def published(folder: Path, train: Targets, validation: Targets, *, miles: int = 1) -> Path:
    """Publish months whose minutes are given by the numbers of the trips.

    Metered distances repeat 1, 2, … *miles*.
    """
    for month, minutes in (("2024-01", train), ("2024-02", validation), ("2024-03", validation)):
        path = folder / f"green_tripdata_{month}.parquet"
        write_month(path, GREEN, Month.parse(month), SampleOptions(trips=600, seed=3))
        trips = pq.read_table(path).replace_schema_metadata(None).to_pandas()
        number = np.arange(len(trips))
        trips["trip_distance"] = 1.0 + number % miles
        lasting = pd.to_timedelta(minutes(number), unit="min")
        trips["lpep_dropoff_datetime"] = trips["lpep_pickup_datetime"] + lasting
        trips.to_parquet(path, index=False)
    return folder


@pytest.mark.filterwarnings("ignore::model_loop.findings.DoubtfulDataWarning")
def test_a_rule_is_chosen_by_trips_that_it_has_not_learned_from(tmp_path: Path) -> None:
    """Of all trips the mean is the best by far; of train it is not, and validation decides."""
    source = published(
        tmp_path,
        lambda number: np.where(number % 5 == 0, 8.0, 10.0),
        lambda number: np.where(number % 5 == 0, 55.0, 10.0),
    )
    training_set = build(source, "native", tmp_path / "root")
    assert best_pair_rule(training_set).statistic == "median"


@pytest.mark.filterwarnings("ignore::model_loop.findings.DoubtfulDataWarning")
def test_a_rule_is_not_chosen_by_trips_that_it_has_learned_from(tmp_path: Path) -> None:
    """Of the train trips themselves the mean is the best, and says nothing of those that follow."""
    source = published(
        tmp_path,
        lambda number: np.where(number % 5 == 0, 55.0, 10.0),
        lambda number: 10.0 + number % 2,
    )
    training_set = build(source, "native", tmp_path / "root")
    assert best_pair_rule(training_set).statistic == "median"


@pytest.mark.filterwarnings("ignore::model_loop.findings.DoubtfulDataWarning")
def test_a_pace_is_minutes_for_each_mile(tmp_path: Path) -> None:
    """Trips of four minutes a mile make a rule of four minutes a mile."""

    def four_a_mile(number: np.ndarray) -> np.ndarray:
        return 4.0 * (1.0 + number % 7)

    source = published(tmp_path, four_a_mile, four_a_mile, miles=7)
    training_set = build(source, "native", tmp_path / "root")
    rule = best_pair_rule(training_set)
    assert rule.title == "median pace of the pair of zones times the metered distance"
    assert rule.table[74, 75] == pytest.approx(4.0)
    trips = training_set.test_rows
    np.testing.assert_allclose(rule.predict(trips), trips.duration, rtol=1e-6)
    assert best_baseline(training_set).title == rule.title
    assert baseline_errors(training_set)[rule.title].rmse == pytest.approx(0.0, abs=1e-4)


def test_a_rule_stays_within_its_bounds() -> None:
    """Odd distances are clipped, odd zones are the nearest there are, minutes are those learned."""
    table = np.full((512, 512), 4.0)
    table[0, 1], table[511, 510] = 3.0, 5.0
    rule = PairRule("median pace", table, shortest=1.0, longest=60.0)
    trips = pd.DataFrame(
        {
            "PULocationID": [74, 74, 74, 74, -5, 600],
            "DOLocationID": [75, 75, 75, 75, 1, 510],
            "trip_distance": [5.0, 0.01, 14.0, 100.0, 2.0, 2.0],
        }
    )
    assert rule.predict(trips).tolist() == [20.0, 1.0, 56.0, 60.0, 6.0, 10.0]
    free = dataclasses.replace(rule, shortest=0.0, longest=1e9)
    assert free.predict(trips)[[1, 3]].tolist() == pytest.approx([0.4, 120.0])


def test_the_metered_distance_is_used_only_where_it_is_known(sample_root: str) -> None:
    """A rule for models that are asked when a ride is booked does not read the distance."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    request = TrainingSetRequest("sample", "green", split, "booking")
    training_set = build_training_set(request, storage_root=str(sample_root))
    rule = best_pair_rule(training_set)
    assert rule.statistic in {"mean", "median"}
    assert "distance" not in rule.title
    assert rule.predict(training_set.test_rows).shape == (training_set.rows["test"],)


def test_on_published_months(whole_months: str, tmp_path: str) -> None:
    """Always saying the median is far off; the table of pairs is the real bar."""
    split = MonthSplit.parse("2024-01", "2024-02", "2024-03")
    request = TrainingSetRequest(whole_months, "green", split, "booking")
    training_set = build_training_set(request, storage_root=str(tmp_path))
    trips = training_set.test_rows
    actual = trips.duration.to_numpy()
    rule = best_pair_rule(training_set)
    assert rule.title == "mean of the pair of zones"
    assert measure(actual, rule.predict(trips)).rmse == pytest.approx(6.702, abs=0.001)
    median = np.full_like(actual, np.median(training_set.train_validation_target))
    assert measure(actual, median).rmse == pytest.approx(9.444, abs=0.001)
