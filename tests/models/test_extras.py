"""Regressors that a run adds to the catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from trip_duration.errors import InvalidInputError
from trip_duration.models.extras import extra_families
from trip_duration.models.search import SearchRequest
from trip_duration.models.spaces import Choice, Integer, Real
from trip_duration.models.training import train
from trip_duration.models.tuning import tune
from trip_duration.objects.trust import dump_estimator, load_estimator
from trip_duration.training_set.types import TrainingSet

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
}


def test_spaces_are_read() -> None:
    """Ranges, lists and single values become what is searched and what is fixed."""
    family = extra_families({"neighbors.KNeighborsRegressor": NEIGHBOURS})[
        "neighbors.KNeighborsRegressor"
    ]
    assert family.space == {
        "n_neighbors": Integer(5, 50),
        "weights": Choice(("uniform", "distance")),
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
    trips = sample_training_set.example_trips
    again = load_estimator(dump_estimator(trained.model))
    assert again.predict(trips) == pytest.approx(trained.model.predict(trips))


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({"os.system": {}}, "none of scikit-learn's regressors"),
        ({"neighbors.KNeighborsClassifier": {}}, "none of scikit-learn's regressors"),
        ({"linear_model.Lasso": {}}, "a search space of its own"),
        ({"ensemble.StackingRegressor": {}}, "made of other models"),
        ({"isotonic.IsotonicRegression": {}}, "cannot be used here"),
        ({"linear_model.Ridge": {"beta": 1}}, "'beta'.*alpha"),
        ({"linear_model.Ridge": {"alpha": {"low": 2, "high": 1}}}, "no search space"),
        ({"linear_model.Ridge": {"alpha": {"low": 0, "high": 1, "log": True}}}, "low > 0"),
        ({"linear_model.Ridge": {"alpha": []}}, "no search space"),
        ({"linear_model.Ridge": {"alpha": {"from": 1}}}, "no search space"),
    ],
)
def test_wrong_ones_are_refused(spaces: dict[str, Any], message: str) -> None:
    """Nothing but scikit-learn's own regressors, with spaces that are spaces."""
    with pytest.raises(InvalidInputError, match=message):
        extra_families(spaces)
