"""A month as window: what the version says of its trips, against how long they took."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.pipeline import Pipeline
from tests.serving.conftest import fit

from model_loop.monitoring.labels import labelled
from model_loop.monitoring.levels import Level, thresholds_of
from model_loop.monitoring.performance import (
    BIAS,
    MAE,
    RMSE,
    PerformanceRules,
    ReferenceErrors,
    judge_performance,
)
from model_loop.monitoring.published import window_of_published
from model_loop.monitoring.slices import measure_errors
from model_loop.monitoring.windows import Window, WindowRows
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.settings import Settings
from model_loop.training_set.types import TrainingSet
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.judged import JudgedDurations
from trip_duration.months import Month
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month

GREEN = get_service("green")


@pytest.fixture(scope="module")
def model(sample_training_set: TrainingSet) -> Pipeline:
    """A model of generated months."""
    return fit("xgboost", sample_training_set)


def backtest(
    model: Pipeline, training_set: TrainingSet, storage: Path, month: str, drift: Drift
) -> WindowRows:
    """Labelled predictions of a generated month."""
    raw = fetch_month(
        "sample",
        GREEN,
        Month.parse(month),
        str(storage),
        sample=SampleOptions(trips=4_000, seed=7, drift=drift),
        timeout_seconds=1,
    )
    checked = CheckedMonthStore(str(storage)).check(raw, GREEN, ContractLimits())
    predictor = Predictor(RegisteredVersion("green", 1), model, training_set.recipe.columns)
    window = Window.of_partition("green", month)
    found = window_of_published(window, checked, predictor.columns, predictor)
    return labelled(found, JudgedDurations.of_rules(CleaningRules()).of_actual)


@pytest.mark.parametrize(
    ("drift", "level"),
    [(Drift(), Level.OK), (Drift(speed_factor=0.75), Level.ACT)],
    ids=["as before", "slower"],
)
def test_slower_traffic_shows_in_the_errors(
    model: Pipeline, sample_training_set: TrainingSet, tmp_path: Path, drift: Drift, level: Level
) -> None:
    """Inputs that are what they were hide it from everything else."""
    total, *_ = measure_errors(backtest(model, sample_training_set, tmp_path, "2024-03", Drift()))
    reference = ReferenceErrors(1, total.measured.rmse, total.measured.mae)
    window = backtest(model, sample_training_set, tmp_path, "2024-04", drift)
    found = judge_performance(
        window,
        reference,
        (),
        thresholds_of(Settings()),
        PerformanceRules(windows=1, needed=1),
    )
    assert {one.metric: one.level for one in found if one.subject == "all"} == {
        RMSE: level,
        MAE: level,
        BIAS: level,
    }
    if drift.speed_factor < 1:
        assert "predicted less actual is -" in found[2].note
