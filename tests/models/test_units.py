"""The unit of the target: minutes or seconds, dollars or thousands of them, learn alike."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from tests.parcels import build_parcels, declared, write_parcels

from model_loop.models.catalogue import FAMILIES, XGBOOST, get_family, suited, target_scale
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Integer, Real
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.training_set.types import TrainingSet

SEARCH = SearchRequest(max_evaluations=5, threads=1)
#: How many of the other unit a day is.
UNITS = (1_000.0, 0.001)
SMALLEST = (XGBOOST, 0.001)

Built = Callable[[float], TrainingSet]
Models = Callable[[str, float], TrainedModel]


@pytest.fixture(scope="module")
def in_unit(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A function that builds a training set whose target has another unit."""

    @functools.cache
    def build(unit: float) -> TrainingSet:
        folder = tmp_path_factory.mktemp("parcels")
        path = write_parcels(folder / "parcels.csv", rows=400)
        rows = pd.read_csv(path)
        rows.assign(days=rows.days * unit).to_csv(path, index=False)
        return build_parcels(folder, declared(path))

    return build


@pytest.fixture(scope="module")
def models(
    in_unit: Built,
) -> Models:
    """A function that tunes and trains a family in a unit."""

    @functools.cache
    def trained(family: str, unit: float) -> TrainedModel:
        training_set = in_unit(unit)
        return train(tune(family, training_set, SEARCH), training_set, SEARCH, calibrated=False)

    return trained


def test_bounds_follow_the_deviation_in_powers_of_ten() -> None:
    """Deviations of about ten have the scale 1; so has a target that is always the same."""
    scales = {3.2: 1.0, 10.0: 1.0, 31.0: 1.0, 44.0: 10.0, 8_000.0: 1_000.0, 0.001: 0.0001, 0.0: 1.0}
    assert {deviation: target_scale(deviation) for deviation in scales} == pytest.approx(scales)
    for family in FAMILIES.values():
        space = suited(family, 100, 10.0).space
        assert [str(each).split(" ·")[0] for each in family.space.values()] == [
            *map(str, space.values())
        ]


def test_a_penalty_is_in_the_power_that_its_loss_asks_for() -> None:
    """That of the target, and its square for a gain of squared errors."""
    bounds = {
        name: [given.low, given.high]
        for family in (suited(family, 100, 10_000.0) for family in FAMILIES.values())
        for name, given in family.space.items()
        if isinstance(given, Real) and given != get_family(family.name).space[name]
    }
    assert bounds == {
        "alpha": pytest.approx([0.1, 100.0]),
        "epsilon": pytest.approx([0.0, 2_000.0]),
        "C": pytest.approx([10.0, 20_000.0]),
        "reg_alpha": pytest.approx([1.0, 10_000.0]),
        "gamma": pytest.approx([1_000.0, 5_000_000.0]),
    }


@pytest.mark.parametrize(
    ("family", "unit"),
    # A gain of less than 0.000001 is none to XGBoost, whatever its settings: see the next test.
    [(family, unit) for family in FAMILIES for unit in UNITS if (family, unit) != SMALLEST],
)
def test_predictions_are_in_proportion(
    family: str, unit: float, in_unit: Built, models: Models
) -> None:
    """A family chooses the same trial, and says the same in the other unit."""
    days, other = models(family, 1.0), models(family, unit)
    assert other.tuned.best.number == days.tuned.best.number
    asked = in_unit(1.0).test_inputs
    np.testing.assert_allclose(
        other.model.predict(asked) / unit, days.model.predict(asked), rtol=0, atol=1e-4
    )


def test_small_numbers_cost_xgboost_little(models: Models) -> None:
    """Its last rounds find no gain that it sees; the error is about the same."""
    family, unit = SMALLEST
    days, other = models(family, 1.0).test, models(family, unit).test
    assert days
    assert other
    assert other.rmse / unit == pytest.approx(days.rmse, rel=0.05)


@pytest.mark.parametrize("unit", UNITS)
def test_families_have_the_same_order(unit: float, models: Models) -> None:
    """The best family is the best in every unit, and the worst the worst."""

    def order(unit: float) -> list[str]:
        return sorted(FAMILIES, key=lambda name: models(name, unit).tuned.validation.rmse)

    assert order(unit) == order(1.0)


@pytest.mark.parametrize(
    ("rows", "low", "high"),
    [(10_000, 200, 1_000), (60_000, 200, 1_000), (200_000, 200, 300), (1_000_000, 100, 100)],
)
def test_a_large_table_gets_fewer_iterations(rows: int, low: int, high: int) -> None:
    """Rows times iterations of a linear fit are bounded; a hundred iterations it has anyway."""
    space = suited(get_family("svm.LinearSVR"), rows, 10.0).space
    assert space["max_iter"] == Integer(low, high)
