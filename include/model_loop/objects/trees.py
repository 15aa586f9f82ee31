"""Check that the trees of a stored model can be walked.

Libraries follow the numbers of nodes and columns that a file names without looking at them: a
number out of range reads foreign memory, and a node that is its own ancestor is walked for ever.
Our own estimators say so by a method `require_sound`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.errors import StoredObjectError
from model_loop.objects.ubjson import read_ubjson

_Ints = npt.NDArray[np.int64]

#: Levels of a tree. Learned ones have some dozens; libraries descend with a call for each.
_LEVELS = 1_000
_LEAF = -1
_NO_PARENT = 2**31 - 1
#: Arrays that XGBoost keeps of each node; its other arrays are checked one by one.
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


def require_sound_booster(data: bytes) -> None:
    """Refuse a booster of XGBoost's, as UBJSON, with a tree that cannot be walked.

    Raises
    ------
    StoredObjectError
        If it is no plain `gbtree` of a number for each row or class, or a tree is as above.
    """
    try:
        learner = read_ubjson(data)["learner"]
        booster, about = learner["gradient_booster"], learner["learner_model_param"]
        plain = (booster["name"], int(about.get("num_target", 1)))
        require(plain == ("gbtree", 1), "more than trees of one number")
        groups = max(int(about["num_class"]), 1)
        model, features = booster["model"], int(about["num_feature"])
        trees = model["trees"]
        require(groups <= max(len(trees), 1), "more classes than trees")
        require(int(model["gbtree_model_param"]["num_trees"]) == len(trees), "a wrong count")
        info = np.asarray(model["tree_info"], dtype=np.int64)
        require(len(info) == len(trees), "a wrong group")
        require(bool(((info >= 0) & (info < groups)).all()), "a wrong group")
        rounds = np.asarray(model.get("iteration_indptr", [0, len(trees)]), dtype=np.int64)
        require(rounds[0] == 0 and rounds[-1] == len(trees), "a wrong round")
        require(bool((np.diff(rounds) >= 0).all()), "a wrong round")
        require(len(learner["feature_names"]) in {0, features}, "a wrong name")
        for tree in trees:
            _require_boosted(tree, features)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StoredObjectError(
            "A stored booster",
            f"is not as XGBoost writes it ({type(error).__name__}: {error})",
            "Store it by Booster.save_raw('ubj') or save_model.",
        ) from error


def require(holds: bool, flaw: str) -> None:  # noqa: FBT001 - what has to hold
    """Refuse a stored model of which something does not hold.

    Raises
    ------
    StoredObjectError
        With what it has.
    """
    if not holds:
        raise StoredObjectError(
            "A stored model", f"has {flaw}, and is not loaded", "Train or store it anew."
        )


def require_tree(estimator: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    """Refuse an estimator with a tree that cannot be walked.

    Raises
    ------
    StoredObjectError
        If a child is out of range or not after its parent, or a column is out of range.
    """
    tree = estimator.tree_
    require(tree.n_features == estimator.n_features_in_, "a column out of range")
    levels = _require_nodes(tree.children_left, tree.children_right, tree.feature, tree.n_features)
    require(levels <= tree.max_depth, "a tree deeper than it says")


def require_predictor(tree: Any, features: int) -> None:  # noqa: ANN401 - scikit-learn has no types
    """Refuse a tree of a histogram gradient boosting that cannot be walked.

    Raises
    ------
    StoredObjectError
        If it is as above, or splits by categories.
    """
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left, right = (
        np.where(leaf, _LEAF, nodes[name].astype(np.int64)) for name in ("left", "right")
    )
    require(not nodes["is_categorical"].any(), "a split by categories")
    _require_nodes(left, right, nodes["feature_idx"], features)


def _require_boosted(tree: Any, features: int) -> None:  # noqa: ANN401 - any JSON
    about = tree["tree_param"]
    count = int(about["num_nodes"])
    left, right, parents, columns, *others = (np.asarray(tree[name]) for name in _BOOSTED)
    require(all(len(one) == count for one in (left, right, parents, *others)), "a wrong count")
    require(int(about["num_feature"]) == features, "a column out of range")
    require(int(about["num_deleted"]) == 0, "deleted nodes")
    require(int(about["size_leaf_vector"]) <= 1, "more than trees of one number")
    categories = [name for name in tree if name.startswith("categories")]
    by_order = not any(len(tree[name]) for name in categories) and not any(tree["split_type"])
    require(by_order and len(tree["split_type"]) == count, "a split by categories")
    _require_nodes(left, right, columns, features)
    known = np.full(count, _NO_PARENT, dtype=np.int64)
    for children in (left, right):
        known[children[children != _LEAF]] = np.flatnonzero(children != _LEAF)
    require(bool((parents == known).all()), "a node with another parent")


def _require_nodes(left: _Ints, right: _Ints, columns: _Ints, features: int) -> int:
    """Refuse what is no tree; return its number of levels below the root."""
    count = len(left)
    require(count > 0 and len(right) == len(columns) == count, "a wrong count")
    inner = left != _LEAF
    require(bool((inner == (right != _LEAF)).all()), "a node with one child")
    split = np.flatnonzero(inner)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    require(bool((children > np.tile(split, 2)).all()), "a child that is not after its parent")
    require(bool((children < count).all()), "a child out of range")
    once = len(children) == count - 1 and bool((np.bincount(children, minlength=1) <= 1).all())
    require(once, "a node with two parents, or none")
    used = np.asarray(columns)[inner]
    require(bool(((used >= 0) & (used < features)).all()), "a column out of range")
    level, levels = np.zeros(1, dtype=np.int64), 0
    while len(level := level[inner[level]]):
        level, levels = np.concatenate([left[level], right[level]]), levels + 1
        require(levels <= _LEVELS, "a tree that is too deep")
    return levels
