"""Predictions meet how long their trips took."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from model_loop.errors import InvalidInputError
from model_loop.monitoring.labels import add_labels, labelled, match_partition, read_labels
from model_loop.monitoring.windows import Window, WindowRows, read_request_log
from model_loop.scoring.rows import from_frame
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.tables import open_log
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.dataset import TRIPS
from trip_duration.judged import JudgedDurations
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import DISTANCE, DURATION, PICKUP_TIME, get_service
from trip_duration.source.fetching import fetch_month

GREEN = get_service("green")
MARCH = Month(2024, 3)
ASKED_AT = dt.datetime(2024, 4, 2, 12, tzinfo=dt.UTC)
DAY = Window.of_days("green", ASKED_AT, ASKED_AT + dt.timedelta(days=1))


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> CheckedMonth:
    """A month whose first two trips are there a second time, with another end."""
    folder = tmp_path_factory.mktemp("months")
    path = folder / f"green_tripdata_{MARCH}.parquet"
    write_month(path, GREEN, MARCH, SampleOptions(trips=3_000, seed=7))
    table = pq.read_table(path)
    trips = table.to_pandas()
    twins = trips.head(2).copy()
    twins["lpep_dropoff_datetime"] += pd.Timedelta(minutes=1)
    pd.concat([trips, twins]).to_parquet(path, index=False)
    storage = str(tmp_path_factory.mktemp("storage"))
    raw = fetch_month(str(folder), GREEN, MARCH, storage, sample=SampleOptions(), timeout_seconds=1)
    return CheckedMonthStore(storage).check(raw, GREEN, ContractLimits())


@pytest.fixture(scope="module")
def trips(month: CheckedMonth) -> pd.DataFrame:
    """The published trips."""
    return clean_month(month, GREEN, Selection(TRIPS.columns.names, CleaningRules()))


def ask(folder: Path, rows: np.ndarray, *, inputs: bool = True) -> RequestLog:
    """A log in which each row was predicted, with ids from 0."""
    log = RequestLog(open_log("", folder), LogRules(inputs=inputs, days=0))
    log.record_many(
        Entry(
            f"{number:032d}", ASKED_AT.timestamp() + number, "green", 3, "champion", "me", None,
            10.0, 1.0, row,
        )
        for number, row in enumerate(rows)
    )  # fmt: skip
    log.start()
    assert log.flush(20)
    log.stop()
    return log


def read(log: RequestLog) -> WindowRows:
    """The window of the log."""
    return read_request_log(log.engine, DAY)


def test_a_published_month_gives_each_prediction_its_trip(
    tmp_path: Path, month: CheckedMonth, trips: pd.DataFrame
) -> None:
    """Every one that one trip agrees with; the others are left out and counted."""
    chosen = trips.iloc[[0, *range(10, 210)]]
    rows = from_frame(TRIPS, chosen, TRIPS.columns.names)
    other_distance, other_month, unknown = (rows[[1]].copy() for _ in range(3))
    other_distance[:, TRIPS.columns.names.index(DISTANCE)] += 0.01
    other_month[:, TRIPS.columns.names.index(PICKUP_TIME)] -= 40 * 86_400
    unknown[:, TRIPS.columns.names.index(PICKUP_TIME)] = np.nan
    log = ask(tmp_path, np.concatenate([rows, other_distance, other_month, unknown]))
    found, report = match_partition(read(log), month)
    assert (report.matched, report.ambiguous, report.unmatched, report.elsewhere) == (200, 1, 1, 2)
    assert report.predictions == 204
    assert report.share == pytest.approx(200 / 202)
    np.testing.assert_allclose(found.actual[1:201], chosen[DURATION].to_numpy()[1:])
    assert np.isnan(found.actual[[0, 201, 202, 203]]).all()
    assert "200 matched" in str(report)


def test_what_was_not_asked_need_not_agree(
    tmp_path: Path, month: CheckedMonth, trips: pd.DataFrame
) -> None:
    """Zones and time are enough where nothing else was asked."""
    rows = from_frame(TRIPS, trips.iloc[10:60], TRIPS.columns.names)
    rows[:, 3:] = np.nan
    found, report = match_partition(read(ask(tmp_path, rows)), month)
    assert report.matched == 50
    np.testing.assert_allclose(found.actual, trips[DURATION].to_numpy()[10:60])


def test_a_file_of_labels_is_noted_as_feedback(tmp_path: Path, trips: pd.DataFrame) -> None:
    """By the ids of predictions; a second time, nothing is left to note."""
    log = ask(tmp_path, from_frame(TRIPS, trips.iloc[10:13], TRIPS.columns.names))
    file = tmp_path / "labels.csv"
    file.write_text(f"prediction_id;duration\n{0:032d};7.5\n{2:032d};8\n{9:032d};1\n")
    labels = read_labels([str(file)], TRIPS)
    report = add_labels(log.engine, "green", lambda _: labels, DAY.start, "labels add")
    assert (report.predictions, report.matched, report.unmatched) == (3, 2, 1)
    assert str(report).endswith("; 1 label is of no logged prediction")
    np.testing.assert_array_equal(read(log).actual, [7.5, np.nan, 8.0])
    again = add_labels(log.engine, "green", lambda _: labels, DAY.start, "labels add")
    assert (again.told, again.matched, again.unmatched, again.strays) == (2, 0, 1, 1)


def test_labels_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """With the row."""
    file = tmp_path / "labels.csv"
    file.write_text("prediction_id,duration\na,7\nb,seven\n")
    with pytest.raises(InvalidInputError, match="duration of row 2 cannot be read as number"):
        read_labels([str(file)], TRIPS)


def test_what_feedback_has_told_stays(
    tmp_path: Path, month: CheckedMonth, trips: pd.DataFrame
) -> None:
    """By the id of the prediction, whatever the month says."""
    log = ask(tmp_path, from_frame(TRIPS, trips.iloc[10:13], TRIPS.columns.names))
    log.add_feedback({f"{1:032d}": 33.0}, "me")
    found, report = match_partition(read(log), month)
    assert (report.told, report.matched, report.elsewhere) == (1, 2, 0)
    assert found.actual[1] == 33.0


def test_twins_that_nobody_learns_from_count(tmp_path: Path, trips: pd.DataFrame) -> None:
    """Of trips that are too short or too long to learn from, one must not pass for the only one.

    Rows that are damaged are no trips.
    """
    path = tmp_path / f"green_tripdata_{MARCH}.parquet"
    write_month(path, GREEN, MARCH, SampleOptions(trips=3_000, seed=7))
    published = pd.read_parquet(path)
    chosen = trips.iloc[20:23]
    twins = []
    for number, minutes in enumerate((95.0, 0.5, -5.0)):
        same = published["lpep_pickup_datetime"] == chosen[PICKUP_TIME].iloc[number]
        twin = published[same].head(1).copy()
        lasting = pd.Timedelta(minutes=minutes)
        twin["lpep_dropoff_datetime"] = twin["lpep_pickup_datetime"] + lasting
        twins.append(twin)
    pd.concat([published, *twins]).to_parquet(path, index=False)
    storage = str(tmp_path / "storage")
    raw = fetch_month(
        str(tmp_path), GREEN, MARCH, storage, sample=SampleOptions(), timeout_seconds=1
    )
    checked = CheckedMonthStore(storage).check(raw, GREEN, ContractLimits())
    found, report = match_partition(
        read(ask(tmp_path, from_frame(TRIPS, chosen, TRIPS.columns.names))), checked
    )
    assert (report.ambiguous, report.matched) == (2, 1)
    np.testing.assert_allclose(found.actual[2], chosen[DURATION].iloc[2])
    assert str(report).endswith("0 that cannot be matched")
    assert "1 matched (33.3% of those that could be)" in str(report)


def test_without_inputs_nothing_is_matched(
    tmp_path: Path, month: CheckedMonth, trips: pd.DataFrame
) -> None:
    """A log that keeps no inputs, and a window without predictions, are no error."""
    log = ask(
        tmp_path / "none", from_frame(TRIPS, trips.head(3), TRIPS.columns.names), inputs=False
    )
    for window in (read(log), read(log).of_version(99)):
        found, report = match_partition(window, month)
        assert (report.matched, report.elsewhere) == (0, len(window))
        assert np.isnan(report.share)
        assert len(labelled(found, JudgedDurations.of_rules(CleaningRules()).of_actual)) == 0


def test_only_durations_that_were_learned_count(tmp_path: Path, trips: pd.DataFrame) -> None:
    """Trips that took longer than those of the training are no errors of the version."""
    log = ask(tmp_path, from_frame(TRIPS, trips.iloc[10:14], TRIPS.columns.names))
    log.add_feedback(
        {f"{number:032d}": minutes for number, minutes in enumerate((5, 60, 61))}, "me"
    )
    found = labelled(read(log), JudgedDurations.of_rules(CleaningRules()).of_actual)
    assert found.actual.tolist() == [5.0, 60.0]
    assert labelled(
        read(log), JudgedDurations.of_rules(CleaningRules(1.0, 30.0)).of_actual
    ).actual.tolist() == [5.0]
    window = read(log)
    silent = dataclasses.replace(window, predicted=np.full(len(window), np.nan))
    assert len(labelled(silent, JudgedDurations.of_rules(CleaningRules()).of_actual)) == 0
