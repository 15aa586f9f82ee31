"""The dense encoder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.trip_duration.training_set.test_one_hot import make_trips

from trip_duration.services import LAST_ZONE
from trip_duration.training_set.encoders.dense import DenseTripEncoder


@pytest.fixture
def trips() -> pd.DataFrame:
    """Trips among few zones, so that each pair repeats."""
    random = np.random.default_rng(1)
    pairs = [(int(a), int(b)) for a, b in random.integers(1, 5, size=(400, 2))]
    return make_trips(pairs, list(random.exponential(3, 400)))


def test_a_trip_is_not_described_by_its_own_duration(trips: pd.DataFrame) -> None:
    """Target encodings of training trips leave out the trip's own fold: noise stays noise."""
    noise = np.random.default_rng(2).normal(20, 5, len(trips))
    second, first = np.divmod(np.arange(len(trips), dtype=np.int32), LAST_ZONE)
    unique_pairs = trips.assign(PULocationID=first + 1, DOLocationID=second + 1)
    encoder = DenseTripEncoder("pair_distance")
    learned = encoder.fit_transform(unique_pairs, noise)
    column = list(encoder.get_feature_names_out()).index("mean_duration_pair")
    assert abs(np.corrcoef(learned[:, column], noise)[0, 1]) < 0.2
    with_itself = encoder.transform(unique_pairs)[:, column]
    assert np.corrcoef(with_itself, noise)[0, 1] > 0.9


def test_time_is_encoded_as_hour_and_weekday(trips: pd.DataFrame) -> None:
    """Half past eight on a Monday is hour 8.5 of weekday 0."""
    encoder = DenseTripEncoder("rich")
    encoded = encoder.fit_transform(trips, np.full(len(trips), 10.0) + np.arange(len(trips)) % 3)
    named = dict(zip(encoder.get_feature_names_out(), encoded[0], strict=True))
    assert (named["hour"], named["weekday"]) == (8.5, 0.0)


def test_unseen_zone_gets_the_overall_mean(trips: pd.DataFrame) -> None:
    """A zone that was never seen is encoded with the mean duration of all trips."""
    durations = np.random.default_rng(3).uniform(5, 25, len(trips))
    encoder = DenseTripEncoder("pair_distance").fit(trips, durations)
    unseen = encoder.transform(make_trips([(250, 251)], [1.0]))
    named = dict(zip(encoder.get_feature_names_out(), unseen[0], strict=True))
    means = [value for name, value in named.items() if name.startswith("mean_duration_")]
    assert means == pytest.approx([durations.mean()] * 3, rel=1e-5)


def test_same_seed_same_matrix(trips: pd.DataFrame) -> None:
    """Encoding is repeatable by seed, and differs between seeds."""
    durations = np.random.default_rng(4).uniform(5, 25, len(trips))

    def encode(seed: int) -> np.ndarray:
        return DenseTripEncoder("rich", random_state=seed).fit_transform(trips, durations)

    assert (encode(1) == encode(1)).all()
    assert (encode(1) != encode(2)).any()


def test_matrix_is_small_and_finite(trips: pd.DataFrame) -> None:
    """Values are float32 and finite, missing attributes included."""
    encoded = DenseTripEncoder("rich").fit_transform(trips, np.arange(len(trips)) % 30 + 1.0)
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()


@pytest.mark.parametrize(
    ("day", "holiday"), [("2024-01-15", 1.0), ("2024-01-16", 0.0), ("2023-12-25", 1.0)]
)
def test_holidays_are_federal_ones(trips: pd.DataFrame, day: str, holiday: float) -> None:
    """Martin Luther King Jr. Day of 2024 is a holiday, the day after is none."""
    that_day = trips.assign(pickup_datetime=pd.Timestamp(day) + pd.Timedelta(hours=23))
    encoder = DenseTripEncoder("booking").fit(that_day, np.arange(len(trips)) % 30 + 1.0)
    named = dict(zip(encoder.get_feature_names_out(), encoder.transform(that_day)[0], strict=True))
    assert named["is_holiday"] == holiday


def test_the_pace_of_a_pair_becomes_minutes(trips: pd.DataFrame) -> None:
    """Where every trip takes three minutes a mile, the metered distance says how long it takes."""
    miles = trips.trip_distance.clip(lower=1.0, upper=10.0)
    steady = trips.assign(trip_distance=miles)
    encoder = DenseTripEncoder("pair_distance").fit(steady, 3 * miles)
    encoded = encoder.transform(steady)
    names = list(encoder.get_feature_names_out())
    found = encoded[:, names.index("minutes_at_pace_pair")]
    assert found == pytest.approx(3 * miles.to_numpy(), rel=1e-5)


@pytest.mark.parametrize("recipe", ["pair_distance", "rich", "booking"])
def test_columns_have_names(recipe: str, trips: pd.DataFrame) -> None:
    """There is one name for each column, and none twice."""
    encoder = DenseTripEncoder(recipe)
    encoded = encoder.fit_transform(trips, np.arange(len(trips)) % 30 + 1.0)
    names = list(encoder.get_feature_names_out())
    assert encoded.shape[1] == len(names) == len(set(names))
    assert recipe == "booking" or "minutes_at_pace_pair" in names
    assert recipe != "booking" or not [name for name in names if "pace" in name or "trip_d" in name]
