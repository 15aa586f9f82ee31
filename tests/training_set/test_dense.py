"""The dense encoder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.training_set.test_one_hot import make_trips

from trip_duration.training_set.encoders import DenseTripEncoder


@pytest.fixture
def trips() -> pd.DataFrame:
    """Trips among few zones, so that each pair repeats."""
    random = np.random.default_rng(1)
    pairs = [(int(a), int(b)) for a, b in random.integers(1, 5, size=(400, 2))]
    return make_trips(pairs, list(random.exponential(3, 400)))


def test_a_trip_is_not_described_by_its_own_duration(trips: pd.DataFrame) -> None:
    """Target encodings of training trips leave out the trip's own fold: noise stays noise."""
    noise = np.random.default_rng(2).normal(20, 5, len(trips))
    unique_pairs = trips.assign(PULocationID=np.arange(1, len(trips) + 1, dtype=np.int32))
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
    assert unseen[0, -3:] == pytest.approx([durations.mean()] * 3, rel=1e-5)


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
