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

_BINARY = "binary:logistic"
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
        made = booster(estimator, columns, _IDENTITY)
        return made[0] if made else None
    if isinstance(estimator, GradientBoostingRegressor):
        return _boosted(estimator, columns)
    if isinstance(estimator, RandomForestRegressor | ExtraTreesRegressor):
        return forest([tree.tree_ for tree in estimator.estimators_], columns)
    if isinstance(estimator, DecisionTreeRegressor):
        return forest([estimator.tree_], columns)
    if isinstance(estimator, LinearModel):
        return linear(estimator, columns, width)[0], np.zeros(0, dtype=np.float32)
    return None


def linear(estimator: Any, columns: _Ints, width: int) -> list[Linear]:  # noqa: ANN401 - scikit-learn has no types
    """Return a linear model for each output of an estimator of scikit-learn."""
    coefficients = np.atleast_2d(estimator.coef_)
    intercepts = np.broadcast_to(np.ravel(estimator.intercept_), len(coefficients))
    weights = np.zeros((len(coefficients), width))
    weights[:, columns] = coefficients
    return [Linear(*each) for each in zip(weights, intercepts.tolist(), strict=True)]


def forest(
    trees: Iterable[Any],
    columns: _Ints,
    *,
    base: float = 0.0,
    rate: float = 0,
    outputs: int | slice = 0,
) -> Flattened:
    """Flatten trees of scikit-learn that are averaged, or added with a learning rate.

    Parameters
    ----------
    outputs
        Values of each leaf that are used: one, or the shares of several classes.
    """
    flat = _Flat()
    for tree in trees:
        leaf = tree.children_left < 0
        flat.add(
            tree.children_left,
            tree.children_right,
            np.where(leaf, 0, columns[np.where(leaf, 0, tree.feature)]),
            _rounded_down(tree.threshold),
            tree.value[:, 0, outputs],
            tree.missing_go_to_left.astype(bool),
            tree.weighted_n_node_samples,
        )
    return flat.finish(base=base, scale=rate or 1 / len(flat.roots), single=False, absent=0.0)


def _boosted(estimator: GradientBoostingRegressor, columns: _Ints) -> Flattened | None:
    if not isinstance(estimator.init_, DummyRegressor):
        return None
    return forest(
        [tree.tree_ for tree in estimator.estimators_[:, 0]],
        columns,
        base=float(estimator.init_.constant_[0, 0]),
        rate=estimator.learning_rate,
    )


def booster(estimator: Any, columns: _Ints, objectives: frozenset[str]) -> list[Flattened] | None:  # noqa: ANN401 - an estimator around a booster
    """Flatten the trees of each output of a booster; None if it is of another kind.

    Parameters
    ----------
    objectives
        Objectives whose sums of leaves are wanted as they are.
    """
    best = estimator.booster_[: estimator.best_rounds_]
    learner = json.loads(best.save_raw("json"))["learner"]
    boosted, objective = learner["gradient_booster"], learner["objective"]["name"]
    if boosted["name"] != "gbtree" or objective not in objectives:
        return None
    base = np.ravel(json.loads(learner["learner_model_param"]["base_score"])).astype(np.float32)
    if objective == _BINARY:
        # It is stored as a probability, and added as log-odds.
        base = -np.log(np.float32(1) / base - np.float32(1))
    model, outputs = boosted["model"], max(int(learner["learner_model_param"]["num_class"]), 1)
    flats = [_Flat() for _ in range(outputs)]
    for tree, output in zip(model["trees"], model["tree_info"], strict=True):
        if any(tree["split_type"]):
            return None
        left = np.asarray(tree["left_children"])
        conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
        flats[output].add(
            left,
            np.asarray(tree["right_children"]),
            np.where(left < 0, 0, columns[np.asarray(tree["split_indices"])]),
            # Left is what is less than the threshold; here it is what is not more.
            np.nextafter(conditions, np.float32(-np.inf)),
            conditions.astype(np.float64),
            np.asarray(tree["default_left"], dtype=bool),
            np.asarray(tree["sum_hessian"], dtype=np.float64),
        )
    starts = np.broadcast_to(base, outputs).tolist()
    return [
        flat.finish(base=start, scale=1.0, single=True, absent=np.nan)
        for flat, start in zip(flats, starts, strict=True)
    ]


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
