"""Search spaces."""

from __future__ import annotations

import numpy as np
import pytest
from hyperopt.pyll.stochastic import sample

from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import FAMILIES, SKLEARN_FAMILIES, get_family
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import (
    Choice,
    Dimension,
    Integer,
    Real,
    Space,
    grid,
    plain,
    to_hyperopt,
)


def within(dimension: Dimension, value: object) -> bool:
    """Whether a value belongs to a dimension, type included."""
    match dimension:
        case Integer(low, high):
            return type(value) is int and low <= value <= high
        case Real(low, high):
            return type(value) is float and low <= value <= high
        case Choice(values):
            return value in values


@pytest.mark.parametrize("name", list(FAMILIES))
def test_samples_are_plain_and_within_bounds(name: str) -> None:
    """What hyperopt draws becomes plain Python values within the declared bounds, all of them."""
    space = FAMILIES[name].space
    random = np.random.default_rng(0)
    for _ in range(50):
        point = plain(space, sample(to_hyperopt(space), rng=random))
        assert list(point) == list(space)
        assert all(within(dimension, point[key]) for key, dimension in space.items())


def test_log_scale_reaches_small_values() -> None:
    """A logarithmic dimension draws as often below the geometric middle as above it."""
    space = {"alpha": Real(1e-4, 1.0, log=True)}
    random = np.random.default_rng(0)
    drawn = [plain(space, sample(to_hyperopt(space), rng=random))["alpha"] for _ in range(200)]
    assert 70 < sum(value < 1e-2 for value in drawn if isinstance(value, float)) < 130


def test_the_six_families_and_xgboost() -> None:
    """The catalogue holds what the course trains."""
    assert list(FAMILIES) == [*SKLEARN_FAMILIES, "xgboost"]
    assert set(SKLEARN_FAMILIES) == {
        "linear_model.LinearRegression",
        "linear_model.Lasso",
        "svm.LinearSVR",
        "ensemble.ExtraTreesRegressor",
        "ensemble.GradientBoostingRegressor",
        "ensemble.RandomForestRegressor",
    }


def test_unknown_family() -> None:
    """An unknown family is refused with the known ones."""
    with pytest.raises(InvalidInputError, match=r"'linear_model\.Ridge' is unknown.*xgboost"):
        get_family("linear_model.Ridge")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_evaluations": 0}, "max_evaluations = 0 is out of bounds. Give 1 or more"),
        ({"max_evaluations": -5}, "max_evaluations = -5"),
        ({"random_state": -1}, "random_state = -1"),
        ({"early_stopping_rounds": 0}, "early_stopping_rounds = 0"),
        ({"patience_evaluations": -1}, "patience_evaluations = -1"),
        ({"primary_metric": "mape"}, "Primary metric 'mape' is unknown.*rmse, mse, mae, r2"),
        ({"time_budget_seconds": -1.0}, "time_budget_seconds = -1"),
        ({"search_algorithm": "guess"}, "'guess' is unknown.*tpe, random, anneal, grid"),
    ],
)
def test_search_has_bounds(changes: dict[str, object], message: str) -> None:
    """A search that cannot be is refused by the name of the field."""
    with pytest.raises(InvalidInputError, match=message):
        SearchRequest(**changes)  # type: ignore[arg-type]  # wrong on purpose


def test_a_grid_is_as_fine_as_it_may_be() -> None:
    """Dimensions grow in turn; bounds and choices are all there; no point comes twice."""
    space: Space = {
        "depth": Integer(4, 12),
        "rate": Real(0.01, 1.0, log=True),
        "flag": Choice((1, 0)),
    }
    points = grid(space, 20)
    assert len(points) == 3 * 3 * 2
    assert {point["depth"] for point in points} == {4, 8, 12}
    rates = sorted({float(point["rate"] or 0) for point in points})
    assert rates == pytest.approx([0.01, 0.1, 1.0])
    assert {point["flag"] for point in points} == {0, 1}
    assert len({tuple(point.items()) for point in points}) == len(points)


def test_a_grid_keeps_to_its_limit() -> None:
    """One point is the middle of every range; a small space is covered once."""
    space: Space = {"depth": Integer(4, 12), "share": Real(0.2, 1.0)}
    assert grid(space, 1) == [{"depth": 8, "share": pytest.approx(0.6)}]
    assert len(grid({"flag": Choice((True, False))}, 50)) == 2
    assert [point["depth"] for point in grid({"depth": Integer(1, 3)}, 50)] == [1, 2, 3]
    for most in range(1, 40):
        assert len(grid(space, most)) <= most
