"""Which windows a run of monitoring looks at."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.errors import InvalidInputError
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.orchestration.steps.windows import partitions_asked, windows_of
from trip_duration.services import PICKUP_TIME

FORM: dict[str, Any] = {
    "service": "green",
    "window_source": "request_log",
    "months": None,
    "first_day": None,
    "last_day": None,
    "outputs": None,
}


def labels(at: str, published: tuple[str, ...] = (), **fields: Any) -> list[str]:
    """The windows of a run of a moment, by their source and label."""
    moment: Any = SimpleNamespace(data_interval_end=dt.datetime.fromisoformat(at), run_after=None)
    found = windows_of({**FORM, **fields}, moment, published)
    return [f"{one['source']} {one['label']}" for one in found]


def test_windows_follow_the_form() -> None:
    """The last week; days with their last one; months in order; a file; what was published."""
    at = "2024-03-01T06:00+00:00"
    assert labels(at) == ["request_log 2024-02-23 06:00 to 2024-03-01 06:00"]
    assert labels(at, first_day="2024-02-28") == ["request_log 2024-02-28 to 2024-02-29"]
    days = labels(at, first_day="2023-12-31", last_day="2024-01-01")
    assert days == ["request_log 2023-12-31 to 2024-01-02"]
    months = labels(at, months=["2024-02", "2023-12", "2024-02"], window_source="month")
    assert months == ["month 2023-12", "month 2024-02"]
    assert labels(at, outputs=["s3://bucket/a.parquet"]) == ["batch a.parquet"]
    assert labels(at, ("2024-01",)) == ["month 2024-01", "request_log 2024-01"]


def test_a_backfill_looks_at_each_month_once() -> None:
    """On the first of the next one, also over the end of a year."""
    found = [
        label
        for at in pd.date_range("2023-12-30T06:00", periods=40, freq="D", tz="UTC")
        for label in labels(str(at), window_source="month")
    ]
    assert found == ["month 2023-12", "month 2024-01"]


@pytest.mark.parametrize(
    "fields",
    [
        {"last_day": "2024-03-01"},
        {"first_day": "2024-03-02", "last_day": "2024-03-01"},
        {"months": ["2024-13"]},
        {"first_day": "2024-03-01", "last_day": "9999-12-31"},
        {"first_day": "0001-01-01"},
    ],
    ids=str,
)
def test_what_is_no_window_is_refused(fields: dict[str, Any]) -> None:
    """Nothing else is looked at in its place."""
    with pytest.raises(InvalidInputError):
        labels("2024-03-01T06:00+00:00", **fields)


def asked_at(times: pd.Series[pd.Timestamp]) -> WindowRows:
    """Requests for some times."""
    none = np.full(len(times), np.nan)
    return WindowRows(
        Window.of_partition("green", "2024-03"),
        "request_log",
        pd.DataFrame({PICKUP_TIME: times}),
        none,
        np.zeros(len(times), dtype=np.int64),
        times.index.astype(str).to_numpy(dtype=object),
        none,
    )


def test_only_the_months_of_most_trips_are_fetched() -> None:
    """Whoever asks for trips of all times does not make us fetch all months."""
    usual = ["2024-02-29 23:59", "2024-03-01 00:00", "2024-03-31 12:00"] * 5
    strange = [f"{year}-01-01" for year in range(1990, 2020)]
    times = pd.Series(pd.to_datetime([*strange, *usual, "NaT"], format="mixed"))
    found = partitions_asked(asked_at(times))
    assert {"2024-02", "2024-03"} <= set(found)
    assert len(found) == 6
    assert partitions_asked(asked_at(times[:0])) == []


METERS = """
name = "meters"
source = "meters-{partition}.csv"
target = "load"
partition = "PART"
labels_after = "2 days"
[time]
column = "at"
time_zone = "Europe/Paris"
[columns.at]
type = "time"
[columns.load]
type = "number"
"""


@pytest.mark.parametrize(
    ("part", "word", "found"),
    [
        ("week", "week", ["month 2024-W01", "month 2024-W02"]),
        ("day", "day", [f"month 2024-01-{day:02d}" for day in range(3, 17)]),
        ("whole", "table", [f"month table of 2024-01-{day:02d}" for day in range(6, 20)]),
    ],
)
def test_partitions_of_any_length_are_looked_at_once(
    part: str, word: str, found: list[str]
) -> None:
    """When the true values of their last row have come, two days after their end in Paris."""
    use_dataset(dataset_of(parse_declaration(METERS.replace("PART", part), "meters.toml")))
    form: dict[str, Any] = {"service": "meters", "window_source": word, "partitions": None}
    days = pd.date_range("2024-01-06T05:00", periods=14, freq="D", tz="UTC")
    assert [one for at in days for one in labels(str(at), **form)] == found


def test_named_weeks_are_windows() -> None:
    """As months are; a month is no week."""
    use_dataset(dataset_of(parse_declaration(METERS.replace("PART", "week"), "meters.toml")))
    form: dict[str, Any] = {"service": "meters", "window_source": "week"}
    named = labels("2024-03-01T06:00+00:00", **form, partitions=["2024-W02", "2023-W52"])
    assert named == ["month 2023-W52", "month 2024-W02"]
    with pytest.raises(InvalidInputError, match="is no week"):
        labels("2024-03-01T06:00+00:00", **form, partitions=["2024-01"])
