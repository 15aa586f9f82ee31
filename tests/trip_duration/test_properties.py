"""Rules of splits, strays, cleaning and lists of months, on whatever hypothesis thinks of."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from tests.trip_duration.conftest import GREEN

from model_loop.errors import ContractError, InvalidInputError
from trip_duration.batches import TripBatch
from trip_duration.months import Month, MonthSplit, parse_months
from trip_duration.services import DURATION, PICKUP_TIME
from trip_duration.split import SplitCollector, SplitTrips

SPLIT = MonthSplit.parse("2024-01,2024-02", "2024-03", "2024-04")
BOUNDARY, END = pd.Timestamp(2024, 3, 1), pd.Timestamp(2024, 4, 1)

times = st.datetimes(Month(2023, 12).start, Month(2024, 6).start)
batches = st.lists(st.lists(times, max_size=6), min_size=1, max_size=3)
files = st.fixed_dictionaries(dict.fromkeys(SPLIT.all, batches))
months = st.builds(Month, st.integers(2000, 2099), st.integers(1, 12))


def batch_of(pickups: list[dt.datetime]) -> TripBatch:
    """Make a batch of trips."""
    moments = np.array(pickups, dtype="datetime64[us]").astype(np.int64)
    columns = {PICKUP_TIME: moments, DURATION: np.full(len(moments), 10.0)}
    return TripBatch(0, columns, np.zeros(len(moments), dtype=bool))


def collect(given_files: dict[Month, list[list[dt.datetime]]]) -> SplitTrips:
    """Split the trips of files."""
    collector = SplitCollector(SPLIT, GREEN, [PICKUP_TIME], 1_000)
    for month, parts in given_files.items():
        collector.begin(month)
        for pickups in parts:
            batch = batch_of(pickups)
            collector.append(batch, np.ones(batch.rows, dtype=bool))
    return collector.finish()


@given(files)
def test_every_trip_is_in_one_part_or_a_stray(
    given_files: dict[Month, list[list[dt.datetime]]],
) -> None:
    """Parts are in the order of time, and rows add up, however files are cut into batches."""
    try:
        found = collect(given_files)
    except ContractError:
        learned = [
            pickup
            for month in (*SPLIT.train, *SPLIT.validation)
            for part in given_files[month]
            for pickup in part
        ]
        # No trip to learn from, or none to tune on.
        assert not all(
            [
                any(pickup < BOUNDARY for pickup in learned),
                any(BOUNDARY <= pickup < END for pickup in learned),
            ]
        )
        return
    rows = sum(len(part) for parts in given_files.values() for part in parts)
    assert len(found.train) + len(found.validation) + len(found.test) + found.strays == rows
    assert (found.train[PICKUP_TIME] < BOUNDARY).all()
    assert found.validation[PICKUP_TIME].between(BOUNDARY, END, inclusive="left").all()
    assert (found.test[PICKUP_TIME] >= END).all()
    whole = {month: [[*itertools.chain(*parts)]] for month, parts in given_files.items()}
    again = collect(whole)
    for part in ("train", "validation", "test"):
        pd.testing.assert_frame_equal(getattr(again, part), getattr(found, part))
    assert again.strays == found.strays
    assert again.periods == found.periods


@given(st.lists(months))
def test_months_are_read_as_they_are_written(given_months: list[Month]) -> None:
    """Once each, in order, from a text and from a sequence."""
    words = [str(month) for month in given_months]
    expected = tuple(sorted(set(given_months)))
    assert parse_months(words) == parse_months(",".join(words)) == expected


@given(months, months)
def test_a_range_holds_every_month_between_its_ends(first: Month, last: Month) -> None:
    """Both ends included; backwards it is refused."""
    try:
        found = parse_months(f"{first}..{last}")
    except InvalidInputError:
        assert last < first
        return
    assert (found[0], found[-1]) == (first, last)
    assert all(one.next() == other for one, other in itertools.pairwise(found))
    assert all(month.next().previous() == month for month in found)
    assert len(found) == 12 * (last.year - first.year) + last.number - first.number + 1


@given(st.lists(months, min_size=1, max_size=4), st.lists(months, min_size=1), st.lists(months))
def test_a_split_is_strictly_in_order(
    train: list[Month], validation: list[Month], test: list[Month]
) -> None:
    """Lists that are in no order of time are refused."""
    today = dt.datetime.now(tz=dt.UTC)
    past = all(month < Month(today.year, today.month) for month in (*train, *validation, *test))
    order = max(train) < min(validation) and (not test or max(validation) < min(test))
    try:
        split = MonthSplit(*(tuple(sorted(set(it))) for it in (train, validation, test)))
    except InvalidInputError:
        assert not (past and order)
        return
    assert past
    assert order
    assert list(split.all) == sorted(set(split.all))


@given(months.filter(lambda month: Month(2003, 1) < month < Month(2026, 1)), st.integers(1, 24))
def test_a_split_that_ends_at_a_month_has_no_gap(newest: Month, count: int) -> None:
    """So many months to learn from, then one to tune on, then the newest."""
    split = MonthSplit.ending_at(newest, count)
    assert len(split.train) == count
    assert split.test == (newest,)
    assert split.all == parse_months(f"{split.train[0]}..{newest}")
