"""The one-hot encoder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import DictVectorizer

from model_loop.errors import ContractError
from trip_duration.recipes import RECIPES
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder


def make_trips(pairs: list[tuple[int, int]], miles: list[float]) -> pd.DataFrame:
    """Trips between zones, on Mondays at 8:30."""
    return pd.DataFrame(
        {
            "PULocationID": np.array([pickup for pickup, _ in pairs], dtype=np.int32),
            "DOLocationID": np.array([dropoff for _, dropoff in pairs], dtype=np.int32),
            "trip_distance": miles,
            "pickup_datetime": pd.Timestamp("2024-01-08 08:30"),
            "passenger_count": [2.0] * len(pairs),
            "VendorID": [1.0] * len(pairs),
            "trip_type": [np.nan] * len(pairs),
        }
    )


def as_dicts(trips: pd.DataFrame) -> list[dict[str, object]]:
    """Trips as the course project hands them to a DictVectorizer."""
    return [
        {"PU_DO": f"{trip.PULocationID}_{trip.DOLocationID}", "trip_distance": trip.trip_distance}
        for trip in trips.itertuples()
    ]


@pytest.fixture
def random_trips() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trips to learn from, and further ones of which some pairs are new."""
    random = np.random.default_rng(0)

    def draw(count: int, highest: int) -> pd.DataFrame:
        pairs = random.integers(1, highest, size=(count, 2))
        return make_trips([(int(a), int(b)) for a, b in pairs], list(random.exponential(3, count)))

    return draw(500, 20), draw(300, 25)


def test_equals_dict_vectorizer(random_trips: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """For `pair_distance`, names, order, values and stored entries are DictVectorizer's."""
    learned, further = random_trips
    plain, ours = DictVectorizer(), OneHotTripEncoder("pair_distance")
    for trips, expected, encoded in (
        (learned, plain.fit_transform(as_dicts(learned)), ours.fit_transform(learned)),
        (further, plain.transform(as_dicts(further)), ours.transform(further)),
    ):
        assert encoded.shape == expected.shape == (len(trips), encoded.shape[1])
        assert encoded.nnz == expected.nnz
        assert (encoded != expected).nnz == 0
    assert list(ours.get_feature_names_out()) == list(plain.get_feature_names_out())


def test_every_pair_is_sorted_as_text() -> None:
    """Whatever numbers zones have, columns come in the order of their names."""
    zones = [1, 2, 9, 10, 11, 19, 20, 99, 100, 101, 110, 199, 200, 264, 265]
    pairs = [(pickup, dropoff) for pickup in zones for dropoff in zones]
    encoder = OneHotTripEncoder("pair_distance").fit(make_trips(pairs, [1.0] * len(pairs)))
    names = [name for name in encoder.get_feature_names_out() if name.startswith("PU_DO=")]
    assert names == sorted(names)
    assert len(names) == len(pairs)


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("rows", [500, 2**17 + 500])
def test_recoded_as_if_encoded(
    recipe: str, rows: int, random_trips: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Trips that one encoder encoded, another recodes to what it makes of them itself."""
    learned, further = random_trips
    learned = learned.iloc[np.arange(rows) % len(learned)].reset_index(drop=True)
    one, both = OneHotTripEncoder(recipe).fit(learned), OneHotTripEncoder(recipe)
    both.fit_parts([learned, further])
    recoded, encoded = one.recode(both.transform(learned), both), one.transform(learned)
    assert len(both.pairs_) > len(one.pairs_)
    assert recoded.shape == encoded.shape
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(recoded, name), getattr(encoded, name))


def test_indices_are_int32(random_trips: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Indices are int32, which scikit-learn's coordinate descent requires, and sorted."""
    encoded = OneHotTripEncoder("rich").fit_transform(random_trips[0])
    assert encoded.indices.dtype == encoded.indptr.dtype == np.int32
    fresh = csr_matrix((encoded.data, encoded.indices, encoded.indptr), shape=encoded.shape)
    assert fresh.has_sorted_indices


def test_unseen_pair_keeps_its_distance() -> None:
    """A pair that was not learned has no one-hot entry, its distance stays."""
    encoder = OneHotTripEncoder("pair_distance").fit(make_trips([(1, 2)], [1.0]))
    encoded = encoder.transform(make_trips([(2, 1), (1, 2)], [4.0, 5.0]))
    assert encoded.toarray().tolist() == [[0.0, 4.0], [1.0, 5.0]]


@pytest.mark.parametrize("zone", [0, -5, 266, 512, 10**9])
def test_impossible_zone_is_refused(zone: int) -> None:
    """A zone id that cannot exist is no unseen zone: any answer to it would be wrong."""
    encoder = OneHotTripEncoder("pair_distance").fit(make_trips([(1, 2), (3, 4)], [1.0, 1.0]))
    with pytest.raises(ContractError, match="not a zone, a whole number from 1 to 265"):
        encoder.transform(make_trips([(zone, 2)], [2.0]))


def test_clips_long_distances() -> None:
    """Distances are clipped where that is asked for, and only there."""
    trips = make_trips([(1, 2), (1, 2)], [201_421.0, 2.0])
    assert OneHotTripEncoder("pair_distance").fit_transform(trips).toarray()[:, 1].tolist() == [
        201_421.0,
        2.0,
    ]
    clipped = OneHotTripEncoder("pair_distance", clip_distance=30.0).fit_transform(trips)
    assert clipped.toarray()[:, 1].tolist() == [30.0, 2.0]


def test_rich_recipe_names_what_it_encodes() -> None:
    """`rich` adds the hour, the weekday and the attributes; a missing attribute reads as 0."""
    encoder = OneHotTripEncoder("rich")
    row = encoder.fit_transform(make_trips([(1, 2)], [3.5])).toarray()[0]
    named = dict(zip(encoder.get_feature_names_out(), row, strict=True))
    assert {name: value for name, value in named.items() if value} == {
        "PU_DO=1_2": 1.0,
        "hour=8": 1.0,
        "weekday=0": 1.0,
        "passenger_count": 2.0,
        "VendorID": 1.0,
        "trip_distance": 3.5,
    }
    assert named["trip_type"] == 0.0


def test_booking_recipe_does_not_read_the_distance() -> None:
    """`booking` encodes trips that have no distance at all."""
    trips = make_trips([(1, 2)], [3.5]).drop(columns="trip_distance")
    names = OneHotTripEncoder("booking").fit(trips).get_feature_names_out()
    assert "trip_distance" not in names


def test_missing_column_is_named() -> None:
    """Trips without a column of the recipe are refused by the column's name."""
    trips = make_trips([(1, 2)], [3.5]).drop(columns="DOLocationID")
    with pytest.raises(ContractError, match="lack DOLocationID"):
        OneHotTripEncoder("pair_distance").fit(trips)
