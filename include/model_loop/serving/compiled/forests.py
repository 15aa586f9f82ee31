"""Fitted estimators as flat arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model._base import LinearModel
from sklearn.tree import DecisionTreeRegressor

from model_loop.models.boosting import BoosterRegressor
from model_loop.serving.compiled.flat import NODE, SIDE_BY_SIDE, Linear, Trees
from model_loop.serving.compiled.shapley import Covers

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
Flattened = tuple[Trees | Linear, Covers]
"""A flat estimator, and the covers of its nodes; of a linear model there are none."""

_IDENTITY = frozenset({"reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"})


def flatten(estimator: object, places: Sequence[int] | None, width: int) -> Flattened | None:
    """A fitted estimator as flat arrays; None if its kind has no flat form.

    Parameters
    ----------
    places
        Column of the design matrix that each of its inputs is; None where it gets all of them.
    width
        Columns of the design matrix.
    """
    columns = np.arange(width) if places is None else np.asarray(places, dtype=np.int64)
    if isinstance(estimator, BoosterRegressor):
        return _booster(estimator, columns)
    if isinstance(estimator, GradientBoostingRegressor):
        return _boosted(estimator, columns)
    if isinstance(estimator, RandomForestRegressor | ExtraTreesRegressor):
        return _forest([tree.tree_ for tree in estimator.estimators_], columns)
    if isinstance(estimator, DecisionTreeRegressor):
        return _forest([estimator.tree_], columns)
    if isinstance(estimator, LinearModel):
        return _linear(estimator, columns, width), np.zeros(0, dtype=np.float32)
    return None


def _linear(estimator: Any, columns: _Ints, width: int) -> Linear:  # noqa: ANN401 - scikit-learn has no types
    weights = np.zeros(width)
    weights[columns] = np.ravel(estimator.coef_)
    return Linear(weights, float(np.ravel(estimator.intercept_)[0]))


def _forest(
    trees: Iterable[Any], columns: _Ints, *, base: float = 0.0, rate: float = 0
) -> Flattened:
    """Trees of scikit-learn, averaged, or added with a learning rate."""
    flat = _Flat()
    for tree in trees:
        leaf = tree.children_left < 0
        flat.add(
            tree.children_left,
            tree.children_right,
            np.where(leaf, 0, columns[np.where(leaf, 0, tree.feature)]),
            _rounded_down(tree.threshold),
            tree.value[:, 0, 0],
            tree.missing_go_to_left.astype(bool),
            tree.weighted_n_node_samples,
        )
    return flat.finish(base=base, scale=rate or 1 / len(flat.roots), single=False, absent=0.0)


def _boosted(estimator: GradientBoostingRegressor, columns: _Ints) -> Flattened | None:
    if not isinstance(estimator.init_, DummyRegressor):
        return None
    return _forest(
        [tree.tree_ for tree in estimator.estimators_[:, 0]],
        columns,
        base=float(estimator.init_.constant_[0, 0]),
        rate=estimator.learning_rate,
    )


def _booster(estimator: BoosterRegressor, columns: _Ints) -> Flattened | None:
    best = estimator.booster_[: estimator.best_rounds_]
    learner = json.loads(best.save_raw("json"))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree" or objective not in _IDENTITY:
        return None
    flat = _Flat()
    for tree in booster["model"]["trees"]:
        if any(tree["split_type"]):
            return None
        left = np.asarray(tree["left_children"])
        conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
        flat.add(
            left,
            np.asarray(tree["right_children"]),
            np.where(left < 0, 0, columns[np.asarray(tree["split_indices"])]),
            # Left is what is less than the threshold; here it is what is not more.
            np.nextafter(conditions, np.float32(-np.inf)),
            conditions.astype(np.float64),
            np.asarray(tree["default_left"], dtype=bool),
            np.asarray(tree["sum_hessian"], dtype=np.float64),
        )
    base = json.loads(learner["learner_model_param"]["base_score"])
    start = float(np.float32(np.ravel(base)[0]))
    return flat.finish(base=start, scale=1.0, single=True, absent=np.nan)


def _rounded_down(thresholds: _Floats) -> npt.NDArray[np.float32]:
    """The greatest single-precision numbers that are not more: the same numbers are below both."""
    single = thresholds.astype(np.float32)
    below = np.nextafter(single, np.float32(-np.inf))
    return np.where(single > thresholds, below, single)


class _Flat:
    """Trees, one after another, with their nodes in breadth-first order."""

    def __init__(self) -> None:
        self.nodes: list[npt.NDArray[np.void]] = []
        self.values: list[_Floats] = []
        self.covers: list[_Floats] = []
        self.roots: list[int] = []
        self.depths: list[int] = []
        self.size = 0

    def add(
        self,
        left: _Ints,
        right: _Ints,
        feature: _Ints,
        threshold: npt.NDArray[np.float32],
        value: _Floats,
        missing_left: npt.NDArray[np.bool_],
        cover: _Floats,
    ) -> None:
        """Append a tree; a node without children is a leaf."""
        levels = _levels(left, right)
        old = np.concatenate(levels)
        leaf = left[old] < 0
        new = np.empty(len(left), dtype=np.int64)
        new[old] = self.size + np.arange(len(old))
        nodes = np.zeros(len(old), dtype=NODE)
        nodes["threshold"] = np.where(leaf, np.inf, threshold[old])
        nodes["feature"] = np.where(leaf | missing_left[old], ~feature[old], feature[old])
        nodes["left"] = np.where(leaf, new[old], new[left[old]])
        self.nodes.append(nodes)
        self.values.append(np.asarray(value, dtype=np.float64)[old])
        self.covers.append(cover[old])
        self.roots.append(self.size)
        self.depths.append(len(levels) - 1)
        self.size += len(old)

    def finish(self, *, base: float, scale: float, single: bool, absent: float) -> Flattened:
        """All trees."""
        depths = np.asarray(self.depths, dtype=np.int32)
        trees = Trees(
            nodes=np.concatenate(self.nodes),
            values=np.concatenate(self.values),
            roots=np.asarray(self.roots, dtype=np.int32),
            depths=np.maximum.reduceat(depths, range(0, len(depths), SIDE_BY_SIDE)),
            base=base,
            scale=scale,
            single=single,
            absent=absent,
        )
        return trees, np.concatenate(self.covers).astype(np.float32)


def _levels(left: _Ints, right: _Ints) -> list[_Ints]:
    """Numbers of the nodes of each level, brothers side by side."""
    levels, level = [np.zeros(1, dtype=np.int64)], np.zeros(1, dtype=np.int64)
    while len(level := level[left[level] >= 0]):
        level = np.column_stack([left[level], right[level]]).ravel()
        levels.append(level)
    return levels
