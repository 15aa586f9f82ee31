"""Explanations of a model: the columns it needs, and what each adds to a prediction."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.ensemble._forest import ForestClassifier, ForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree

from model_loop.datasets.classes import TWO
from model_loop.datasets.dataset import Target
from model_loop.errors import optional
from model_loop.models.boosting import BoosterClassifier, BoosterRegressor
from model_loop.models.class_metrics import log_losses
from model_loop.models.outcomes import Explains, parts_of_classifier, predict_outcomes
from model_loop.training_set.matrices import Matrix, Targets, as_dense
from model_loop.training_set.types import TrainingSet

logger = logging.getLogger(__name__)

#: Models of scikit-learn's whose trees SHAP reads; bagging and AdaBoost are of trees, too.
_READ_BY_SHAP = (
    BaseDecisionTree,
    ForestRegressor,
    ForestClassifier,
    GradientBoostingRegressor,
    GradientBoostingClassifier,
)
_BOOSTERS = (BoosterRegressor, BoosterClassifier)

#: Rows and repetitions that permutation importance may cost.
SAMPLE_ROWS = 5_000
REPETITIONS = 3

#: Rows that SHAP values may be computed for, and leaves times squared depth (what the algorithm
#: visits) over all of them: some ten seconds on one core.
SHAP_ROWS = 500
SHAP_VISITS = 1e10
#: Columns that are shown one by one; the contributions of the others are summed.
SHAP_COLUMNS = 30
OTHERS = "all others"
#: Scales of what columns add to the answers of classifiers.
LOG_ODDS, PROBABILITY = "log-odds", "probability"


@dataclass(frozen=True)
class ShapValues:
    """Amounts that each column adds to the prediction of each row, in the unit of the target.

    Those of a classifier are of one class, before its probabilities are calibrated.

    Parameters
    ----------
    base
        Average prediction over the rows that the model has learned from.
    added
        Amount that each column adds, of shape (rows, columns), the most telling column first;
        `base` and a row of it add up to the prediction.
    columns
        The encoded columns of the same rows.
    features
        The amounts by feature of the row, of shape (rows, features); see `by_feature`. None in
        explanations of earlier versions of this package.
    of
        Label of the class that they are of: the positive one, or the most frequent of several;
        empty of numbers.
    scale
        Scale of a classifier's amounts: `LOG_ODDS` or `PROBABILITY`; empty of numbers.
    by_class
        Mean absolute amounts of each of several classes, of shape (columns, classes) with
        ``column`` before them; None of numbers and of two classes.
    """

    base: float
    added: pd.DataFrame
    columns: pd.DataFrame
    features: pd.DataFrame | None = None
    of: str = ""
    scale: str = ""
    by_class: pd.DataFrame | None = None


@dataclass(frozen=True)
class Explanation:
    """Permutation importance of a model, and SHAP values of its predictions.

    Parameters
    ----------
    permutation
        Permutation importance of the raw columns; see `needed_columns`.
    shap
        SHAP values, for models that are made of trees.
    """

    permutation: pd.DataFrame
    shap: ShapValues | None


def explain(model: Pipeline, training_set: TrainingSet, *, random_state: int) -> Explanation | None:
    """Explain a model on the test rows of its training set; None where there are none.

    Parameters
    ----------
    random_state
        Seed of the draws and of the shuffling.
    """
    rows, actual = training_set.test_inputs, training_set.test_target
    if rows.empty:
        return None
    shap, target = None, training_set.dataset.target
    with optional("The SHAP explanation"):
        shap = shap_values(model, rows, target, actual, random_state=random_state)
    needed = needed_columns(model, rows, actual, target, random_state=random_state)
    return Explanation(needed, shap)


def needed_columns(
    model: Pipeline, rows: pd.DataFrame, actual: Targets, target: Target, *, random_state: int
) -> pd.DataFrame:
    """Measure how much worse a model predicts when one raw column is shuffled (Breiman, 2001).

    Parameters
    ----------
    rows, actual
        Raw columns and their target, shape (rows,); at most `SAMPLE_ROWS` of them are drawn.

    Returns
    -------
    pandas.DataFrame
        ``column``, ``increase`` of the RMSE and its ``spread`` (standard deviation) over
        `REPETITIONS` shufflings, in the unit of the target, the most needed first; of classes, of
        the log loss.
    """
    numbered = rows.reset_index(drop=True)
    columns = numbered.sample(min(len(rows), SAMPLE_ROWS), random_state=random_state)

    def gained(judged: Pipeline, shuffled: pd.DataFrame, codes: Targets) -> float:
        return -float(log_losses(codes, predict_outcomes(judged, shuffled, target)).mean())

    found = permutation_importance(
        model,
        columns,
        actual[columns.index],
        scoring=gained if target.is_classified else "neg_root_mean_squared_error",
        n_repeats=REPETITIONS,
        random_state=random_state,
    )
    table = pd.DataFrame(
        {
            "column": list(columns.columns),
            "increase": found.importances_mean,
            "spread": found.importances_std,
        }
    )
    return table.sort_values("increase", ascending=False, ignore_index=True)


def shap_values(
    model: Pipeline, rows: pd.DataFrame, target: Target, actual: Targets, *, random_state: int
) -> ShapValues | None:
    """SHAP values of a sample of rows (Lundberg et al., 2020); None unless the model is of trees.

    At most `SHAP_ROWS` rows are drawn, fewer for large forests; see `SHAP_VISITS`.

    Parameters
    ----------
    actual
        Outcomes of the rows, shape (rows,): of several classes, the most frequent is explained.
    """
    encoder, estimator = model[:-1], _base_of(model)
    most = shap_rows(model, SHAP_ROWS)
    if most is None:
        kind = type(estimator).__name__
        logger.info("No SHAP values: they are computed for trees alone, not for %s", kind)
        return None
    drawn = rows.sample(min(len(rows), most), random_state=random_state)
    encoded = encoder.transform(drawn)
    values, bases = _contributions(estimator, encoded)
    names = [str(name) for name in encoder.get_feature_names_out()]
    columns, code = pd.DataFrame(as_dense(encoded), columns=names), 0
    if target.is_classified:
        values, bases = _by_code(values, bases, estimator, target)
        # Two classes have the amounts of the positive one alone.
        code = int(np.bincount(actual.astype(np.int64)).argmax()) if values.shape[2] > 1 else 0
    shown = values[:, :, code]
    features = by_feature(shown, _made_of(model, rows, names))
    explained = _most_telling(shown, float(bases[code]), columns, features)
    if not target.is_classified:
        return explained
    classes = target.labels
    means = None
    if not classes.is_binary:
        means = pd.DataFrame(np.abs(values).mean(axis=0), columns=list(classes.texts))
        means.insert(0, "column", names)
    return dataclasses.replace(
        explained,
        of=classes.texts[1 if classes.is_binary else code],
        scale=PROBABILITY if _is_averaged(estimator) else LOG_ODDS,
        by_class=means,
    )


def shap_rows(model: Pipeline | Explains, most: int) -> int | None:
    """Return the number of rows to compute SHAP values of; None unless the model is of trees.

    One that computes them by itself says how many.
    """
    if not isinstance(model, Pipeline):
        return model.shap_rows(most)
    visits = _visits(_base_of(model))
    return None if visits is None else int(min(most, max(1, SHAP_VISITS // max(visits, 1.0))))


def shap_by_feature(model: Pipeline | Explains, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what each feature adds to the prediction of each row, by a model of trees.

    Of several classes, it is the mean absolute amount over them.

    Returns
    -------
    pandas.DataFrame
        Of shape (rows, features); see `by_feature`.
    """
    if not isinstance(model, Pipeline):
        return model.shap_by_feature(rows)
    encoder = model[:-1]
    values, _ = _contributions(_base_of(model), encoder.transform(rows))
    names = [str(name) for name in encoder.get_feature_names_out()]
    shown = values[:, :, -1] if values.shape[2] <= TWO else np.abs(values).mean(axis=2)
    return by_feature(shown, _made_of(model, rows, names))


