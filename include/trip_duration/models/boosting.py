"""XGBoost as an estimator that knows how many rounds it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, RegressorMixin

from trip_duration.training_set.types import Matrix, Minutes

_VALIDATION = "validation"

#: Takes the number of a round (from 1) and the validation error; says whether to end the fit.
OnRound = Callable[[int, float], bool]


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
        Validation error after each round (minutes); empty without validation rows.
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
        X: Matrix | xgb.DMatrix,
        y: Minutes,
        validation: tuple[Matrix | xgb.DMatrix, Minutes] | None = None,
        on_round: OnRound | None = None,
    ) -> Self:
        """Learn from *X*, shape (trips, columns), and stop early by *validation* where given.

        Parameters
        ----------
        on_round
            Called after each round with its number (from 1) and the validation error; a true
            answer ends the fit.
        """
        train = binned(X, y, self.threads)
        history: dict[str, dict[str, list[float]]] = {}
        booster = xgb.train(
            {**(self.settings or {}), "nthread": self.threads, "seed": self.random_state},
            train,
            num_boost_round=self.rounds,
            evals=[(binned(*validation, self.threads, train), _VALIDATION)] if validation else [],
            early_stopping_rounds=self.early_stopping_rounds if validation else None,
            evals_result=history,
            verbose_eval=False,
            callbacks=[_Rounds(on_round)] if on_round else None,
        )
        self.curve_ = next(iter(history[_VALIDATION].values())) if validation else []
        self.best_rounds_ = int(np.argmin(self.curve_)) + 1 if validation else self.rounds
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


class _Rounds(xgb.callback.TrainingCallback):
    """Hands on the validation error of each round."""

    def __init__(self, on_round: OnRound) -> None:
        super().__init__()
        self.on_round = on_round

    def after_iteration(
        self,
        model: xgb.Booster,  # noqa: ARG002 - XGBoost's interface
        epoch: int,
        evals_log: dict[str, dict[str, Any]],
    ) -> bool:
        """Ask whether to end the fit."""
        (errors,) = evals_log[_VALIDATION].values()
        return self.on_round(epoch + 1, float(errors[-1]))


def binned(
    X: Matrix | xgb.DMatrix,
    y: Minutes,
    threads: int,
    reference: xgb.DMatrix | None = None,
) -> xgb.DMatrix:
    """XGBoost's own form of a matrix, which several fits may share.

    Parameters
    ----------
    reference
        The train matrix, whose bins are used.
    """
    if isinstance(X, xgb.DMatrix):
        return X
    if isinstance(X, csr_matrix):
        return xgb.DMatrix(X, y, nthread=threads)
    return xgb.QuantileDMatrix(X, y, nthread=threads, ref=reference)
