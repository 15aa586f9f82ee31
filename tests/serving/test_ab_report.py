"""Errors by version are those of statistics, computed where the log is."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, update
from tests.serving.test_log import entry

from model_loop.cli.serving import describe_comparison
from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant, get_dataset
from model_loop.datasets.stored import text_of_dataset
from model_loop.models.intervals import measured_errors, sums_by_day
from model_loop.monitoring.labels import labelled
from model_loop.monitoring.windows import Window, read_request_log
from model_loop.serving.comparison.report import ab_report
from model_loop.serving.comparison.sequential import evidence_of
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import RequestLog
from model_loop.serving.request_log.tables import insert_predictions, open_log, predictions
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.judged import JudgedDurations

SIZES = {1: 8_000, 2: 4_000}
SPREADS = {1: 4.0, 2: 3.0}
DAY = 86_400.0


def ended(_version: int) -> Moment:
    """Say that every version is asked at the same moment."""
    return "ended"


def errors_of(version: int) -> np.ndarray:
    """Errors of a version, in minutes."""
    return np.random.default_rng(version).normal(0.5, SPREADS[version], SIZES[version])


def fill(folder: Path, told: Iterable[tuple[Entry, float]]) -> RequestLog:
    """Log predictions with feedback."""
    log, actual = RequestLog(open_log("", folder)), {}
    for one, minutes in told:
        log.record(one)
        actual[one.prediction_id] = minutes
    log._write_all()
    assert not log.add_feedback(actual, "tests")
    return log


def days_of(version: int) -> np.ndarray:
    """Days on which a version has predicted, in turn."""
    return np.arange(SIZES[version]) % 10


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A log with feedback on two versions, and predictions without feedback."""
    numbers = itertools.count(1)
    log = fill(
        tmp_path,
        (
            (entry(next(numbers), DAY * (day + 0.4 * version), version, 20.0 + error), 20.0)
            for version in SIZES
            for day, error in zip(days_of(version), errors_of(version), strict=True)
        ),
    )
    log.record(entry(next(numbers), 1_000.0, version=3))
    log._write_all()
    return log.engine


def test_errors_by_version(engine: Engine) -> None:
    """Means and intervals are those of the errors, by day."""
    report = ab_report(engine, "green", ended)
    assert [one.version for one in report.versions] == [1, 2]
    for one in report.versions:
        errors = errors_of(one.version)
        assert (one.rows, one.days) == (len(errors), 10)
        assert one.bias == pytest.approx(errors.mean())
        assert one.rmse == pytest.approx(np.sqrt((errors**2).mean()))
        assert one.mae == pytest.approx(np.abs(errors).mean())
        by_day = measured_errors(sums_by_day(errors, days_of(one.version)))
        assert one.mae_interval == pytest.approx(by_day.mae_interval)
        assert one.rmse_interval is not None
        assert one.rmse_interval[0] < one.rmse < one.rmse_interval[1]


def test_comparison(engine: Engine) -> None:
    """Days are weighed: the mean error of one version less that of the other, day by day."""
    (pair,) = ab_report(engine, "green", ended).comparisons
    by_day = [
        pd.Series(np.abs(errors_of(version))).groupby(days_of(version)).mean() for version in (2, 1)
    ]
    daily = (by_day[0] - by_day[1]).to_numpy()
    evidence = evidence_of(daily)
    assert (pair.version, pair.against, pair.rows) == (2, 1, SIZES[2])
    assert (pair.days, pair.open_days) == (10, 0)
    assert pair.difference == pytest.approx(daily.mean())
    assert pair.e_value == pytest.approx(evidence.e_value)
    assert pair.interval == pytest.approx(evidence.interval)
    assert evidence.decided_after
    assert pair.decided == str(np.datetime64(evidence.decided_after - 1, "D"))
    assert pair.verdict == "version 2 is nearer to the truth"


