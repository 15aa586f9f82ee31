"""Check that the trees of a stored model can be walked, and that its other arrays go together.

Libraries follow the numbers of nodes and columns that a file names without looking at them: a
number out of range reads foreign memory, and a node that is its own ancestor is walked for ever.
Our own estimators say so by a method `require_sound`.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from trip_duration.errors import StoredObjectError
from trip_duration.objects.ubjson import read_ubjson

_Ints = npt.NDArray[np.int64]

#: Levels of a tree. Learned ones have some dozens; libraries descend with a call for each.
_LEVELS = 1_000
_LEAF = -1
_NO_PARENT = 2**31 - 1
#: What XGBoost keeps of each node; what its other arrays hold is looked at for itself.
_BOOSTED = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
    "base_weights",
    "loss_changes",
    "sum_hessian",
)
#: Of libsvm: what has one number for each row, and kernels that look at columns alone.
_REGRESSIONS, _KERNELS = ("epsilon_svr", "nu_svr"), ("linear", "poly", "rbf", "sigmoid")
_NO_OBJECTS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def require_sound_trees(estimator: object) -> None:
    """Refuse an estimator with a tree of scikit-learn's that cannot be walked.

    Raises
    ------
    StoredObjectError
        If a child is out of range or not after its parent, a column is out of range, or a tree
        belongs to no estimator that says how many columns there are.
    """
    try:
        _require_sound(list(_parts(estimator)))
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise StoredObjectError(
            "A stored model", f"is incomplete ({error})", "Train or store it anew."
        ) from error


def _require_sound(parts: Sequence[object]) -> None:
    known: set[int] = set()
    for one in parts:
        if isinstance(one, BaseDecisionTree) and hasattr(one, "tree_"):
            _require_tree(one)
            known.add(id(one.tree_))
        elif isinstance(one, BaseForest | BaseGradientBoosting):
            for tree in np.ravel(getattr(one, "estimators_", [])):
                _require(tree.tree_.n_features == one.n_features_in_, "a column out of range")
        elif isinstance(one, BaseHistGradientBoosting):
            for tree in (found for row in getattr(one, "_predictors", []) for found in row):
                _require_predictor(tree, one.n_features_in_)
                known.add(id(tree))
        elif isinstance(one, KDTree | BallTree):
            _require_neighbours(one)
        elif isinstance(one, BaseLibSVM) and hasattr(one, "support_vectors_"):
            _require_vectors(one)
        elif (own := getattr(type(one), "require_sound", None)) is not None:
            own(one)
    strays = [
        one for one in parts if isinstance(one, Tree | TreePredictor) and id(one) not in known
    ]
    _require(not strays, "a tree that belongs to no estimator")


def require_sound_booster(data: bytes) -> None:
    """Refuse a booster of XGBoost's, as UBJSON, with a tree that cannot be walked.

    Raises
    ------
    StoredObjectError
        If it is no plain `gbtree` of one number for each row, or a tree is as above.
    """
    try:
        learner = read_ubjson(data)["learner"]
        booster, about = learner["gradient_booster"], learner["learner_model_param"]
        plain = (booster["name"], int(about["num_class"]), int(about.get("num_target", 1)))
        _require(plain == ("gbtree", 0, 1), "more than trees of one number")
        model, features = booster["model"], int(about["num_feature"])
        trees = model["trees"]
        _require(int(model["gbtree_model_param"]["num_trees"]) == len(trees), "a wrong count")
        _require(list(model["tree_info"]) == [0] * len(trees), "a wrong group")
        rounds = np.asarray(model.get("iteration_indptr", [0, len(trees)]), dtype=np.int64)
        _require(rounds[0] == 0 and rounds[-1] == len(trees), "a wrong round")
        _require(bool((np.diff(rounds) >= 0).all()), "a wrong round")
        _require(len(learner["feature_names"]) in {0, features}, "a wrong name")
        for tree in trees:
            _require_boosted(tree, features)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StoredObjectError(
            "A stored booster",
            f"is not as XGBoost writes it ({type(error).__name__}: {error})",
            "Store it by Booster.save_raw('ubj') or save_model.",
        ) from error


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - what has to hold
    if not holds:
        raise StoredObjectError(
            "A stored model", f"has {what}, and is not loaded", "Train or store it anew."
        )


def _require_tree(estimator: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    tree = estimator.tree_
    _require(tree.n_features == estimator.n_features_in_, "a column out of range")
    levels = _require_nodes(tree.children_left, tree.children_right, tree.feature, tree.n_features)
    _require(levels <= tree.max_depth, "a tree deeper than it says")


def _require_predictor(tree: Any, features: int) -> None:  # noqa: ANN401 - scikit-learn has no types
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left, right = (
        np.where(leaf, _LEAF, nodes[name].astype(np.int64)) for name in ("left", "right")
    )
    _require(not nodes["is_categorical"].any(), "a split by categories")
    _require_nodes(left, right, nodes["feature_idx"], features)


def _require_boosted(tree: Any, features: int) -> None:  # noqa: ANN401 - any JSON
    about = tree["tree_param"]
    count = int(about["num_nodes"])
    left, right, parents, columns, *others = (np.asarray(tree[name]) for name in _BOOSTED)
    _require(all(len(one) == count for one in (left, right, parents, *others)), "a wrong count")
    _require(int(about["num_feature"]) == features, "a column out of range")
    _require(int(about["num_deleted"]) == 0, "deleted nodes")
    _require(int(about["size_leaf_vector"]) <= 1, "more than trees of one number")
    categories = [name for name in tree if name.startswith("categories")]
    by_order = not any(len(tree[name]) for name in categories) and not any(tree["split_type"])
    _require(by_order and len(tree["split_type"]) == count, "a split by categories")
    _require_nodes(left, right, columns, features)
    known = np.full(count, _NO_PARENT, dtype=np.int64)
    for children in (left, right):
        known[children[children != _LEAF]] = np.flatnonzero(children != _LEAF)
    _require(bool((parents == known).all()), "a node with another parent")


def _require_nodes(left: _Ints, right: _Ints, columns: _Ints, features: int) -> int:
    """Refuse what is no tree; return its number of levels below the root."""
    count = len(left)
    _require(count > 0 and len(right) == len(columns) == count, "a wrong count")
    inner = left != _LEAF
    _require(bool((inner == (right != _LEAF)).all()), "a node with one child")
    split = np.flatnonzero(inner)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    _require(bool((children > np.tile(split, 2)).all()), "a child that is not after its parent")
    _require(bool((children < count).all()), "a child out of range")
    once = len(children) == count - 1 and bool((np.bincount(children, minlength=1) <= 1).all())
    _require(once, "a node with two parents, or none")
    used = np.asarray(columns)[inner]
    _require(bool(((used >= 0) & (used < features)).all()), "a column out of range")
    level, levels = np.zeros(1, dtype=np.int64), 0
    while len(level := level[inner[level]]):
        level, levels = np.concatenate([left[level], right[level]]), levels + 1
        _require(levels <= _LEVELS, "a tree that is too deep")
    return levels


def _require_neighbours(tree: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    rows, order, nodes, bounds, _, levels, count, *_ = tree.__getstate__()
    inner = ~nodes["is_leaf"].astype(bool)
    begin, end = nodes["idx_start"], nodes["idx_end"]
    sound = (
        len(nodes) == count == 2**levels - 1
        and bounds.shape[1:] == (count, rows.shape[1])
        and np.array_equal(np.sort(order), np.arange(len(rows)))
        and ((begin >= 0) & (begin <= end) & (end <= len(rows))).all()
        and (2 * np.flatnonzero(inner) + 2 < count).all()
    )
    _require(bool(sound), "a search tree out of range")


def _require_vectors(machine: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    vectors, features = machine.support_vectors_, machine.n_features_in_
    count, rows = len(vectors), machine.shape_fit_[0]
    support, sizes = machine.support_, machine._n_support  # noqa: SLF001 - what libsvm is given
    sound = (
        machine._impl in _REGRESSIONS  # noqa: SLF001 - as above
        and machine.kernel in _KERNELS
        and vectors.shape == (count, features)
        and machine.shape_fit_[1] == features
        and support.shape == (count,)
        and ((support >= 0) & (support < rows)).all()
        and sizes.tolist() == [count, count]
        and machine._dual_coef_.shape == machine.dual_coef_.shape == (1, count)
        and machine._intercept_.shape == machine.intercept_.shape == (1,)
    )
    _require(bool(sound), "support vectors that do not go together")


def _parts(value: object) -> Iterator[object]:
    """Yield all objects that a value is made of, each once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _NO_OBJECTS):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, np.ndarray):
            # What it holds is unknown to Python's own list of references.
            waiting += list(one.ravel()) if one.dtype.hasobject else []
        else:
            waiting += gc.get_referents(one)
