"""Search spaces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hyperopt.pyll.stochastic import sample

from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import FAMILIES, SKLEARN_FAMILIES, get_family
from model_loop.models.proposals import grid, to_hyperopt
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Categorical, Dimension, Integer, Real, Space, plain, points


def within(dimension: Dimension, value: object) -> bool:
    """Whether a value belongs to a dimension, type included."""
    match dimension:
        case Integer(low, high):
            return type(value) is int and low <= value <= high
        case Real(low, high):
            return type(value) is float and low <= value <= high
        case Categorical(values):
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
        ({"primary_metric": "mape"}, "primary_metric = 'mape' is unknown.*rmse, mse, mae, r2"),
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
        "flag": Categorical((1, 0)),
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
    assert len(grid({"flag": Categorical((True, False))}, 50)) == 2
    assert [point["depth"] for point in grid({"depth": Integer(1, 3)}, 50)] == [1, 2, 3]
    for most in range(1, 40):
        assert len(grid(space, most)) <= most


def drawn(dimension: Dimension, count: int = 3_000) -> list[object]:
    """Draw values of a dimension."""
    random = np.random.default_rng(3)
    expression = to_hyperopt({"x": dimension})
    return [plain({"x": dimension}, sample(expression, rng=random))["x"] for _ in range(count)]


def test_whole_numbers_are_drawn_bounds_included() -> None:
    """A bound half as often as the others, or each by its share of the logarithmic scale."""
    evenly = np.bincount(np.array(drawn(Integer(2, 6)), dtype=np.int64), minlength=7)
    assert evenly[:2].sum() == 0
    assert evenly[2:] / 3_000 == pytest.approx([1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], abs=0.03)
    counts = np.bincount(np.array(drawn(Integer(1, 8, log=True)), dtype=np.int64), minlength=9)
    numbers = np.arange(1, 9)
    shares = np.log((numbers + 0.5) / (numbers - 0.5)) / np.log(8.5 / 0.5)
    assert counts[1:] / 3_000 == pytest.approx(shares, abs=0.03)
    assert len(counts) == 9


def test_real_numbers_and_choices_are_drawn_evenly() -> None:
    """Between their bounds, or their logarithms; a choice by its values; a fixed one always."""
    values = np.array(drawn(Real(2.0, 6.0)), dtype=np.float64)
    assert np.histogram(values, 4, (2, 6))[0] / 3_000 == pytest.approx(np.full(4, 0.25), abs=0.03)
    values = np.log10(np.array(drawn(Real(0.01, 100.0, log=True)), dtype=np.float64))
    assert np.histogram(values, 4, (-2, 2))[0] / 3_000 == pytest.approx(np.full(4, 0.25), abs=0.03)
    values_of_choice = drawn(Categorical(("a", None, 3)), 900)
    for value in ("a", None, 3):
        assert values_of_choice.count(value) / 900 == pytest.approx(1 / 3, abs=0.06)
    assert set(drawn(Real(2.5, 2.5), 20)) == {2.5}
    assert set(drawn(Integer(4, 4), 20)) == {4}
    assert set(drawn(Real(2.5, 2.5, log=True), 20)) == {2.5}


def test_dimensions_have_names() -> None:
    """Each of its own, so that two of the same kind are drawn for themselves."""
    space: Space = {"a": Real(0.0, 1.0), "b": Real(0.0, 1.0), "c": Categorical((1, 2, 3))}
    point = plain(space, sample(to_hyperopt(space), rng=np.random.default_rng(0)))
    assert list(point) == ["a", "b", "c"]
    assert point["a"] != point["b"]


@pytest.mark.parametrize(
    ("dimension", "given", "expected"),
    [
        (Integer(2, 6), 3.0, 3),
        (Integer(2, 6), np.float64(7.0), 6),
        (Integer(2, 6), 1.0, 2),
        (Real(0.5, 2.0), np.float64(1.25), 1.25),
        (Real(0.5, 2.0), 2.0000001, 2.0),
        (Real(0.5, 2.0), 0.4999999, 0.5),
        (Categorical(("a", None)), "a", "a"),
        (Categorical(("a", None)), None, None),
        (Categorical((1, 2)), np.int64(2), 2),
    ],
)
def test_values_are_plain_and_within_their_bounds(
    dimension: Dimension, given: object, expected: object
) -> None:
    """Rounding errors end at a bound; NumPy's numbers become Python's."""
    found = plain({"x": dimension}, {"x": given})["x"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("dimension", "sizes"),
    [
        (Real(1.0, 3.0), {1: [2.0], 2: [1.0, 3.0], 5: [1.0, 1.5, 2.0, 2.5, 3.0]}),
        (Real(0.01, 1.0, log=True), {1: [0.1], 2: [0.01, 1.0], 3: [0.01, 0.1, 1.0]}),
        (Real(2.0, 2.0), {1: [2.0], 5: [2.0]}),
        (Integer(1, 9), {1: [5], 2: [1, 9], 3: [1, 5, 9], 9: [*range(1, 10)], 50: [*range(1, 10)]}),
        (Integer(1, 100, log=True), {1: [10], 2: [1, 100], 5: [1, 3, 10, 32, 100]}),
        (Integer(1, 3, log=True), {3: [1, 2, 3], 9: [1, 2, 3]}),
        (Integer(3, 4), {1: [4], 2: [3, 4]}),
        (Categorical(("a", "b", "c")), {1: ["a"], 2: ["a", "b"], 7: ["a", "b", "c"]}),
    ],
)
def test_values_of_a_grid(dimension: Dimension, sizes: dict[int, list[object]]) -> None:
    """Evenly between the bounds, both among them from two on; first choices first."""
    for most, expected in sizes.items():
        found = [point["x"] for point in grid({"x": dimension}, most)]
        assert found == [pytest.approx(one) if isinstance(one, float) else one for one in expected]
        assert [type(one) for one in found] == [type(one) for one in expected]


def test_dimensions_of_a_grid_grow_in_turn() -> None:
    """No dimension has two values more than another that could have more."""
    space: Space = {"a": Real(0.0, 1.0), "b": Integer(1, 2), "c": Real(1.0, 2.0)}
    shapes = {
        1: (1, 1, 1),
        2: (2, 1, 1),
        4: (2, 2, 1),
        8: (2, 2, 2),
        11: (2, 2, 2),
        12: (3, 2, 2),
        18: (3, 2, 3),
        24: (4, 2, 3),
    }
    for most, shape in shapes.items():
        found = grid(space, most)
        assert tuple(len({one[name] for one in found}) for name in space) == shape
        assert len(found) == math.prod(shape)


def test_how_many_settings_a_space_holds() -> None:
    """All combinations; without end where a real number is free."""
    fixed: Space = {"a": Integer(2, 6), "b": Categorical((1, 2, 3)), "c": Real(1.0, 1.0)}
    assert points(fixed) == 15
    assert points({}) == 1
    assert points({**fixed, "d": Real(1.0, 1.5)}) == math.inf


def test_dimensions_in_words() -> None:
    """As tables of the documentation write them."""
    assert str(Real(0.0001, 2.0)) == "0.0001 … 2"
    assert str(Real(0.0001, 2.0, log=True)) == "0.0001 … 2 (log)"
    assert str(Integer(1, 9)) == "1 … 9"
    assert str(Integer(1, 9, log=True)) == "1 … 9 (log)"
    assert str(Categorical(("a", None, 3))) == "a, None, 3"
