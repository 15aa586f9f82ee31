"""XGBoost as an estimator that knows how many rounds it needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from model_loop.datasets.classes import TWO
from model_loop.errors import StoredObjectError
from model_loop.models.feeding import ROWS_AT_ONCE, fed_matrix
from model_loop.objects.trees import require_sound_booster
from model_loop.training_set.matrices import Matrix, Targets

_VALIDATION = "validation"
#: Threads that a file may ask for.
_MOST_THREADS = 256


class _Booster(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gradient boosting by `xgboost.Booster`, with early stopping on rows it does not learn from.

    `xgboost.XGBRegressor` builds a ``QuantileDMatrix`` for every input, which is about twenty times
    slower than a ``DMatrix`` on the sparse one-hot matrix; here the input's form decides.

    Parameters
    ----------
    settings
        Parameters of XGBoost.
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
        The trees; those after the best round are not used, and not stored.
    best_rounds_ : int
        Number of rounds with the lowest validation error, or `rounds` without validation rows.
    curve_ : list of float
        Validation error after each round, in the unit of the target; empty without validation rows.
    """

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        rounds: int = 100,
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
        y: Targets,
        validation: tuple[Matrix | xgb.DMatrix, Targets] | None = None,
    ) -> Self:
        """Learn from *X*, shape (rows, columns), and stop early by *validation* where given."""
        for _ in self.grow(X, y, validation):
            pass
        return self

    def grow(
        self,
        X: Matrix | xgb.DMatrix,
        y: Targets,
        validation: tuple[Matrix | xgb.DMatrix, Targets] | None = None,
    ) -> Iterator[tuple[int, float]]:
        """Learn round by round, yielding the number of each round (from 1) and its error.

        The error is that of the validation rows, NaN without them. Fits may take turns: what a
        round draws depends on the seed and its number, and on no other fit of the process.
        """
        bins = (self.settings or {}).get("max_bin")
        train = binned(X, y, self.threads, bins=bins)
        known = binned(*validation, self.threads, train, bins) if validation else None
        drawn = {"nthread": self.threads, "seed": self.random_state, "seed_per_iteration": True}
        grown = xgb.Booster(
            {**(self.settings or {}), **drawn}, [train, *([known] if known else [])]
        )
        self.booster_, self.curve_, self.best_rounds_ = grown, [], self.rounds
        for number in range(1, self.rounds + 1):
            grown.update(train, number - 1)
            if known is None:
                yield number, math.nan
                continue
            report = grown.eval_set([(known, _VALIDATION)], number - 1)
            self.curve_.append(float(report.rpartition(":")[2]))
            self.best_rounds_ = int(np.argmin(self.curve_)) + 1
            yield number, self.curve_[-1]
            if number - self.best_rounds_ >= self.early_stopping_rounds:
                break

    def adopt(self, trees: bytes) -> Self:
        """Take trees (UBJSON) that were grown elsewhere, all of whose rounds are used.

        Raises
        ------
        StoredObjectError
            If the trees cannot be walked.
        """
        require_sound_booster(trees)
        self.booster_ = xgb.Booster({"nthread": self.threads})
        self.booster_.load_model(bytearray(trees))
        self.curve_, self.best_rounds_ = [], self.rounds
        return self

    def _predicted(self, X: Matrix) -> Targets:
        """Return what the trees up to the best round predict, in the scale of the objective."""
        predicted: npt.NDArray[np.float32] = self.booster_.inplace_predict(
            X, iteration_range=(0, self.best_rounds_)
        )
        return predicted.astype(np.float64)

    def contributions(self, X: Matrix) -> tuple[npt.NDArray[np.float64], Any]:
        """Return what each column adds to each prediction, and the base value.

        Of several classes, the amounts are of shape (rows, columns, classes), and so many bases.
        """
        rows = xgb.DMatrix(X, nthread=self.threads)
        found = self.booster_.predict(
            rows, pred_contribs=True, iteration_range=(0, self.best_rounds_)
        )
        if found.ndim > TWO:
            added = np.moveaxis(found[:, :, :-1], 1, 2)
            return added.astype(np.float64), found[0, :, -1].astype(np.float64)
        return found[:, :-1].astype(np.float64), float(found[0, -1])

    def visits(self) -> float:
        """Leaves times squared depth of all trees: what SHAP values of one row cost."""
        trees = self.booster_[: self.best_rounds_].get_dump()
        depth = max(int((self.settings or {}).get("max_depth", 6)), 1)
        return float(sum(tree.count("leaf=") for tree in trees) * depth**2)

    def gains(self, columns: int) -> npt.NDArray[np.float64]:
        """Return the total gain of each column over all trees, shape (columns,)."""
        found = np.zeros(columns)
        for name, gain in self.booster_.get_score(importance_type="total_gain").items():
            found[int(name.removeprefix("f"))] = gain
        return found

    def __getstate__(self) -> dict[str, Any]:
        """State with the trees as XGBoost's own UBJSON, so that no pickle is needed."""
        state: dict[str, Any] = super().__getstate__()
        if "booster_" in state:
            best = self.booster_[: self.best_rounds_]
            state = {**state, "booster_": bytes(best.save_raw("ubj"))}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the trees from UBJSON, unless they cannot be walked or need too many threads."""
        super().__setstate__(state)
        if "booster_" in state:
            if self.threads not in range(1, _MOST_THREADS + 1):
                raise StoredObjectError(
                    f"A stored booster for {self.threads} threads",
                    f"needs a number from 1 to {_MOST_THREADS}, and is not loaded",
                    "Train it anew with fewer.",
                )
            stored = memoryview(state["booster_"]).tobytes()
            require_sound_booster(stored)
            self.booster_ = xgb.Booster({"nthread": self.threads})
            self.booster_.load_model(bytearray(stored))


class BoosterRegressor(RegressorMixin, _Booster):  # type: ignore[misc]  # scikit-learn has no types
    """Gradient boosting of numbers; see `_Booster` for parameters and attributes."""

    def predict(self, X: Matrix) -> Targets:
        """Predict the target, shape (rows,)."""
        return self._predicted(X)


class BoosterClassifier(ClassifierMixin, _Booster):  # type: ignore[misc]  # scikit-learn has no types
    """Gradient boosting of classes; see `_Booster` for its further parameters.

    Of more than two classes, the settings hold their number as ``num_class``, as XGBoost wants it.

    Attributes
    ----------
    classes_ : numpy.ndarray
        Labels in their order, shape (classes,).
    """

    def grow(
        self,
        X: Matrix | xgb.DMatrix,
        y: npt.NDArray[Any],
        validation: tuple[Matrix | xgb.DMatrix, npt.NDArray[Any]] | None = None,
    ) -> Iterator[tuple[int, float]]:
        """Learn round by round; see `_Booster.grow`.

        Parameters
        ----------
        y
            Labels, shape (rows,); codes, where *X* is in XGBoost's own form.

        Raises
        ------
        ValueError
            If the rows have another number of classes.
        """
        number = int((self.settings or {}).get("num_class", TWO))
        if isinstance(X, xgb.DMatrix):
            self.classes_, codes = np.arange(number), y
        else:
            self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) != number:
            msg = f"The rows have {len(self.classes_)} classes, and not {number}"
            raise ValueError(msg)
        judged = validation
        if validation is not None and not isinstance(validation[0], xgb.DMatrix):
            judged = validation[0], np.searchsorted(self.classes_, validation[1])
        yield from super().grow(X, codes.astype(np.float64), judged)

    def predict_proba(self, X: Matrix) -> Targets:
        """Return the probability of each class, shape (rows, classes)."""
        predicted = self._predicted(X)
        return predicted if predicted.ndim > 1 else np.column_stack([1.0 - predicted, predicted])

    def predict(self, X: Matrix) -> npt.NDArray[Any]:
        """Return the likeliest label of each row, shape (rows,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


def binned(
    X: Matrix | xgb.DMatrix,
    y: Targets,
    threads: int,
    reference: xgb.DMatrix | None = None,
    bins: int | None = None,
) -> xgb.DMatrix:
    """XGBoost's own form of a matrix, which several fits may share.

    Parameters
    ----------
    reference
        The train matrix, whose bins are used.
    bins
        Most bins of a column; XGBoost's default by default. A booster must have the same.
    """
    if isinstance(X, xgb.DMatrix):
        return X
    if isinstance(X, csr_matrix):
        return xgb.DMatrix(X, y, nthread=threads)
    if len(X) > ROWS_AT_ONCE:
        return fed_matrix(X, y, threads=threads, reference=reference, bins=bins)
    return xgb.QuantileDMatrix(X, y, nthread=threads, ref=reference, max_bin=bins)