def test_days_count_once_their_true_values_are_there(engine: Engine) -> None:
    """A day that is not over, or whose labels are awaited, decides nothing; nor does a thin one."""
    noon = 6.5 * DAY
    (early,) = ab_report(engine, "green", ended, now=noon).comparisons
    assert (early.days, early.open_days) == (6, 4)
    assert early.decided is None
    assert early.verdict == "not decided after 6 days"
    log = RequestLog(engine)
    log.record(entry(95_000, 20.2 * DAY, 1, 20.0))
    log.record(entry(95_001, 20.2 * DAY, 2, 90.0))
    log._write_all()
    assert not log.add_feedback({f"{number:032x}": 20.0 for number in (95_000, 95_001)}, "tests")
    (later,) = ab_report(engine, "green", ended).comparisons
    assert (later.days, later.open_days) == (10, 1)


def test_labels_that_take_days_are_waited_for(engine: Engine, monkeypatch: Any) -> None:
    """By the declaration of the dataset."""
    delay = dt.timedelta(days=2)
    monkeypatch.setattr("model_loop.serving.comparison.report.labels_delay", lambda _: delay)
    (pair,) = ab_report(engine, "green", ended, now=6.5 * DAY).comparisons
    assert pair.days == 4


def test_a_window_that_moves_along_moves_no_beginning(engine: Engine) -> None:
    """Errors are those of the window; the comparison has all days, however it is read."""
    whole = ab_report(engine, "green", ended)
    recent = ab_report(engine, "green", ended, since=5 * DAY)
    assert recent.comparisons == whole.comparisons
    assert recent.versions[0].days == 5


def test_what_monitoring_leaves_out_counts_for_no_version(engine: Engine, tmp_path: Path) -> None:
    """A meter that ran all night is no error of a version: one rule for both."""
    before = ab_report(engine, "green", ended)
    nights = [(entry(90_000 + one, DAY, 2, 20.0), 700.0) for one in range(40)]
    moments = [(entry(91_000 + one, DAY, 1, 20.0), 0.5) for one in range(40)]
    fill(tmp_path, [*nights, *moments])
    assert ab_report(engine, "green", ended) == before
    window = Window.of_days("green", dt.datetime.fromtimestamp(0, dt.UTC), dt.datetime.now(dt.UTC))
    watched = labelled(
        read_request_log(engine, window), JudgedDurations.of_rules(CleaningRules()).of_actual
    )
    for one in before.versions:
        ours = watched.of_version(one.version)
        assert one.rows == len(ours)
        assert one.mae == pytest.approx(np.abs(ours.predicted - ours.actual).mean())
    wide = ab_report(engine, "green", ended, judged=JudgedDurations(0, 1_440))
    assert wide.versions[1].mae > 2 * before.versions[1].mae


def test_shadow_is_compared_on_the_same_trips(tmp_path: Path) -> None:
    """In pairs: what makes a trip hard for both is no difference between them."""
    random, count = np.random.default_rng(5), 3_000
    hard = random.normal(0, 5, count)
    engine = open_log("", tmp_path)
    shadow = hard * 0.9 + random.normal(0, 0.5, count)
    numbers = np.arange(count)
    with engine.begin() as connection:
        rows = [
            [
                *(f"{n:032x}", DAY * (n % 14), "green", 1, "champion", "me", None),
                *(20 + hard[n], 1.0, *((2, 20 + shadow[n]) if n % 3 else (None, None))),
                *[None] * 15,
            ]
            for n in range(count)
        ]
        insert_predictions(connection, rows)
    told = {f"{n:032x}": 900.0 if n % 3 == 1 and n < 90 else 20.0 for n in range(count)}
    assert not RequestLog(engine).add_feedback(told, "tests")
    report = ab_report(engine, "green", ended)
    (pair,) = report.paired
    both = (numbers % 3 > 0) & ((numbers >= 90) | (numbers % 3 != 1))
    difference = (np.abs(shadow) - np.abs(hard))[both]
    assert (pair.version, pair.against, pair.paired, pair.rows) == (2, 1, True, both.sum())
    by_day = pd.Series(difference).groupby(numbers[both] % 14).mean()
    assert pair.difference == pytest.approx(by_day.mean())
    assert pair.interval == pytest.approx(evidence_of(by_day.to_numpy()).interval)
    assert (pair.days, pair.verdict) == (14, "version 2 is nearer to the truth")
    (unseen,) = report.shadows
    assert (unseen.version, unseen.rows) == (2, both.sum())
    assert unseen.mae == pytest.approx(np.abs(shadow[both]).mean())
    assert report.comparisons == ()


