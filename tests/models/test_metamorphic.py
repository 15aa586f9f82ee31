"""Changes of what is asked or learned, and what they may do to predictions.

No test here knows what is right: each knows how two answers have to differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from model_loop.models.catalogue import FAMILIES, XGBOOST, get_family
from model_loop.models.estimators import make_booster, make_sklearn
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Settings
from model_loop.training_set.types import TrainingSet
from trip_duration.services import DURATION

Targets = npt.NDArray[np.float64]

#: Small enough to be fitted in a moment.
SMALL: dict[str, Settings] = {
    "ensemble.ExtraTreesRegressor": {"n_estimators": 10, "max_depth": 8},
    "ensemble.GradientBoostingRegressor": {"n_estimators": 20},
    "ensemble.RandomForestRegressor": {"n_estimators": 10, "max_depth": 8},
    XGBOOST: {"max_depth": 5, "learning_rate": 0.3},
}


def fit(name: str, training_set: TrainingSet, scale: float = 1.0, shift: float = 0.0) -> Pipeline:
    """Fit a family on the test month, whose durations may be scaled and shifted."""
    family = get_family(name)
    trips = training_set.test_rows
    minutes = scale * trips[DURATION].to_numpy(np.float64) + shift
    encoder = clone(training_set.layout_for(family.layout).encoder)
    settings = SMALL.get(name, {})
    estimator = (
        make_booster(family, settings, SearchRequest(threads=1), rounds=20)
        if name == XGBOOST
        else make_sklearn(family, settings, random_state=3)
    )
    pipeline = Pipeline([("encode", encoder), ("fit", estimator)])
    return pipeline.fit(trips.drop(columns=DURATION), minutes)


@pytest.fixture(scope="module", params=list(FAMILIES))
def fitted(request: pytest.FixtureRequest, sample_training_set: TrainingSet) -> Pipeline:
    """A fitted model of each family."""
    return fit(request.param, sample_training_set)


@pytest.fixture(scope="module")
def asked(sample_training_set: TrainingSet) -> pd.DataFrame:
    """Trips to predict."""
    return sample_training_set.test_rows.drop(columns=DURATION).head(400)


def test_batches_change_no_prediction(fitted: Pipeline, asked: pd.DataFrame) -> None:
    """Trips are predicted alike together, in parts, and alone."""
    together = fitted.predict(asked)
    parts = [fitted.predict(asked.iloc[first : first + 37]) for first in range(0, len(asked), 37)]
    np.testing.assert_allclose(np.concatenate(parts), together, rtol=1e-12)
    alone = [fitted.predict(asked.iloc[[place]])[0] for place in range(10)]
    np.testing.assert_allclose(alone, together[:10], rtol=1e-12)


def test_the_order_of_rows_changes_no_prediction(fitted: Pipeline, asked: pd.DataFrame) -> None:
    """Each trip keeps its prediction wherever it stands, also where trips repeat."""
    order = np.random.default_rng(1).integers(0, len(asked), 2 * len(asked))
    np.testing.assert_allclose(
        fitted.predict(asked.iloc[order]), fitted.predict(asked)[order], rtol=1e-12
    )


def test_columns_are_found_by_name(fitted: Pipeline, asked: pd.DataFrame) -> None:
    """Their order, and columns that nobody asked for, change nothing."""
    turned = asked[asked.columns[::-1]].assign(tip=1.0)
    np.testing.assert_array_equal(fitted.predict(turned), fitted.predict(asked))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_predictions_are_in_the_unit_of_the_durations(
    name: str, sample_training_set: TrainingSet, asked: pd.DataFrame
) -> None:
    """A model of durations twice as long predicts twice as long.

    Least squares does so to the last digits. LinearSVR's margin and Lasso's penalty are in minutes,
    the encoder bounds paces, and trees may take another one of two splits that are as good: a unit
    that is taken for another one would be off by half.
    """
    once, twice = (fit(name, sample_training_set, scale).predict(asked) for scale in (1.0, 2.0))
    error = np.abs(twice / 2 - once) / once.mean()
    assert np.mean(error) < (1e-6 if name == "linear_model.LinearRegression" else 0.05)


@pytest.mark.parametrize("name", ["linear_model.LinearRegression", "linear_model.Lasso"])
def test_a_constant_is_learned_as_a_constant(
    name: str, sample_training_set: TrainingSet, asked: pd.DataFrame
) -> None:
    """Ten minutes more for each trip are ten minutes more in each prediction."""
    usual, later = (fit(name, sample_training_set, 1.0, it).predict(asked) for it in (0.0, 10.0))
    np.testing.assert_allclose(later, usual + 10.0, rtol=1e-4)
