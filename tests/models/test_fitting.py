"""Fits that are watched while they grow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Lasso
from threadpoolctl import threadpool_info, threadpool_limits

from model_loop.models.catalogue import FAMILIES, XGBOOST, Resource, get_family
from model_loop.models.estimators import make_sklearn
from model_loop.models.fitting import Fit, FitData, prepare
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Categorical, Settings
from model_loop.models.termination import EarlyTermination, Terminator
from model_loop.models.tuning import tune
from model_loop.training_set.types import TrainingSet

REQUEST = SearchRequest(threads=1)

GROWING: dict[str, Settings] = {
    "ensemble.ExtraTreesRegressor": {"n_estimators": 12, "max_depth": 6},
    "ensemble.GradientBoostingRegressor": {"n_estimators": 30, "learning_rate": 0.1},
    "ensemble.RandomForestRegressor": {"n_estimators": 12, "max_depth": 6},
}


def fit_data(name: str, training_set: TrainingSet) -> FitData:
    """What a search of a family learns from."""
    family = get_family(name)
    return prepare(family, FitData.of(training_set, family, REQUEST), REQUEST)


def rmse(actual: np.ndarray, predicted: np.ndarray) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.square(actual - predicted).mean()))


@pytest.mark.parametrize("name", list(GROWING))
def test_growing_ends_where_one_fit_does(name: str, sample_training_set: TrainingSet) -> None:
    """A fit that is watched predicts what scikit-learn predicts when it is left alone."""
    family, settings, data = get_family(name), GROWING[name], fit_data(name, sample_training_set)
    watched = Fit(family, settings, data, REQUEST)
    watched.advance()
    alone = make_sklearn(family, settings, random_state=42)
    alone.fit(data.train, data.train_target)
    expected = alone.predict(data.validation)
    assert watched.fitted().predicted == pytest.approx(expected, rel=1e-6)
    assert watched.ended
    assert len(watched.curve) >= 2
    assert watched.curve[-1] < watched.curve[0]


@pytest.mark.parametrize("name", [*GROWING, XGBOOST])
def test_pausing_changes_nothing(name: str, sample_training_set: TrainingSet) -> None:
    """Two fits that take turns end where each does by itself, to the last bit."""
    family, data = get_family(name), fit_data(name, sample_training_set)
    drawing: dict[str, Settings] = {
        XGBOOST: {"learning_rate": 0.1, "subsample": 0.5, "colsample_bytree": 0.5},
        "ensemble.GradientBoostingRegressor": {
            "n_estimators": 30,
            "learning_rate": 0.1,
            "subsample": 0.5,
        },
    }
    settings = drawing.get(name) or GROWING[name]
    alone, paused, other = (Fit(family, settings, data, REQUEST) for _ in range(3))
    alone.advance()
    for interval in (1, 2):
        paused.advance(pause_at=interval)
        other.advance(pause_at=interval)
        # A tree ends two intervals.
        assert interval <= len(paused.curve) <= 2 * interval
        assert not paused.ended
    paused.advance()
    assert paused.curve == pytest.approx(alone.curve, rel=1e-12)
    assert paused.fitted().predicted == pytest.approx(alone.fitted().predicted, rel=1e-12)


@pytest.mark.parametrize("name", [*GROWING, XGBOOST])
def test_every_growing_family_can_be_given_up(name: str, sample_training_set: TrainingSet) -> None:
    """A fit that another has long surpassed ends at the interval where that shows."""
    family, data = get_family(name), fit_data(name, sample_training_set)
    settings = GROWING.get(name, {"learning_rate": 0.1})
    watching = Terminator(EarlyTermination("bandit", delay_evaluations=1))
    watching.add(0, (0.1,) * 10)
    fit = Fit(family, settings, data, REQUEST)
    fit.advance(lambda curve: watching.reason(1, curve))
    assert fit.stopped is not None
    assert fit.stopped.startswith("bandit")
    assert fit.ended
    assert len(fit.curve) == 2
    if name != XGBOOST:  # whose best round may lie before the last
        error = rmse(data.validation_target, fit.fitted().predicted)
        assert error == pytest.approx(fit.curve[-1])


@pytest.mark.parametrize("name", ["ensemble.ExtraTreesRegressor", "ensemble.RandomForestRegressor"])
def test_a_few_trees_tell_what_a_forest_comes_to(
    name: str, sample_training_set: TrainingSet
) -> None:
    """From six of its trees the error of a forest is known better than from the curve."""
    family, data = get_family(name), fit_data(name, sample_training_set)
    fit = Fit(family, {"n_estimators": 40, "min_samples_leaf": 2}, data, REQUEST)
    fit.advance(pause_at=12)
    expected, seen = fit.outlook[-1], fit.curve[-1]
    fit.advance()
    assert fit.curve[-1] < seen
    assert abs(expected - fit.curve[-1]) < seen - fit.curve[-1]


@pytest.mark.parametrize(
    ("name", "settings", "resource"),
    [
        ("svm.LinearSVR", {"epsilon": 0.5, "C": 0.1, "max_iter": 16_000}, None),
        ("linear_model.Lasso", {"alpha": 0.0001, "max_iter": 100}, None),
        # As in lineages of versions that watched it.
        ("linear_model.Lasso", {"alpha": 0.0001, "max_iter": 100}, Resource("iterations", 40)),
    ],
)
def test_a_linear_trial_takes_all_its_iterations(
    name: str, settings: Settings, resource: Resource | None, sample_training_set: TrainingSet
) -> None:
    """What is measured in a trial is what the final fit would be made of."""
    data = fit_data(name, sample_training_set)
    family = dataclasses.replace(get_family(name), resource=resource)
    fit = Fit(family, settings, data, REQUEST)
    fit.advance()
    assert fit.ended
    alone = make_sklearn(family, settings, random_state=42)
    alone.fit(data.train, data.train_target)
    np.testing.assert_array_equal(fit.fitted().predicted, alone.predict(data.validation))


def test_coordinate_descent_takes_a_single_core(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of BLAS would take the core of another search; afterwards they are as before."""
    seen, fit = list[set[int]](), Lasso.fit

    def threads() -> set[int]:
        return {it["num_threads"] for it in threadpool_info() if it["user_api"] == "blas"}

    def watched(self: Lasso, *given: object) -> Lasso:
        seen.append(threads())
        return fit(self, *given)

    monkeypatch.setattr(Lasso, "fit", watched)
    data = fit_data("linear_model.Lasso", sample_training_set)
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        Fit(get_family("linear_model.Lasso"), {"alpha": 0.01}, data, REQUEST).advance()
        assert (seen, threads()) == ([{1}], before)