def by_feature(values: npt.NDArray[np.float64], made_of: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """Add up what encoded columns add, by the features that they are computed from.

    SHAP values are additive, so that those of a group of columns may be summed (Lundberg and Lee,
    2017). The contribution of a column that is computed from several features is shared equally
    among them.

    Parameters
    ----------
    values
        Amounts that the encoded columns add, shape (rows, columns).
    made_of
        Features of each column.
    """
    features = sorted({feature for found in made_of for feature in found})
    shares = np.zeros((len(made_of), len(features)))
    for row, found in enumerate(made_of):
        for feature in found:
            shares[row, features.index(feature)] = 1 / len(found)
    return pd.DataFrame(values @ shares, columns=features)


def _made_of(model: Pipeline, rows: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the features that each encoded column is computed from.

    The encoder tells them if it can. Otherwise an encoded column is of the raw column with whose
    name its own begins, the longest of them, as those of scikit-learn's encoders.
    """
    told = getattr(model[0], "sources", None)
    if told is not None:
        return [tuple(told(name)) for name in names]
    raw = sorted(map(str, rows.columns), key=len, reverse=True)
    return [(next((column for column in raw if _is_of(name, column)), name),) for name in names]


def _is_of(encoded: str, column: str) -> bool:
    """Return whether an encoded column is named after a raw one: ``carrier=UA``, ``carrier_UA``."""
    own = encoded.rpartition("__")[2] if "__" in encoded else encoded
    return any(
        name == column or (name.startswith(column) and name[len(column)] in "=_ ")
        for name in (encoded, own)
    )


def _base_of(model: Pipeline) -> Any:  # noqa: ANN401 - any estimator
    """Return the estimator that was fitted, without what mends its probabilities."""
    return parts_of_classifier(model.named_steps["estimate"]).base


def _contributions(
    estimator: Any,  # noqa: ANN401 - any model of trees
    encoded: Matrix,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return amounts of shape (rows, columns, outputs), and the base of each output."""
    if isinstance(estimator, _BOOSTERS):
        values, base = estimator.contributions(encoded)
    else:
        values, base = _of_sklearn(estimator, as_dense(encoded))
    return np.atleast_3d(values), np.atleast_1d(base)


def _by_code(
    values: npt.NDArray[np.float64],
    bases: npt.NDArray[np.float64],
    estimator: Any,  # noqa: ANN401 - any classifier of trees
    target: Target,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return amounts in the order of the codes; of two classes, of the positive one alone.

    Estimators sort their labels. Those with a single output for two of them speak of the second.
    """
    classes = target.labels
    codes = [classes.codes[str(label)] for label in np.asarray(estimator.classes_).tolist()]
    if values.shape[2] == 1:
        sign = 1.0 if codes[-1] == 1 else -1.0
        return sign * values, sign * bases
    order = [codes.index(code) for code in sorted(codes)]
    order = order[1:] if classes.is_binary else order
    return values[:, :, order], bases[order]


def _is_averaged(estimator: Any) -> bool:  # noqa: ANN401 - any classifier of trees
    """Return whether trees give probabilities, whose mean is the answer; others add log-odds."""
    return isinstance(estimator, ForestClassifier | BaseDecisionTree)


def _visits(estimator: Any) -> float | None:  # noqa: ANN401 - any estimator
    """Leaves times squared depth of all trees; None if the model is of something else."""
    if isinstance(estimator, _BOOSTERS):
        return estimator.visits()
    if not isinstance(estimator, _READ_BY_SHAP):
        return None
    trees = [estimator] if hasattr(estimator, "tree_") else getattr(estimator, "estimators_", ())
    trees = list(np.asarray(trees, dtype=object).ravel())
    return float(sum(tree.get_n_leaves() * max(tree.get_depth(), 1) ** 2 for tree in trees))


def _of_sklearn(
    estimator: Any,  # noqa: ANN401 - a tree or trees of scikit-learn's
    encoded: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    import shap  # noqa: PLC0415 - takes five seconds

    if isinstance(estimator, GradientBoostingClassifier) and len(estimator.classes_) > TWO:
        # SHAP reads those of two classes alone, and the trees of each class as any others.
        explainers = [
            shap.TreeExplainer(_as_shap_reads(trees, estimator.learning_rate))
            for trees in estimator.estimators_.T
        ]
        values = np.stack(
            [each.shap_values(encoded, check_additivity=False) for each in explainers], axis=2
        )
        raw = estimator.decision_function(encoded[:1])[0]
        return values, raw - values[0].sum(axis=0)
    explainer = shap.TreeExplainer(estimator)
    values = np.asarray(explainer.shap_values(encoded, check_additivity=False))
    return values, np.ravel(explainer.expected_value)


def _as_shap_reads(
    trees: Sequence[Any],  # DecisionTreeRegressor
    scale: float,
) -> dict[str, Any]:
    """Return trees, whose values are added up after scaling, in SHAP's own form of trees."""
    return {
        "internal_dtype": np.float64,
        "input_dtype": np.float32,
        "tree_output": "raw_value",
        "trees": [
            {
                "children_left": tree.children_left,
                "children_right": tree.children_right,
                "children_default": tree.children_left,
                "features": tree.feature,
                "thresholds": tree.threshold,
                "values": scale * tree.value[:, :, 0],
                "node_sample_weight": tree.weighted_n_node_samples,
            }
            for tree in (each.tree_ for each in trees)
        ],
    }


def _most_telling(
    values: npt.NDArray[np.float64], base: float, columns: pd.DataFrame, features: pd.DataFrame
) -> ShapValues:
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")
    kept, others = order[:SHAP_COLUMNS], order[SHAP_COLUMNS:]
    table = pd.DataFrame(values[:, kept], columns=columns.columns[kept])
    shown = columns.iloc[:, kept].reset_index(drop=True)
    if len(others):
        table[OTHERS], shown[OTHERS] = values[:, others].sum(axis=1), np.nan
    return ShapValues(base, table, shown, features)
