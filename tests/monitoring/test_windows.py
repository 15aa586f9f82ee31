"""Predictions within a time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.errors import InvalidInputError
from model_loop.monitoring.windows import Window, of_scored, read_request_log
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.tables import open_log
from trip_duration.recipes import get_recipe
from trip_duration.services import PICKUP_TIME, PICKUP_ZONE

COLUMNS = get_recipe("rich").columns
NOON = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
ROW = (74.0, 75.0, 1_709_294_400.0, 1.5, 1.0, float("nan"), 1.0)


def entry(number: int, at: dt.datetime, service: str = "green") -> Entry:
    """One prediction."""
    return Entry(
        f"{number:032d}", at.timestamp(), service, 3, "champion", "me", None, 9.0, 1.0, ROW
    )


@pytest.mark.parametrize("inputs", [True, False])
def test_the_request_log_gives_the_trips_of_its_window(tmp_path: Path, *, inputs: bool) -> None:
    """By the moment of the answer, of the service, with feedback; inputs where they were kept."""
    log = RequestLog(open_log("", tmp_path), LogRules(inputs=inputs, days=0))
    hour = dt.timedelta(hours=1)
    log.record_many(
        [
            entry(1, NOON - hour),
            entry(2, NOON),
            entry(3, NOON + hour / 2),
            entry(4, NOON + hour),
            entry(5, NOON, "yellow"),
        ]
    )
    log.start()
    assert log.flush(10)
    log.add_feedback({f"{3:032d}": 12.0}, "me")
    log.stop()
    found = read_request_log(log.engine, Window.of_days("green", NOON, NOON + hour))
    assert [int(one) for one in found.ids] == [2, 3]
    np.testing.assert_array_equal(found.actual, [np.nan, 12.0])
    assert len(found.of_version(3)) == 2
    assert len(found.of_version(4)) == 0
    trips = found.inputs(COLUMNS)
    assert len(trips) == (2 if inputs else 0)
    assert trips[PICKUP_ZONE].dtype == np.int32
    if inputs:
        assert trips[PICKUP_TIME].iloc[0] == pd.Timestamp("2024-03-01 12:00:00")


def test_a_month_begins_at_midnight_in_the_city() -> None:
    """Five hours behind Greenwich in winter, four in summer."""
    window = Window.of_partition("green", "2024-03")
    assert window.start == dt.datetime(2024, 3, 1, 5, tzinfo=dt.UTC)
    assert window.end == dt.datetime(2024, 4, 1, 4, tzinfo=dt.UTC)
    with pytest.raises(InvalidInputError):
        Window.of_days("green", NOON, NOON)


def test_scored_files_give_trips_and_refuse_others() -> None:
    """Rows that could be predicted, whatever their columns are called."""
    scored = pd.DataFrame(
        {
            "lpep_pickup_datetime": ["2024-03-01 08:00:00", "nonsense"],
            "pickup_zone": [74, 75],
            "DOLocationID": [75, 74],
            "trip_distance": [1.5, 2.0],
            "predicted_minutes": [9.0, np.nan],
            "model_version": [3, 3],
            "prediction_id": ["a", "b"],
        }
    )
    window = Window.of_partition("green", "2024-03")
    found = of_scored([scored], window, COLUMNS)
    assert list(found.ids) == ["a"]
    assert len(found.inputs(COLUMNS)) == 1
    with pytest.raises(InvalidInputError, match="not made by batch scoring"):
        of_scored([scored.drop(columns="prediction_id")], window, COLUMNS)
