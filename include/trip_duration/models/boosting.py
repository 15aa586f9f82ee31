"""XGBoost as an estimator that knows how many rounds it needs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, RegressorMixin

from trip_duration.training_set.types import Matrix, Minutes

_VALIDATION = "validation"


class BoosterRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gradient boosting by `xgboost.train`, with early stopping on rows it does not learn from.

    `xgboost.XGBRegressor` builds a ``QuantileDMatrix`` for every input, which is about twenty times
    slower than a ``DMatrix`` on the sparse one-hot matrix; here the input's form decides.

    Parameters
    ----------
    settings
        Parameters of `xgboost.train`.
    rounds
        Boosting rounds, or the most of them when early stopping is on.
    early_stopping_rounds
        Stop when the validation error has not improved for so many rounds.
    threads
        Processor threads.
    random_state
        Seed.

    Attributes
    ----------
    booster_ : xgboost.Booster
        The trees up to the best round.
    best_rounds_ : int
        Number of rounds with the lowest validation error, or `rounds` without validation rows.
    curve_ : list of float
        Validation RMSE after each round (minutes); empty without validation rows.
    """

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        rounds: int = 750,
        early_stopping_rounds: int = 20,
        threads: int = 2,
        random_state: int = 42,
    ) -> None:
        self.settings = settings
        self.rounds = rounds
        self.early_stopping_rounds = early_stopping_rounds
        self.threads = threads
        self.random_state = random_state

    def fit(
        self,
        X: Matrix,
        y: Minutes,
        validation: tuple[Matrix, Minutes] | None = None,
    ) -> Self:
        """Learn from *X*, shape (trips, columns), and stop early by *validation* where given."""
        train = _matrix(X, y, self.threads)
        history: dict[str, dict[str, list[float]]] = {}
        booster = xgb.train(
            {**(self.settings or {}), "nthread": self.threads, "seed": self.random_state},
            train,
            num_boost_round=self.rounds,
            evals=[(_matrix(*validation, self.threads, train), _VALIDATION)] if validation else [],
            early_stopping_rounds=self.early_stopping_rounds if validation else None,
            evals_result=history,
            verbose_eval=False,
        )
        self.curve_ = history[_VALIDATION]["rmse"] if validation else []
        self.best_rounds_ = booster.best_iteration + 1 if validation else self.rounds
        self.booster_ = booster[: self.best_rounds_] if validation else booster
        return self

    def predict(self, X: Matrix) -> Minutes:
        """Predict minutes, shape (trips,)."""
        predicted: npt.NDArray[np.float32] = self.booster_.inplace_predict(X)
        return predicted.astype(np.float64)

    def __getstate__(self) -> dict[str, Any]:
        """State with the trees as XGBoost's own UBJSON, so that no pickle is needed."""
        state: dict[str, Any] = super().__getstate__()
        if "booster_" in state:
            state = {**state, "booster_": bytes(self.booster_.save_raw("ubj"))}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the trees from UBJSON."""
        super().__setstate__(state)
        if "booster_" in state:
            self.booster_ = xgb.Booster({"nthread": self.threads})
            self.booster_.load_model(bytearray(state["booster_"]))


def _matrix(
    X: Matrix,
    y: Minutes,
    threads: int,
    reference: xgb.DMatrix | None = None,
) -> xgb.DMatrix:
    if isinstance(X, csr_matrix):
        return xgb.DMatrix(X, y, nthread=threads)
    return xgb.QuantileDMatrix(X, y, nthread=threads, ref=reference)
