"""Estimators by the name of their family."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold

from model_loop.datasets.dataset import Target
from model_loop.models.boosting import BoosterClassifier, BoosterRegressor
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


#: Folds on which the sigmoid of scores without probabilities is fitted.
_FOLDS = 3


def make_booster(
    family: ModelFamily,
    settings: Settings,
    request: SearchRequest,
    *,
    rounds: int,
    target: Target | None = None,
) -> BoosterRegressor | BoosterClassifier:
    """An XGBoost estimator with these settings, not fitted.

    Parameters
    ----------
    target
        The target, which says whether it learns numbers or classes.
    """
    kind = BoosterClassifier if target and target.is_classified else BoosterRegressor
    return kind(
        settings={
            **family.fixed,
            **_objective(request, target),
            "device": request.device,
            **settings,
        },
        rounds=rounds,
        early_stopping_rounds=request.early_stopping_rounds,
        threads=request.threads,
        random_state=request.random_state,
    )


def _objective(request: SearchRequest, target: Target | None) -> dict[str, Any]:
    """Return XGBoost's settings for a kind of target."""
    if target is None or not target.is_classified:
        return {"eval_metric": request.curve_metric}
    if target.labels.is_binary:
        return {"objective": "binary:logistic", "eval_metric": "logloss"}
    number = len(target.labels.labels)
    return {"objective": "multi:softprob", "num_class": number, "eval_metric": "mlogloss"}


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
    module, _, class_name = family.estimator_name.rpartition(".")
    kind: type[BaseEstimator] = getattr(importlib.import_module(f"sklearn.{module}"), class_name)
    estimator: Regressor = kind(**family.complete(settings, random_state=random_state))
    if family.calibrated:
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=random_state)
        calibrated: Regressor = CalibratedClassifierCV(
            estimator, method="sigmoid", cv=folds, ensemble=False
        )
        return calibrated
    return estimator