def test_trees_and_boosting_grow() -> None:
    """Linear models show nothing before their end."""
    still = [name for name, family in FAMILIES.items() if family.resource is None]
    assert still == ["linear_model.LinearRegression", "linear_model.Lasso", "svm.LinearSVR"]


@pytest.mark.parametrize(("rate", "steps"), [(0.1, [5, 10, 15]), (0.05, [10, 20]), (0.3, [2, 4])])
def test_boosting_is_compared_by_how_far_it_went(
    rate: float, steps: list[int], sample_training_set: TrainingSet
) -> None:
    """Half the learning rate takes twice the rounds for an interval."""
    data = fit_data(XGBOOST, sample_training_set)
    fit = Fit(get_family(XGBOOST), {"learning_rate": rate}, data, REQUEST)
    fit.advance(pause_at=len(steps))
    assert fit.steps == steps


def test_a_slow_learner_is_not_taken_for_a_bad_one(sample_training_set: TrainingSet) -> None:
    """The rate that comes to the lowest error in the end outlasts one that is ahead at first."""
    name = "ensemble.GradientBoostingRegressor"
    family = dataclasses.replace(
        get_family(name),
        space={"n_estimators": Categorical((60,)), "learning_rate": Categorical((0.8, 0.1))},
        fixed={"max_depth": 5},
    )
    ends = tune(family, sample_training_set, REQUEST)
    early_termination = EarlyTermination("truncation")
    halving = dataclasses.replace(REQUEST, early_termination=early_termination)
    halved = tune(family, sample_training_set, halving)
    for found in (ends, halved):
        assert found.best.settings["learning_rate"] == 0.1
    assert [trial.finished for trial in halved.trials].count(True) == 1


def test_a_large_step_ends_several_intervals(sample_training_set: TrainingSet) -> None:
    """Curves stay comparable place by place where one round goes further than an interval."""
    data = fit_data(XGBOOST, sample_training_set)
    fit = Fit(get_family(XGBOOST), {"learning_rate": 1.0}, data, REQUEST)
    fit.advance(pause_at=4)
    assert fit.steps == [1, 1, 2, 2]
    assert fit.curve[0] == fit.curve[1] != fit.curve[2] == fit.curve[3]


def test_curves_show_what_is_asked_for(sample_training_set: TrainingSet) -> None:
    """With the mean absolute error as primary metric, curves hold it."""
    name = "ensemble.RandomForestRegressor"
    family, data = get_family(name), fit_data(name, sample_training_set)
    settings: Settings = {"n_estimators": 5, "max_depth": 6}
    request = SearchRequest(threads=1, primary_metric="mae")
    fit = Fit(family, settings, data, request)
    fit.advance()
    expected = np.abs(fit.fitted().predicted - data.validation_target).mean()
    assert fit.curve[-1] == pytest.approx(expected)
    assert len(fit.curve) == 10
