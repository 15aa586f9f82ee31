"""Errors and labels on published months."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from tests.serving.conftest import fit

from model_loop.monitoring.drift import Inputs, drift_findings, shap_of_window
from model_loop.monitoring.labels import labelled, match_partition
from model_loop.monitoring.levels import Level, gravest_first, thresholds_of, worst
from model_loop.monitoring.performance import PerformanceRules, ReferenceErrors, judge_performance
from model_loop.monitoring.profile import make_reference
from model_loop.monitoring.published import window_of_published
from model_loop.monitoring.slices import measure_errors
from model_loop.monitoring.windows import Window, WindowRows, read_request_log
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.scoring.rows import from_frame
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import Settings
from model_loop.training_set.preparation import build_training_set
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.dataset import TRIPS
from trip_duration.judged import JudgedDurations
from trip_duration.months import Month, MonthSplit
from trip_duration.recipes import get_recipe
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month
from trip_duration.training_set.request import TrainingSetRequest

pytestmark = pytest.mark.whole_months

GREEN = get_service("green")
RICH = get_recipe("rich").columns


def month_of(folder: str, month: str, storage: Path) -> CheckedMonth:
    """A published month, checked."""
    raw = fetch_month(
        folder,
        GREEN,
        Month.parse(month),
        str(storage),
        sample=SampleOptions(),
        timeout_seconds=60,
    )
    return CheckedMonthStore(str(storage)).check(raw, GREEN, ContractLimits())


def reference_of(window: WindowRows) -> ReferenceErrors:
    """Errors of a version on its test month."""
    total, *slices = measure_errors(window)
    by_slice = {(one.slice, one.value): one.measured.rmse for one in slices}
    return ReferenceErrors(1, total.measured.rmse, total.measured.mae, by_slice)


@pytest.mark.parametrize(
    ("train", "validation", "test", "months"),
    [("2024-01", "2024-02", "2024-03", ["2024-04"]),
     ("2023-01", "2023-02", "2024-01", ["2024-02", "2024-03", "2024-04"])],
)  # fmt: skip
def test_no_alarm_on_the_months_that_follow(
    whole_months: str, tmp_path: Path, train: str, validation: str, test: str, months: list[str]
) -> None:
    """Neither of errors nor of drift, on the next month and on those after it."""
    split = MonthSplit.parse(train, validation, test)
    request = TrainingSetRequest(whole_months, "green", split)
    training_set = build_training_set(request, storage_root=str(tmp_path))
    model = fit("xgboost", training_set)
    profile = make_reference(model, training_set).profile
    predictor = Predictor(RegisteredVersion("green", 1), model, RICH)

    def backtest(month: str) -> WindowRows:
        found = window_of_published(
            Window.of_partition("green", month),
            month_of(whole_months, month, tmp_path),
            RICH,
            predictor,
        )
        return labelled(found, JudgedDurations.of_rules(CleaningRules()).of_actual)

    reference = reference_of(backtest(test))
    rules = PerformanceRules(windows=1, needed=1)
    thresholds = thresholds_of(Settings())
    for month in months:
        window = backtest(month)
        found = judge_performance(window, reference, (), thresholds, rules)
        assert not {Level.ACT, Level.UNKNOWN} & {finding.level for finding in found}
        asked = window.inputs(RICH)
        shap = shap_of_window(model, asked, random_state=0)
        drift = drift_findings(profile, Inputs(asked, window.predicted, shap), thresholds, 500)
        assert worst(drift) is Level.OK, [str(one) for one in gravest_first(drift)[:3]]


def test_most_predictions_of_a_month_meet_their_trips(whole_months: str, tmp_path: Path) -> None:
    """Only ambiguous predictions are left out."""
    month = month_of(whole_months, "2024-04", tmp_path / "storage")
    trips = window_of_published(Window.of_partition("green", "2024-04"), month, RICH)
    log = RequestLog(open_log("", tmp_path), LogRules(days=0))
    at = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    chosen = np.random.default_rng(42).choice(len(trips), 5_000, replace=False)
    for number, row in zip(
        chosen, from_frame(TRIPS, trips.rows.iloc[chosen], TRIPS.columns.names), strict=True
    ):
        one = f"{number:032d}"
        log.record(Entry(one, at.timestamp(), "green", 1, "champion", "me", None, 9.0, 1.0, row))
    log._write_all()
    window = read_request_log(log.engine, Window.of_days("green", at, at + dt.timedelta(days=1)))
    found, report = match_partition(window, month)
    assert report.share > 0.99
    known = ~np.isnan(found.actual)
    wanted = trips.actual[found.ids[known].astype(int)]
    np.testing.assert_allclose(found.actual[known], wanted)
