"""Errors by version are those of statistics, computed where the log is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sqlalchemy import Engine
from tests.serving.test_log import entry

from trip_duration.serving.ab_report import ab_report
from trip_duration.serving.log_tables import open_log
from trip_duration.serving.request_log import RequestLog

SIZES = {1: 4_000, 2: 1_000}
SPREADS = {1: 4.0, 2: 3.0}


def errors_of(version: int) -> np.ndarray:
    """Errors of a version, in minutes."""
    return np.random.default_rng(version).normal(0.5, SPREADS[version], SIZES[version])


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A log with feedback on two versions, and predictions that nobody has told the end of."""
    engine = open_log("", tmp_path)
    log = RequestLog(engine)
    actual, number = {}, 0
    for version in SIZES:
        for error in errors_of(version):
            number += 1
            log.record(entry(number, 1_000.0 * version, version, 20.0 + error))
            actual[f"{number:032x}"] = 20.0
    log.record(entry(number + 1, 1_000.0, version=3))
    log._write_all()
    assert not log.add_feedback(actual, "tests")
    return engine


def test_errors_by_version(engine: Engine) -> None:
    """Means and intervals are those of the errors."""
    report = ab_report(engine, "green")
    assert [one.version for one in report.versions] == [1, 2]
    for one in report.versions:
        errors = errors_of(one.version)
        assert one.trips == len(errors)
        assert one.bias == pytest.approx(errors.mean())
        assert one.rmse == pytest.approx(np.sqrt((errors**2).mean()))
        assert one.mae == pytest.approx(np.abs(errors).mean())
        spread = stats.sem(np.abs(errors))
        assert one.mae_interval == pytest.approx(stats.norm.interval(0.95, one.mae, spread))
        assert one.rmse_interval is not None
        assert one.rmse_interval[0] < one.rmse < one.rmse_interval[1]


def test_comparison(engine: Engine) -> None:
    """The difference has Welch's interval, and the sample size has the power that is said."""
    (pair,) = ab_report(engine, "green").comparisons
    first, second = (np.abs(errors_of(version)) for version in (2, 1))
    assert (pair.version, pair.against) == (2, 1)
    assert pair.difference == pytest.approx(first.mean() - second.mean())
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert pair.interval == pytest.approx((welch.low, welch.high), rel=0.01)
    assert pair.decided
    spread = np.sqrt(first.var(ddof=1) + second.var(ddof=1))
    error = spread / np.sqrt(pair.trips_needed)
    power = stats.norm.sf(stats.norm.isf(0.025) - pair.worthwhile / error)
    assert power == pytest.approx(0.8, abs=0.01)


def test_nothing_is_known(engine: Engine, tmp_path: Path) -> None:
    """Without feedback there is no figure, and none of another service or of before."""
    assert ab_report(open_log("", tmp_path / "new"), "green").versions == ()
    assert ab_report(engine, "yellow").versions == ()
    assert [one.version for one in ab_report(engine, "green", since=1_500.0).versions] == [2]
