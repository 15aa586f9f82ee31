"""Estimators by the name of their family."""

from __future__ import annotations

import importlib
from typing import Protocol

from sklearn.base import BaseEstimator

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import XGBOOST, ModelFamily
from model_loop.models.search import SearchRequest
from model_loop.models.spaces import Settings
from model_loop.training_set.matrices import Matrix, Targets


class Regressor(Protocol):
    """A scikit-learn regressor."""

    def fit(self, X: Matrix, y: Targets) -> object:
        """Learn."""

    def predict(self, X: Matrix) -> Targets:
        """Predict the target."""


def make_booster(
    family: ModelFamily, settings: Settings, request: SearchRequest, *, rounds: int
) -> BoosterRegressor:
    """An XGBoost estimator with these settings, not fitted."""
    return BoosterRegressor(
        settings={
            **family.fixed,
            "eval_metric": request.curve_metric,
            "device": request.device,
            **settings,
        },
        rounds=rounds,
        early_stopping_rounds=request.early_stopping_rounds,
        threads=request.threads,
        random_state=request.random_state,
    )


def make_sklearn(family: ModelFamily, settings: Settings, *, random_state: int) -> Regressor:
    """A scikit-learn estimator with these settings, not fitted.

    Raises
    ------
    ValueError
        If the family is not one of scikit-learn's.
    """
    if family.name == XGBOOST:
        msg = f"{family.name} is not a scikit-learn family"
        raise ValueError(msg)
    module, _, class_name = family.name.rpartition(".")
    estimator: type[BaseEstimator] = getattr(
        importlib.import_module(f"sklearn.{module}"), class_name
    )
    regressor: Regressor = estimator(**family.complete(settings, random_state=random_state))
    return regressor