def test_it_is_too_early_to_decide(tmp_path: Path) -> None:
    """However clear the difference of a single day looks."""
    random = np.random.default_rng(0)
    told = (
        (entry(n, DAY, n % 2 + 1, 20 + random.normal(0, 4) * (1 + n % 2)), 20.0) for n in range(100)
    )
    (pair,) = ab_report(fill(tmp_path, told).engine, "green", ended).comparisons
    assert (pair.interval, pair.decided, pair.e_value) == (None, None, 1)
    assert pair.verdict == "not decided after 1 day"


def test_versions_of_two_moments_are_never_compared(tmp_path: Path) -> None:
    """They are asked different questions, also where one is the shadow of the other's trips."""
    random = np.random.default_rng(1)
    moments: dict[int, Moment] = {1: "booked", 2: "ended", 3: "ended"}
    told = [(entry(n, DAY, n % 4 + 1, 20 + random.normal(0, 4)), 20.0) for n in range(400)]
    log = fill(tmp_path, told)
    with log.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE predictions SET shadow_version = 3, shadow_minutes = 21.0 WHERE version < 3"
        )
    report = ab_report(log.engine, "green", moments.get)
    assert {one.version: one.moment for one in report.versions} == {**moments, 4: None}
    assert [{one.version, one.against} for one in report.comparisons] == [{2, 3}]
    assert [(one.version, one.against) for one in report.paired] == [(3, 2)]
    assert [one.rows for one in report.shadows] == [100]


def test_nothing_is_known(engine: Engine, tmp_path: Path) -> None:
    """Without feedback there is no figure, and none of another service or of before."""
    assert ab_report(open_log("", tmp_path / "new"), "green", ended).versions == ()
    assert ab_report(engine, "yellow", ended).versions == ()
    assert [one.version for one in ab_report(engine, "green", ended, since=9.7 * DAY).versions] == [
        2
    ]


def test_the_command_says_what_the_days_tell(engine: Engine) -> None:
    """Verdict, difference with its unit and interval, days, and those that are awaited."""
    (pair,) = ab_report(engine, "green", ended).comparisons
    assert pair.interval
    low, high = pair.interval
    target = dataset_of_variant("green").target
    assert describe_comparison(pair, target) == (
        f"Version 2 against 1: version 2 is nearer to the truth (decided by {pair.decided}); "
        f"difference {pair.difference:+.3f} min ({low:+.3f} to {high:+.3f}) on 10 days."
    )
    (early,) = ab_report(engine, "green", ended, now=7.5 * DAY).comparisons
    words = describe_comparison(early, target)
    assert words.startswith("Version 2 against 1: not decided after 7 days; difference ")
    assert ", 3 more without enough true values yet; " in words
    assert words.endswith(f" min would take about {early.days_needed} days.")


@pytest.mark.parametrize("paired", [False, True])
def test_versions_of_two_units_are_not_compared(tmp_path: Path, *, paired: bool) -> None:
    """The declaration has changed since the first was trained: by name, and without a figure."""
    log, now = RequestLog(open_log("", tmp_path)), text_of_dataset(get_dataset("bikes"))
    digests = {
        version: log.declare(text)
        for version, text in {
            1: now.replace('"unit":"rentals"', '"unit":"per mille"'),
            2: now,
        }.items()
    }
    actual = {}
    for number in range(60):
        version = 1 if paired else 1 + number % 2
        one = entry(number + 1, DAY * (number // 2), version)._replace(
            service="bikes", row=(), declaration=digests[version]
        )
        log.record(one)
        actual[one.prediction_id] = 20.0
    log._write_all()
    assert not log.add_feedback(actual, "tests")
    if paired:
        with log.engine.begin() as connection:
            connection.execute(update(predictions).values(shadow_version=2, shadow_minutes=19.0))
    units = {2: "rentals"}
    report = ab_report(log.engine, "bikes", lambda _: "request", unit_of=units.get)
    (pair,) = report.paired if paired else report.comparisons
    mine, other = ("rentals", "per mille") if pair.version == 2 else ("per mille", "rentals")
    assert pair.verdict == (
        f"not compared: version {pair.version} predicts in {mine}, "
        f"version {pair.against} in {other}"
    )
    assert (pair.difference, pair.interval, pair.decided) == (None, None, None)
