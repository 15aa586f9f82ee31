"""Regressors that a run adds to the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import shap

from model_loop.errors import InvalidInputError
from model_loop.models.extras import extra_families
from model_loop.models.proposals import known_in_advance
from model_loop.models.search import SearchAlgorithm, SearchRequest
from model_loop.models.spaces import Categorical, Integer, Real
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects.trust import dump_estimator, load_estimator
from model_loop.orchestration.steps.training import choose_models
from model_loop.tracking.models import write_model_report
from model_loop.tracking.names import FIGURES, NUMBERS
from model_loop.training_set.types import TrainingSet

TREE = "tree.DecisionTreeRegressor"
QUICK = SearchRequest(max_evaluations=2, threads=1)
NEIGHBOURS = {
    "n_neighbors": {"low": 5, "high": 50},
    "weights": ["uniform", "distance"],
    "leaf_size": 40,
}
SPACES: dict[str, dict[str, Any]] = {
    "neighbors.KNeighborsRegressor": NEIGHBOURS,
    "linear_model.Ridge": {"alpha": {"low": 0.01, "high": 10.0, "log": True}},
    "ensemble.HistGradientBoostingRegressor": {"max_iter": 20, "learning_rate": [0.1, 0.2]},
    "tree.DecisionTreeRegressor": {"max_depth": {"low": 3, "high": 6}},
    # These read no sparse matrix, linear as they are.
    "linear_model.BayesianRidge": {},
    "linear_model.ARDRegression": {"max_iter": 3},
    "linear_model.OrthogonalMatchingPursuit": {},
    "linear_model.TheilSenRegressor": {"max_subpopulation": 20, "max_iter": 5},
    # SHAP does not read these, made of trees as they are.
    "ensemble.BaggingRegressor": {"n_estimators": 3},
    "ensemble.AdaBoostRegressor": {"n_estimators": 3, "loss": ["linear", "square"]},
}
#: Spaces that hold one point.
POINTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"max_depth": 3}, {"max_depth": 3}),
    ({"max_depth": {"low": 3, "high": 3}}, {"max_depth": 3}),
    (
        {"max_depth": [4], "min_samples_leaf": {"low": 0.01, "high": 0.01, "log": True}},
        {"max_depth": 4, "min_samples_leaf": 0.01},
    ),
    ({}, {}),
]


def test_spaces_are_read() -> None:
    """Ranges, lists and single values become what is searched and what is fixed."""
    family = extra_families({"neighbors.KNeighborsRegressor": NEIGHBOURS})[
        "neighbors.KNeighborsRegressor"
    ]
    assert family.space == {
        "n_neighbors": Integer(5, 50),
        "weights": Categorical(("uniform", "distance")),
    }
    assert family.fixed == {"leaf_size": 40}
    assert not family.seeded
    ridge = extra_families(SPACES)["linear_model.Ridge"]
    assert ridge.space == {"alpha": Real(0.01, 10.0, log=True)}
    assert (ridge.layout, ridge.seeded) == ("sparse", True)


@pytest.mark.parametrize("name", list(SPACES))
def test_they_are_tuned_trained_and_stored(name: str, sample_training_set: TrainingSet) -> None:
    """An added regressor goes all the way to a stored model, without pickle."""
    family = extra_families(SPACES)[name]
    tuned = tune(family, sample_training_set, QUICK)
    trained = train(tuned, sample_training_set, QUICK, family)
    assert trained.evaluation is not None
    assert trained.evaluation.metrics.rmse < trained.evaluation.naive.rmse
    trips = sample_training_set.example_rows
    again = load_estimator(dump_estimator(trained.model))
    assert again.predict(trips) == pytest.approx(trained.model.predict(trips))


@pytest.mark.parametrize("algorithm", get_args(SearchAlgorithm))
@pytest.mark.parametrize(("space", "settings"), POINTS, ids=str)
def test_one_point_is_one_trial(
    space: dict[str, Any],
    settings: dict[str, Any],
    algorithm: SearchAlgorithm,
    sample_training_set: TrainingSet,
) -> None:
    """A model whose settings are all fixed is trained once, with these, whatever searches."""
    family = extra_families({"tree.DecisionTreeRegressor": space})["tree.DecisionTreeRegressor"]
    request = SearchRequest(max_evaluations=50, search_algorithm=algorithm, threads=1)
    (trial,) = tune(family, sample_training_set, request).trials
    assert trial.finished
    assert family.complete(trial.settings, random_state=42) == {**settings, "random_state": 42}


@pytest.mark.parametrize("algorithm", get_args(SearchAlgorithm))
@pytest.mark.parametrize("further", [{"log": True}, {"log": False}, {}], ids=str)
def test_whole_numbers_stay_whole(
    further: dict[str, bool], algorithm: SearchAlgorithm, sample_training_set: TrainingSet
) -> None:
    """A range between whole numbers holds whole numbers, on either scale, its bounds among them."""
    name, bounds = "neighbors.KNeighborsRegressor", {"low": 5, "high": 50, **further}
    family = extra_families({name: {"n_neighbors": bounds}})[name]
    request = SearchRequest(max_evaluations=6, search_algorithm=algorithm, threads=1)
    trials = tune(family, sample_training_set, request).trials
    drawn = [number for trial in trials if isinstance(number := trial.settings["n_neighbors"], int)]
    assert len(drawn) == len(trials)
    assert all(5 <= number <= 50 for number in drawn)
    assert all(trial.finished for trial in trials)
    if algorithm == "grid":
        assert (min(drawn), max(drawn)) == (5, 50)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"low": 3, "high": 6.0}, Integer(3, 6)),
        ({"low": 3.0, "high": 6.0, "log": True}, Integer(3, 6, log=True)),
        ([2.0, None, 5], Categorical((2, None, 5))),
    ],
)
def test_whole_numbers_may_be_written_as_others(given: Any, becomes: object) -> None:
    """6.0 of JSON is 6 where scikit-learn wants whole numbers."""
    (family,) = extra_families({TREE: {"max_depth": given}}).values()
    assert family.space == {"max_depth": becomes}
    assert extra_families({TREE: {"max_depth": 6.0}})[TREE].fixed == {"max_depth": 6}


def test_a_range_of_two_meanings_keeps_one(sample_training_set: TrainingSet) -> None:
    """0.1 to 1.0 is a share of the features, not one feature."""
    (family,) = extra_families({TREE: {"max_features": {"low": 0.1, "high": 1.0}}}).values()
    assert family.space == {"max_features": Real(0.1, 1.0)}
    assert all(trial.finished for trial in tune(family, sample_training_set, QUICK).trials)


def test_a_logarithmic_range_draws_small_numbers_more_often() -> None:
    """Half of the draws from 1 to 100 are below their geometric mean, and 1 is among them."""
    request = SearchRequest(max_evaluations=90, search_algorithm="random")
    drawn = [
        settings["depth"]
        for settings in known_in_advance({"depth": Integer(1, 100, log=True)}, request)
    ]
    assert 0.35 < np.mean([number <= 10 for number in drawn]) < 0.65  # type: ignore[operator]  # whole numbers
    assert 1 in drawn


@pytest.mark.parametrize("name", ["linear_model.BayesianRidge", "neighbors.KNeighborsRegressor"])
def test_what_reads_no_sparse_matrix_is_refused_with_one_hot(name: str) -> None:
    """The form says so before anything is prepared: this encoding makes nothing else."""
    params = {"service": "green", "models": [], "extra_models": {name: {}}}
    assert choose_models({**params, "encoding": "native"}) == [name]
    with pytest.raises(InvalidInputError, match=r"cannot read a sparse matrix.*native"):
        choose_models({**params, "encoding": "one_hot"})


def test_an_explanation_that_fails_costs_no_model(
    sample_training_set: TrainingSet,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """A model is trained and reported although SHAP and charts fail, which the log says once."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise AssertionError("no such tree")

    name = "tree.DecisionTreeRegressor"
    family = extra_families({name: {"max_depth": 3}})[name]
    monkeypatch.setattr(shap, "TreeExplainer", fail)
    monkeypatch.setattr("model_loop.tracking.models.model_charts", fail)
    tuned = tune(family, sample_training_set, QUICK)
    trained = train(tuned, sample_training_set, QUICK, family)
    write_model_report(tmp_path, trained, sample_training_set)
    assert trained.explanation is not None
    assert trained.explanation.shap is None
    assert not trained.explanation.permutation.empty
    written = {path.name for path in tmp_path.iterdir()}
    assert {NUMBERS, "permutation_importance.csv", "test_metrics.json"} <= written
    assert FIGURES not in written
    for what in ("The SHAP explanation", "The charts"):
        assert caplog.text.count(f"{what} could not be made") == 1


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({"os.system": {}}, "not a scikit-learn regressor"),
        ({"neighbors.KNeighborsClassifier": {}}, "a classifier and not a scikit-learn regressor"),
        ({"linear_model.Lasso": {}}, "a search space of its own"),
        ({"ensemble.StackingRegressor": {}}, "made of other models"),
        ({"isotonic.IsotonicRegression": {}}, "cannot be used here"),
        ({"linear_model.Ridge": {"beta": 1}}, "'beta'.*alpha"),
        ({"linear_model.Ridge": {"alpha": {"low": 2, "high": 1}}}, "not a search space"),
        ({"linear_model.Ridge": {"alpha": {"low": 0, "high": 1, "log": True}}}, "low > 0"),
        ({"linear_model.Ridge": {"alpha": {"low": 0, "high": float("inf")}}}, "not a search space"),
        ({"linear_model.Ridge": {"alpha": []}}, "not a search space"),
        ({"linear_model.Ridge": {"alpha": {"from": 1}}}, "not a search space"),
        ({TREE: {"max_depth": {"low": 1, "high": 10**400}}}, "not a search space"),
        ({TREE: {"max_depth": {"low": 1, "high": 5, "log": "yes"}}}, "not a search space"),
        ({TREE: {"max_depth": -1}}, r"Value -1 of max_depth of tree.*int in the range \[1, inf\)"),
        ({TREE: {"max_depth": "deep"}}, "Value 'deep' of max_depth"),
        ({TREE: {"max_depth": [3, 0]}}, "Value 0 of max_depth"),
        ({TREE: {"max_depth": 2.5}}, "Value 2.5 of max_depth"),
        ({TREE: {"max_depth": {"low": 0, "high": 5}}}, "Value 0 of max_depth"),
        ({TREE: {"ccp_alpha": {"low": -1.0, "high": 5.0}}}, "Value -1.0 of ccp_alpha"),
        ({TREE: {"min_samples_leaf": {"low": 0.5, "high": 3}}}, "has a bound that stands"),
        ({TREE: {"max_depth": float("nan")}}, "Value nan of max_depth"),
    ],
)
def test_wrong_ones_are_refused(spaces: dict[str, Any], message: str) -> None:
    """Nothing but scikit-learn's own regressors, with spaces that are spaces."""
    with pytest.raises(InvalidInputError, match=message):
        extra_families(spaces)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tree.DecisionTreeRegressor", "a regressor and not a scikit-learn classifier"),
        ("os.system", "is not a scikit-learn classifier, and the target is a class"),
        ("linear_model.LogisticRegression", "a search space of its own"),
        ("linear_model.Perceptron", "classes without their probabilities"),
    ],
)
def test_of_classes_classifiers_are_added(name: str, message: str) -> None:
    """Those that say probabilities, and no regressor."""
    with pytest.raises(InvalidInputError, match=message):
        extra_families({name: {}}, "binary")
    added = "tree.DecisionTreeClassifier"
    space = {"max_depth": {"low": 3, "high": 6}, "criterion": ["gini", "entropy"], "ccp_alpha": 0}
    family = extra_families({added: space}, "multiclass")[added]
    assert family.fixed == {"ccp_alpha": 0.0}
    assert set(family.space) == {"max_depth", "criterion"}
    with pytest.raises(InvalidInputError, match="Value 0 of max_depth"):
        extra_families({added: {"max_depth": 0}}, "binary")
