"""Both matrices, computed a second time trip by trip, as the documentation of encoders says it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from trip_duration import geometry
from trip_duration.recipes import RECIPES
from trip_duration.training_set.encoders import one_hot
from trip_duration.training_set.encoders.columns import is_holiday
from trip_duration.training_set.encoders.dense import DenseTripEncoder
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder

#: Zones that the map knows, one that it does not, and one that lies in no city.
ZONES = (1, 7, 42, 74, 132, 236, 264, 265)
RANDOM = np.random.default_rng(11)


def make(count: int, zones: tuple[int, ...] = ZONES, seed: int = 0) -> pd.DataFrame:
    """Trips of all hours of a few weeks, very short and very long ones among them."""
    random = np.random.default_rng(seed)
    seconds = 1_703_000_000 + random.integers(0, 40 * 86_400, count)
    return pd.DataFrame(
        {
            "PULocationID": random.choice(zones, count).astype(np.int32),
            "DOLocationID": random.choice(zones, count).astype(np.int32),
            "trip_distance": random.choice([0.0, 0.1, 0.29, 0.31, 2.5, 9.0, 40.0], count),
            "pickup_datetime": seconds.astype("datetime64[s]").astype("datetime64[us]"),
            "passenger_count": random.choice([1.0, 2.0, np.nan], count),
            "VendorID": random.choice([1.0, 2.0], count),
            "trip_type": random.choice([1.0, np.nan], count),
        }
    )


TRIPS, FURTHER = make(250), make(60, (*ZONES, 100, 200), seed=1)
MINUTES = RANDOM.uniform(0.5, 60.0, len(TRIPS))


PAIR = ("PULocationID", "DOLocationID")


def records(trips: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each trip by the names of its columns."""
    return [{str(name): value for name, value in one.items()} for one in trips.to_dict("records")]


def categories(trips: pd.DataFrame, *, timed: bool) -> npt.NDArray[np.object_]:
    """Name the categories of each trip as words."""
    rows = []
    for trip in records(trips):
        pickup, dropoff, time = (trip[name] for name in (*PAIR, "pickup_datetime"))
        row = [f"{pickup}", f"{dropoff}", f"{pickup} to {dropoff}"]
        if timed:
            weekday = f"{time:%A} {time.hour}"
            row += [f"{pickup} at {time.hour}", f"{dropoff} at {time.hour}", weekday]
        rows.append(row)
    return np.array(rows, dtype=object)


def plain_columns(trips: pd.DataFrame, recipe: str, clip: float | None) -> dict[str, list[float]]:
    """Compute what needs nothing to be learned, each trip for itself."""
    about = RECIPES[recipe]
    columns: dict[str, list[float]] = {}

    def put(name: str, value: float) -> None:
        columns.setdefault(name, []).append(value)

    for row, trip in enumerate(records(trips)):
        ends = (np.array([trip[PAIR[0]]]), np.array([trip[PAIR[1]]]))
        put(PAIR[0], trip[PAIR[0]])
        put(PAIR[1], trip[PAIR[1]])
        for name, (value,) in geometry.features(*ends).items():
            put(name, value)
        if about.knows_time:
            time = trip["pickup_datetime"]
            put("hour", time.hour + time.minute / 60 + time.second / 3_600)
            put("weekday", time.weekday())
            put("is_holiday", is_holiday(trips.iloc[[row]])[0])
        for name in about.attributes:
            value = trip[name]
            put(name, 0.0 if np.isnan(value) else value)
        if about.knows_distance:
            miles = trip["trip_distance"] if clip is None else min(trip["trip_distance"], clip)
            put("trip_distance", miles)
            (between,) = geometry.centroid_miles(*ends)
            put("detour", miles / (between + 0.3) if between >= 0 else -1.0)
    return columns


def paces(trips: pd.DataFrame, minutes: npt.NDArray[np.float64], clip: float | None) -> list[float]:
    """Compute the logarithm of minutes per mile, of no less than 0.3 miles, within 0.5 and 30."""
    found = []
    for miles, duration in zip(trips["trip_distance"], minutes, strict=True):
        metered = max(miles if clip is None else min(miles, clip), 0.3)
        found.append(float(np.log(min(max(duration / metered, 0.5), 30.0))))
    return found


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("clip", "seed"), [(None, 42), (5.0, 7)])
def test_the_dense_matrix(recipe: str, clip: float | None, seed: int) -> None:
    """Zones, map, time, attributes, distance, and the means of each category, by their names."""
    about = RECIPES[recipe]
    encoder = DenseTripEncoder(recipe, clip_distance=clip, random_state=seed)
    crossed = clone(encoder).fit_transform(TRIPS, MINUTES)
    encoder.fit(TRIPS, MINUTES)
    names = list(encoder.get_feature_names_out())
    target = TargetEncoder(
        target_type="continuous",
        smooth="auto",
        cv=KFold(5, shuffle=True, random_state=seed),
    )
    learned, later = (categories(trips, timed=about.knows_time) for trips in (TRIPS, FURTHER))
    kinds = ["pickup", "dropoff", "pair"]
    kinds += ["pickup_hour", "dropoff_hour", "weekday_hour"] if about.knows_time else []

    def encode(values: Any, *, again: bool) -> Any:
        if again:
            return clone(target).fit_transform(learned, values)
        return clone(target).fit(learned, values).transform(later)

    for trips, found, again in (
        (TRIPS, crossed, True),
        (FURTHER, encoder.transform(FURTHER), False),
    ):
        expected = plain_columns(trips, recipe, clip)
        means = encode(MINUTES, again=again)
        expected |= {f"mean_duration_{kind}": means[:, i] for i, kind in enumerate(kinds)}
        if about.knows_distance:
            means = encode(np.array(paces(TRIPS, MINUTES, clip)), again=again)
            expected |= {f"log_pace_{kind}": means[:, i] for i, kind in enumerate(kinds)}
            miles = np.array(expected["trip_distance"])
            expected |= {
                f"minutes_at_pace_{kind}": np.exp(means[:, i]) * miles
                for i, kind in enumerate(kinds)
            }
        assert names == list(expected)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.column_stack(list(expected.values())), rtol=2e-5)


