"""Rules of PSI and of matched labels, on whatever hypothesis thinks of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_loop.monitoring.psi import psi, psi_beyond_chance, psi_by_chance
from trip_duration.label_matching import _keys, _meet
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    DURATION,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
)

Counts = npt.NDArray[np.int64]

counts = st.integers(1, 8).flatmap(
    lambda bins: st.tuples(*[arrays(np.int64, bins, elements=st.integers(0, 10_000))] * 2)
)


@given(counts, st.randoms(use_true_random=False))
def test_psi_is_a_symmetric_distance(pair: tuple[Counts, Counts], random: object) -> None:
    """At least 0, 0 of the same shares, the same both ways and in whatever order bins stand."""
    expected, actual = pair
    value = psi(expected, actual)
    if not expected.sum() or not actual.sum():
        assert np.isnan(value)
        assert np.isnan(psi_beyond_chance(expected, actual))
        return
    assert value >= -1e-12
    assert psi(actual, expected) == pytest.approx(value)
    assert psi(expected, expected) == 0
    assert psi(expected, 3 * expected) == pytest.approx(0)
    order = [*range(len(expected))]
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert psi(expected[order], actual[order]) == pytest.approx(value)
    # A bin that nothing has ever been in says nothing.
    wider = [np.append(one, 0) for one in pair]
    assert psi(*wider) == pytest.approx(value)
    assert psi_by_chance(*wider) == psi_by_chance(expected, actual)


@given(counts)
def test_chance_explains_no_more_than_there_is(pair: tuple[Counts, Counts]) -> None:
    """Between 0 and all of it is left, and of more trips more."""
    expected, actual = pair
    left = psi_beyond_chance(expected, actual)
    if np.isnan(left):
        return
    assert 0 <= left <= max(psi(expected, actual), 0)
    assert psi_beyond_chance(100 * expected, 100 * actual) >= left - 1e-12


#: Few values, so that many trips agree.
trips = st.fixed_dictionaries(
    {
        PICKUP_ZONE: st.integers(1, 2),
        DROPOFF_ZONE: st.integers(1, 2),
        PICKUP_TIME: st.integers(0, 2),
        DISTANCE: st.sampled_from([1.0, 2.5]),
        PASSENGERS: st.sampled_from([1.0, 2.0]),
        VENDOR: st.just(1.0),
        TRIP_TYPE: st.just(1.0),
    }
)
asked = trips.flatmap(
    # NaN stands for a value that was not asked, which is not compared.
    lambda trip: st.fixed_dictionaries(
        {
            name: st.sampled_from([value, float("nan")])
            if name in (DISTANCE, PASSENGERS, VENDOR, TRIP_TYPE)
            else st.just(value)
            for name, value in trip.items()
        }
    )
)


def frame(rows: list[dict[str, float]]) -> pd.DataFrame:
    """Make trips of rows."""
    found = pd.DataFrame(rows, columns=[PICKUP_ZONE, DROPOFF_ZONE, PICKUP_TIME, DISTANCE,
                                        PASSENGERS, VENDOR, TRIP_TYPE])  # fmt: skip
    seconds = found[PICKUP_TIME].astype("int64") + 1_709_280_000
    found[PICKUP_TIME] = seconds.astype("datetime64[s]").astype("datetime64[us]")
    return found


def test_trips_are_matched_to_the_second() -> None:
    """Fractions of a second are ignored, and the next second does not match."""
    trip = {PICKUP_ZONE: 1, DROPOFF_ZONE: 2, PICKUP_TIME: 0, DISTANCE: 1.0, PASSENGERS: 1.0}
    trip |= {VENDOR: 1.0, TRIP_TYPE: 1.0}
    published = frame([trip]).assign(**{DURATION: 7.0})
    asked_for = frame([trip, trip])
    asked_for[PICKUP_TIME] += pd.to_timedelta([0.9, 1.0], unit="s")
    _, agreeing = _meet(asked_for, _keys(asked_for), published)
    assert agreeing.tolist() == [1, 0]


@given(st.lists(asked, max_size=8), st.lists(trips, max_size=12))
def test_labels_are_matched_as_by_hand(
    predictions: list[dict[str, float]], published: list[dict[str, float]]
) -> None:
    """One trip that agrees gives its minutes; none and several give nothing, and are counted."""
    minutes = [float(number) for number in range(len(published))]
    asked_for = frame(predictions)
    found, agreeing = _meet(
        asked_for, _keys(asked_for), frame(published).assign(**{DURATION: minutes})
    )
    for number, prediction in enumerate(predictions):
        agree = [
            place
            for place, trip in enumerate(published)
            if all(trip[name] == value for name, value in prediction.items() if value == value)  # noqa: PLR0124 - not NaN
        ]
        assert agreeing[number] == len(agree)
        if len(agree) == 1:
            assert found[number] == minutes[agree[0]]
    kinds = Counter(np.minimum(agreeing, 2).tolist())
    assert sum(kinds.values()) == len(predictions)
