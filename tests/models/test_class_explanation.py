"""Classifiers are explained: what each column adds to a class, and what its loss would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from model_loop.datasets.classes import Classes
from model_loop.datasets.dataset import Target
from model_loop.models.boosting import BoosterClassifier
from model_loop.models.explanation import (
    LOG_ODDS,
    PROBABILITY,
    ShapValues,
    needed_columns,
    shap_by_feature,
    shap_values,
)
from model_loop.models.outcomes import learned_target

ROWS = 240
#: The positive label sorts before the other one, as estimators sort them.
TWO = Target("ill", kind="binary", classes=Classes(("well", "ill"), "ill"))
THREE = Target("kind", kind="multiclass", classes=Classes(("a", "b", "c")))


def rows() -> pd.DataFrame:
    """Return rows whose first column tells the class."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(draw.random((ROWS, 3)), columns=["telling", "helping", "idle"])


def codes(target: Target) -> np.ndarray:
    """Return the classes of the rows, the last one the most frequent."""
    table = rows()
    score = table.telling + 0.3 * table.helping
    edges = [0.5] if target is TWO else [0.4, 0.6]
    return np.searchsorted(edges, score).astype(float)


def fitted(estimator: Any, target: Target) -> Pipeline:
    """Fit a pipeline on the labels."""
    model = Pipeline([("encode", MinMaxScaler()), ("estimate", estimator)])
    return model.fit(rows(), learned_target(codes(target), target))


def explained(model: Pipeline, target: Target) -> ShapValues:
    """Return the SHAP values of all rows."""
    values = shap_values(model, rows(), target, codes(target), random_state=0)
    assert values is not None
    return values


def booster(target: Target) -> BoosterClassifier:
    """Return a booster for the classes of a target."""
    settings: dict[str, Any] = {"max_depth": 2, "objective": "binary:logistic"}
    if target is THREE:
        settings = {"max_depth": 2, "objective": "multi:softprob", "num_class": 3}
    return BoosterClassifier(settings, rounds=10, threads=1)


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the log-odds of probabilities."""
    odds: np.ndarray = np.log(probability / (1 - probability))
    return odds


@pytest.mark.parametrize(
    ("estimator", "scale"),
    [
        (RandomForestClassifier(10, max_depth=3, random_state=0), PROBABILITY),
        (GradientBoostingClassifier(n_estimators=10, random_state=0), LOG_ODDS),
        (booster(TWO), LOG_ODDS),
    ],
    ids=["forest", "boosting", "xgboost"],
)
def test_columns_add_up_to_the_positive_class(estimator: Any, scale: str) -> None:
    """They do though estimators sort their labels, and the positive one is the first of them."""
    model = fitted(estimator, TWO)
    values = explained(model, TWO)
    assert (values.of, values.scale, values.by_class) == ("ill", scale, None)
    sample = rows().sample(ROWS, random_state=0)
    probability = model.predict_proba(sample)[:, list(model.classes_).index("ill")]
    expected = probability if scale == PROBABILITY else logit(probability)
    total = values.base + values.added.sum(axis=1)
    assert total.to_numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(10, max_depth=3, random_state=0),
        GradientBoostingClassifier(n_estimators=10, random_state=0),
        booster(THREE),
    ],
    ids=["forest", "boosting", "xgboost"],
)
def test_several_classes_have_amounts_of_their_own(estimator: Any) -> None:
    """The most frequent is shown row by row, and of each the mean amounts."""
    model = fitted(estimator, THREE)
    values = explained(model, THREE)
    assert values.of == "c"
    assert values.by_class is not None
    assert list(values.by_class.columns) == ["column", "a", "b", "c"]
    own = values.by_class.set_index("column").c
    assert own[values.added.columns].to_numpy() == pytest.approx(values.added.abs().mean())
    assert shap_by_feature(model, rows()).shape == (ROWS, 3)


def test_boosting_of_several_classes_adds_up_in_each() -> None:
    """The trees of each class are read apart, scaled by the learning rate, and from its prior."""
    estimator = GradientBoostingClassifier(n_estimators=10, learning_rate=0.3, random_state=0)
    model = fitted(estimator, THREE)
    values = explained(model, THREE)
    sample = model[:-1].transform(rows().sample(ROWS, random_state=0))
    raw = estimator.decision_function(sample)[:, list(estimator.classes_).index(values.of)]
    total = values.base + values.added.sum(axis=1)
    assert total.to_numpy() == pytest.approx(raw, abs=1e-9)


def test_what_mends_probabilities_is_taken_off() -> None:
    """SHAP values are those of the trees within."""
    forest = RandomForestClassifier(10, max_depth=3, random_state=0)
    bare = fitted(forest, TWO)
    labels = learned_target(codes(TWO), TWO)
    encoded = bare[:-1].transform(rows())
    mended = CalibratedClassifierCV(FrozenEstimator(forest), method="sigmoid").fit(encoded, labels)
    around = FixedThresholdClassifier(
        FrozenEstimator(mended), threshold=0.3, pos_label="ill", response_method="predict_proba"
    ).fit(encoded, labels)
    model = Pipeline([("encode", bare[0]), ("estimate", around)])
    pd.testing.assert_frame_equal(explained(model, TWO).added, explained(bare, TWO).added)


def test_a_column_is_needed_as_much_as_the_log_loss_grows() -> None:
    """The telling one is needed the most; an idle one hardly."""
    model = fitted(LogisticRegression(C=100), TWO)
    table = needed_columns(model, rows(), codes(TWO), TWO, random_state=0)
    assert table.column[0] == "telling"
    worth = table.set_index("column").increase
    assert worth.telling > 0.5 > abs(worth.idle)


def test_linear_models_have_no_shap_values() -> None:
    """They are computed for trees alone."""
    model = fitted(LogisticRegression(), TWO)
    assert shap_values(model, rows(), TWO, codes(TWO), random_state=0) is None