def one_hot_row(given: dict[str, Any], recipe: str, clip: float | None) -> dict[str, float]:
    """Name the entries of a trip, those that are zeros among them."""
    about = RECIPES[recipe]
    row = {f"PU_DO={given['PULocationID']}_{given['DOLocationID']}": 1.0}
    if about.knows_time:
        row[f"hour={given['pickup_datetime'].hour}"] = 1.0
        row[f"weekday={given['pickup_datetime'].weekday()}"] = 1.0
    for name in about.attributes:
        row[name] = 0.0 if np.isnan(given[name]) else given[name]
    if about.knows_distance:
        miles = given["trip_distance"]
        row["trip_distance"] = miles if clip is None else min(miles, clip)
    return row


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("clip", [None, 5.0])
@pytest.mark.parametrize("rows", [2**17, 50])
def test_the_sparse_matrix(
    recipe: str, clip: float | None, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every entry stands in the column of its name, in chunks of any size and in several parts."""
    monkeypatch.setattr(one_hot, "_CHUNK_ROWS", rows)
    encoder = OneHotTripEncoder(recipe, clip_distance=clip).fit(TRIPS)
    names = list(encoder.get_feature_names_out())
    pairs = {f"PU_DO={one[PAIR[0]]}_{one[PAIR[1]]}" for one in records(TRIPS)}
    assert names[: len(pairs)] == sorted(pairs)
    assert len(names) == len(set(names)) == encoder.width_
    given = pd.concat([TRIPS, FURTHER], ignore_index=True)
    expected = np.zeros((len(given), len(names)))
    entries = []
    for number, trip in enumerate(records(given)):
        row = one_hot_row(trip, recipe, clip)
        known = {name: value for name, value in row.items() if name in names}
        entries.append(len(known))
        for name, value in known.items():
            expected[number, names.index(name)] = value
    assert min(entries) < max(entries)
    # Parts of a frame, one of them empty, one that is given up.
    parts = [TRIPS.iloc[:130], TRIPS.iloc[:0], TRIPS.iloc[130:], FURTHER.copy()]
    for found in (encoder.transform(given), encoder.transform_parts(parts, give_up=parts[3:])):
        np.testing.assert_array_equal(found.toarray(), expected)
        assert np.diff(found.indptr).tolist() == entries
        assert found.indices.dtype == found.indptr.dtype == np.int32
        assert found.data.dtype == np.float64
    assert not set(parts[3].columns) & set(RECIPES[recipe].columns)
    assert set(RECIPES[recipe].columns) <= set(parts[2].columns)


def test_pairs_are_learned_from_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one frame, in several, and from what each of them has seen."""
    whole = OneHotTripEncoder().fit(pd.concat([TRIPS, FURTHER]))
    monkeypatch.setattr(one_hot, "_CHUNK_ROWS", 30)
    parts = OneHotTripEncoder().fit_parts([TRIPS, FURTHER])
    seen = [OneHotTripEncoder().pairs_of(one) for one in (TRIPS, FURTHER)]
    assert [int(one.sum()) for one in seen] == [
        len(one[[*PAIR]].drop_duplicates()) for one in (TRIPS, FURTHER)
    ]
    for other in (
        parts,
        OneHotTripEncoder().fit_pairs(*seen),
        OneHotTripEncoder().fit_pairs(seen[1], seen[0]),
    ):
        np.testing.assert_array_equal(other.pairs_, whole.pairs_)
        np.testing.assert_array_equal(other.table_, whole.table_)
    assert whole.table_.shape == (512, 512)
    for column, (pickup, dropoff) in enumerate(whole.pairs_):
        assert whole.table_[pickup, dropoff] == column
    assert (whole.table_ >= 0).sum() == len(whole.pairs_)
    assert whole.table_.min() == -1


def test_a_stored_table_is_looked_at() -> None:
    """Columns of pairs that there are, in a table of the right size and kind."""
    OneHotTripEncoder().require_sound()
    encoder = OneHotTripEncoder().fit(TRIPS)
    encoder.require_sound()
    right, count = encoder.table_, len(encoder.pairs_)
    for wrong in (
        right[:511],
        right[:, :511],
        right.astype(float),
        np.where(right == count - 1, count, right),
        np.where(right < 0, -2, right),
    ):
        encoder.table_ = wrong
        with pytest.raises(ValueError, match="a table of zone pairs with columns out of range"):
            encoder.require_sound()


def test_an_error_in_a_helping_thread_is_raised() -> None:
    """Whichever thread a chunk comes to, and every chunk is done once."""
    done: list[int] = []
    one_hot._with_help(done.append, range(50))
    assert sorted(done) == list(range(50))
    one_hot._with_help(done.append, [])

    def fail(number: int) -> None:
        if number % 2:
            message = f"chunk {number}"
            raise ValueError(message)

    with pytest.raises(ValueError, match="chunk"):
        one_hot._with_help(fail, range(50))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        one_hot._with_help(print, range(2), range(3))
