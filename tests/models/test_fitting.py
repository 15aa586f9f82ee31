"""Fits that are watched while they grow."""

from __future__ import annotations

import numpy as np
import pytest

from trip_duration.models.catalogue import FAMILIES, XGBOOST, get_family
from trip_duration.models.estimators import make_sklearn
from trip_duration.models.fitting import FitData, Watch, fit, prepare
from trip_duration.models.search import SearchRequest
from trip_duration.models.spaces import Settings
from trip_duration.models.termination import EarlyTermination, Terminator
from trip_duration.training_set.types import TrainingSet

REQUEST = SearchRequest(threads=1)
NEVER = EarlyTermination()

GROWING: dict[str, Settings] = {
    "linear_model.Lasso": {"alpha": 0.0001, "max_iter": 100},
    "ensemble.ExtraTreesRegressor": {"n_estimators": 12, "max_depth": 6},
    "ensemble.GradientBoostingRegressor": {"n_estimators": 30, "learning_rate": 0.1},
    "ensemble.RandomForestRegressor": {"n_estimators": 12, "max_depth": 6},
}


def fit_data(name: str, training_set: TrainingSet) -> FitData:
    """What a search of a family learns from."""
    family = get_family(name)
    return prepare(family, FitData.of(training_set, family), REQUEST)


def rmse(actual: np.ndarray, predicted: np.ndarray) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.square(actual - predicted).mean()))


@pytest.mark.parametrize("name", list(GROWING))
def test_growing_ends_where_one_fit_does(name: str, sample_training_set: TrainingSet) -> None:
    """A fit that is watched predicts what scikit-learn predicts when it is left alone."""
    family, settings, data = get_family(name), GROWING[name], fit_data(name, sample_training_set)
    watch = Watch(family, settings, Terminator(NEVER))
    watched = fit(family, settings, data, REQUEST, watch)
    alone = make_sklearn(family, settings, random_state=42)
    alone.fit(data.train, data.train_minutes)
    assert watched.predicted == pytest.approx(alone.predict(data.validation), rel=1e-6)
    assert len(watch.curve) >= 2
    assert watch.curve[-1] < watch.curve[0]


@pytest.mark.parametrize("name", [*GROWING, XGBOOST])
def test_every_growing_family_can_be_given_up(name: str, sample_training_set: TrainingSet) -> None:
    """A fit that another has long surpassed ends at the interval where that shows."""
    family, data = get_family(name), fit_data(name, sample_training_set)
    settings = GROWING.get(name, {"learning_rate": 0.1})
    watching = Terminator(EarlyTermination("bandit", delay_evaluations=1))
    watching.add((0.1,) * 10)
    watch = Watch(family, settings, watching)
    fitted = fit(family, settings, data, REQUEST, watch)
    assert watch.stopped is not None
    assert watch.stopped.startswith("bandit")
    assert len(watch.curve) == 2
    if name != XGBOOST:  # whose best round may lie before the last
        assert rmse(data.validation_minutes, fitted.predicted) == pytest.approx(watch.curve[-1])


def test_every_family_but_two_grows() -> None:
    """Least squares and liblinear show nothing before their end."""
    still = [name for name, family in FAMILIES.items() if family.resource is None]
    assert still == ["linear_model.LinearRegression", "svm.LinearSVR"]


@pytest.mark.parametrize(("rate", "steps"), [(0.1, [5, 10, 15]), (0.05, [10, 20]), (0.3, [2, 4])])
def test_boosting_is_compared_by_how_far_it_went(rate: float, steps: list[int]) -> None:
    """Half the learning rate takes twice the rounds for an interval."""
    watch = Watch(get_family(XGBOOST), {"learning_rate": rate}, Terminator(NEVER))
    for number in range(1, 21):
        watch.report(number, 5.0)
    assert watch.steps[: len(steps)] == steps


def test_a_large_step_ends_several_intervals() -> None:
    """Curves stay comparable place by place where one round goes further than an interval."""
    watch = Watch(get_family(XGBOOST), {"learning_rate": 1.0}, Terminator(NEVER))
    watch.report(1, 5.0)
    watch.report(2, 4.0)
    assert watch.curve == [5.0, 5.0, 4.0, 4.0]


def test_curves_show_what_is_asked_for(sample_training_set: TrainingSet) -> None:
    """With the mean absolute error as primary metric, curves hold it."""
    name = "ensemble.RandomForestRegressor"
    family, data = get_family(name), fit_data(name, sample_training_set)
    settings: Settings = {"n_estimators": 5, "max_depth": 6}
    request = SearchRequest(threads=1, primary_metric="mae")
    watch = Watch(family, settings, Terminator(NEVER))
    fitted = fit(family, settings, data, request, watch)
    expected = np.abs(fitted.predicted - data.validation_minutes).mean()
    assert watch.curve[-1] == pytest.approx(expected)
    assert len(watch.curve) == 5
