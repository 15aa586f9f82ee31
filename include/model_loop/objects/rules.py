"""Check that the parts of a loaded estimator go together, before anything predicts with them.

Machine code of scikit-learn's and libsvm's follows numbers of rows, columns and nodes without
looking at them. `_RULES` says for each class that hands something over to machine code what its
attributes have to be; the other classes that are allowed compute by NumPy and SciPy, which look for
themselves. Our own estimators say it by a method `require_sound`.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn._loss.link import BaseLink
from sklearn._loss.loss import BaseLoss, HalfBinomialLoss, HalfMultinomialLoss
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingRegressor,
)
from sklearn.ensemble._forest import ForestClassifier, ForestRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics._dist_metrics import EuclideanDistance64
from sklearn.neighbors import BallTree, KDTree, KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree, DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.tree._tree import Tree

from model_loop.errors import StoredObjectError
from model_loop.objects.trees import require, require_predictor, require_tree

#: Condition of an attribute: takes its value and the object that has it.
_Condition = Callable[[Any, Any], bool]

_MISSING: Any = types.SimpleNamespace()
_NO, _YES_NO = (False,), (False, True)
#: Attributes that are called, and read as an object's state.
_STATES = ("__getstate__", "get_state")
#: Distances that need nothing but the rows.
_METRICS = ("euclidean", "l2", "minkowski", "manhattan", "cityblock", "l1", "chebyshev", "cosine")
#: Columns that powers of columns become; levels of a search tree; words of a generator's state.
_POWERS, _LEVELS, _WORDS = 100_000, 40, 624
_TWO = 2
_PLAIN = (bool, int, float, str, type(None))
_NO_OBJECTS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def _is(*allowed: object) -> _Condition:
    """Return the condition to be one of some values, and of its type."""
    return lambda value, _: any(type(value) is type(one) and value == one for one in allowed)


def _of(kind: type) -> _Condition:
    """Return the condition to be of a class itself."""
    return lambda value, _: type(value) is kind


def _numbers(value: Any, *shape: int, kinds: str = "fiu") -> bool:  # noqa: ANN401 - of any kind
    return type(value) is np.ndarray and value.dtype.kind in kinds and value.shape == shape


def _shaped(*shape: int) -> _Condition:
    """Return the condition to be an array of numbers of a shape."""
    return lambda value, _: _numbers(value, *shape)


def _walked(value: Any, tree: Any) -> bool:  # noqa: ANN401 - as above
    require(type(value) is Tree, "a tree that is none")
    require_tree(tree)
    return bool(value.n_outputs == 1)


def _members(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    trees = list(value)
    # Boosting adds up numbers for classes, too.
    voting = isinstance(ensemble, ForestClassifier)
    kind = DecisionTreeClassifier if voting else DecisionTreeRegressor
    for tree in trees:
        require(isinstance(tree, kind), "another estimator in the place of a tree")
        require(tree.tree_.n_features == ensemble.n_features_in_, "a column out of range")
    return len(trees) > 0


def _stages(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether each stage has a tree for each column of what is added up."""
    stages = (len(value), ensemble.n_trees_per_iteration_)
    fits = type(value) is np.ndarray and value.shape == stages
    return fits and _members(value.flat, ensemble)


def _predictors(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    for trees in value:
        require(len(trees) == ensemble.n_trees_per_iteration_, "another number of trees")
        for tree in trees:
            require(type(tree) is TreePredictor, "another object in the place of a tree")
            require_predictor(tree, ensemble.n_features_in_)
    return type(value) is list


def _trees_of_classes(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether there is a tree for each class, or a single one for two classes."""
    classes = len(ensemble.classes_)
    return type(value) is int and value == (1 if classes == _TWO else classes)


def _class_loss(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether a loss is that of as many classes, so that it adds up as many columns."""
    binary = ensemble.n_trees_per_iteration_ == 1
    kind = HalfBinomialLoss if binary else HalfMultinomialLoss
    return type(value) is kind and value.is_multiclass is not binary and _loss(value, ensemble)


def _shares(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether boosting starts from the share of each class, or from nothing."""
    if type(value) is str:
        return value == "zero"
    return type(value) is DummyClassifier and value.n_classes_ == len(ensemble.classes_)


def _shares_of_classes(value: Any, dummy: Any) -> bool:  # noqa: ANN401 - as above
    return _numbers(value, int(dummy.n_classes_))


def _baselines(value: Any, ensemble: Any) -> bool:  # noqa: ANN401 - as above
    return _numbers(value, 1, ensemble.n_trees_per_iteration_)


def _steps(value: Any, calibrator: Any) -> bool:  # noqa: ANN401 - as above
    return _numbers(value, len(calibrator.X_thresholds_))


def _loss(value: Any, _: Any) -> bool:  # noqa: ANN401 - as above
    return isinstance(value, BaseLoss) and isinstance(value.link, BaseLink)


def _constant(value: Any, _: Any) -> bool:  # noqa: ANN401 - as above
    return type(value) is DummyRegressor or (type(value) is str and value == "zero")


def _rows(value: Any, search: Any) -> bool:  # noqa: ANN401 - as above
    return _numbers(value, search.n_samples_fit_, search.n_features_in_)


def _search(value: Any, search: Any) -> bool:  # noqa: ANN401 - as above
    if value is None:
        return bool(search._fit_method == "brute")  # noqa: SLF001 - what it searches by
    rows = search._fit_X.shape  # noqa: SLF001 - as above
    return type(value) in {KDTree, BallTree} and np.shape(value.data) == rows


def _powers(value: Any, _: Any) -> bool:  # noqa: ANN401 - as above
    return {*value} <= {"p"} and all(isinstance(one, int | float) for one in value.values())


def _search_tree(bounds: int) -> _Condition:
    """Return the condition to be the state of a search tree with so many bounds of each node."""

    def fits(state: Any, _: Any) -> bool:  # noqa: ANN401 - as above
        rows, order, nodes, limits, leaf, levels, count, *_others, metric, weights = state
        if not (0 < levels <= _LEVELS and len(nodes) == count == 2**levels - 1 and leaf > 0):
            return False
        begin, end, inner = nodes["idx_start"], nodes["idx_end"], nodes["is_leaf"] == 0
        return bool(
            type(metric) is EuclideanDistance64
            and _numbers(limits, bounds, count, rows.shape[1])
            and (weights is None or _numbers(weights, len(rows)))
            and np.array_equal(np.sort(order), np.arange(len(rows)))
            and ((begin >= 0) & (begin <= end) & (end <= len(rows))).all()
            and (2 * np.flatnonzero(inner) + 2 < count).all()
        )

    return fits


def _vectors(value: Any, machine: Any) -> bool:  # noqa: ANN401 - as above
    count, (rows, features) = len(value), machine.shape_fit_
    support = machine.support_
    return bool(
        features == machine.n_features_in_
        and _numbers(value, count, features)
        and _numbers(support, count, kinds="i")
        and ((support >= 0) & (support < rows)).all()
        and machine._n_support.tolist() == [count, count]  # noqa: SLF001 - what libsvm is given
    )


def _weights(value: Any, machine: Any) -> bool:  # noqa: ANN401 - as above
    return _numbers(value, 1, len(machine.support_vectors_))


def _outputs(value: Any, encoder: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether categories become as many columns as there are, less those dropped."""
    sizes, dropped = _sizes(encoder), encoder._drop_idx_after_grouping  # noqa: SLF001 - what it encodes by
    if dropped is not None:
        within = [one is None or 0 <= one < size for one, size in zip(dropped, sizes, strict=True)]
        require(all(within), "a category out of range")
        sizes = [size - (one is not None) for one, size in zip(dropped, sizes, strict=True)]
    return type(value) is list and value == sizes


def _sizes(encoder: Any) -> list[int]:  # noqa: ANN401 - as above
    """Return the number of columns of each feature, in which rare categories share one."""
    sizes = [len(category) for category in encoder.categories_]
    if not encoder._infrequent_enabled:  # noqa: SLF001 - as above
        return sizes
    mappings = encoder._default_to_infrequent_mappings  # noqa: SLF001 - as above
    rare = encoder._infrequent_indices  # noqa: SLF001 - as above
    for place, (mapping, indices) in enumerate(zip(mappings, rare, strict=True)):
        require((mapping is None) == (indices is None), "rare categories that do not fit")
        if mapping is None:
            continue
        found = sizes[place] - len(indices) + 1
        fits = _numbers(mapping, sizes[place], kinds="i") and _numbers(
            indices, len(indices), kinds="i"
        )
        require(
            fits and bool(((mapping >= 0) & (mapping < found)).all()), "a category out of range"
        )
        sizes[place] = found
    return sizes


def _elementwise(value: Any, _: Any) -> bool:  # noqa: ANN401 - as above
    return value is None or (isinstance(value, np.ufunc) and (value.nin, value.nout) == (1, 1))


def _words(value: Any, _: Any) -> bool:  # noqa: ANN401 - as above
    return _numbers(value["state"]["key"], _WORDS) and value["state"]["pos"] in range(_WORDS + 1)


_NEIGHBOURS: Mapping[str, _Condition] = {
    "_fit_X": _rows,
    "_fit_method": _is("brute", "kd_tree", "ball_tree"),
    "_tree": _search,
    "effective_metric_": _is(*_METRICS),
    "effective_metric_params_": _powers,
    "metric": _is(*_METRICS),
}
_FUNCTIONS: Mapping[str, _Condition] = {"func": _elementwise, "inverse_func": _elementwise}
_BINNED: Mapping[str, _Condition] = {
    "_bin_mapper": _of(_BinMapper),
    "_in_fit": _is(_MISSING),
    "_predictors": _predictors,
    "_preprocessor": _is(None),
    "is_categorical_": _is(None),
}
#: Conditions of the attributes of each class.
_RULES: Mapping[type, Mapping[str, _Condition]] = MappingProxyType(
    {
        BaseDecisionTree: {"tree_": _walked, "n_outputs_": _is(1)},
        DummyClassifier: {
            "strategy": _is("prior", "most_frequent"),
            "class_prior_": _shares_of_classes,
            "n_outputs_": _is(1),
        },
        DummyRegressor: {"constant_": _shaped(1, 1), "n_outputs_": _is(1)},
        ForestClassifier: {"estimators_": _members, "n_outputs_": _is(1)},
        ForestRegressor: {"estimators_": _members, "n_outputs_": _is(1)},
        GradientBoostingClassifier: {
            "n_trees_per_iteration_": _trees_of_classes,
            "estimators_": _stages,
            "init_": _shares,
            "_loss": _class_loss,
        },
        GradientBoostingRegressor: {
            "estimators_": _stages,
            "init_": _constant,
            "n_trees_per_iteration_": _is(1),
            "_loss": _loss,
        },
        HistGradientBoostingClassifier: {
            "n_trees_per_iteration_": _trees_of_classes,
            "_baseline_prediction": _baselines,
            "_loss": _class_loss,
            **_BINNED,
        },
        HistGradientBoostingRegressor: {
            "n_trees_per_iteration_": _is(1),
            "_baseline_prediction": _baselines,
            "_loss": _loss,
            **_BINNED,
        },
        IsotonicRegression: {"y_thresholds_": _steps},
        _BinMapper: {"is_categorical_": lambda value, _: not np.any(value)},
        KNeighborsRegressor: _NEIGHBOURS,
        RadiusNeighborsRegressor: _NEIGHBOURS,
        KDTree: {"__getstate__": _search_tree(2)},
        BallTree: {"__getstate__": _search_tree(1)},
        BaseLibSVM: {
            "_impl": _is("epsilon_svr", "nu_svr"),
            "_sparse": _is(*_NO),
            "kernel": _is("linear", "poly", "rbf", "sigmoid"),
            "support_vectors_": _vectors,
            "dual_coef_": _weights,
            "_dual_coef_": _weights,
            "intercept_": _shaped(1),
            "_intercept_": _shaped(1),
            "_probA": _shaped(0),
            "_probB": _shaped(0),
        },
        OneHotEncoder: {"_infrequent_enabled": _is(*_YES_NO), "_n_features_outs": _outputs},
        PolynomialFeatures: {"_n_out_full": lambda value, _: value in range(1, _POWERS)},
        FunctionTransformer: {**_FUNCTIONS, "kw_args": _is(None, {}), "inv_kw_args": _is(None, {})},
        TransformedTargetRegressor: _FUNCTIONS,
        StackingRegressor: {"stack_method_": lambda value, _: {*value} == {"predict"}},
        np.random.RandomState: {"get_state": _words},
    }
)


def require_sound(estimator: object) -> None:
    """Refuse an estimator whose parts do not go together; let none of them start processes.

    Raises
    ------
    StoredObjectError
        If it is so.
    """
    try:
        parts = list(_parts(estimator))
        for one in parts:
            _require_own_methods(one)
            _require_rules(one)
        _require_no_strays(parts)
    except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
        raise StoredObjectError(
            "A stored model", f"is incomplete ({error})", "Train or store it anew."
        ) from error
    for one in parts:
        # A file would choose how many processes a prediction starts.
        if getattr(one, "n_jobs", None) is not None:
            vars(one)["n_jobs"] = None


def _require_own_methods(one: object) -> None:
    """Refuse an attribute of an object in the place of a method of its class."""
    if isinstance(one, np.ufunc):
        # A function of a module, and none of the file's.
        return
    for name in getattr(one, "__dict__", ()):
        for base in type(one).__mro__:
            method = name in vars(base) and not isinstance(vars(base)[name], _PLAIN)
            require(not method, f"an attribute {name} in the place of a method")


def _require_rules(one: Any) -> None:  # noqa: ANN401 - of any kind
    for kind, rules in _RULES.items():
        if isinstance(one, kind) and _is_ready(one, rules):
            for name, holds in rules.items():
                value = getattr(one, name, _MISSING)
                if name in _STATES:
                    value = value(legacy=False) if name == "get_state" else value()
                require(
                    holds(value, one),
                    f"a {type(one).__name__} whose {name.strip('_')} does not fit",
                )
    columns = getattr(one, "__dict__", {}).get("n_features_in_", 0)
    require(isinstance(columns, int | np.integer), "a number of columns that is none")
    if (own := getattr(type(one), "require_sound", None)) is not None:
        own(one)


def _is_ready(one: Any, rules: Mapping[str, _Condition]) -> bool:  # noqa: ANN401 - as above
    """Return whether an object has learned anything, or needs nothing to be learned."""
    learned = [name for name in rules if "_" in {name[0], name[-1]} and name not in _STATES]
    return not learned or any(name in vars(one) for name in learned)


def _require_no_strays(parts: list[object]) -> None:
    """Refuse a tree of scikit-learn's that no estimator checks the rows of."""
    known = {id(part.tree_) for part in parts if hasattr(part, "tree_")}
    for part in parts:
        if isinstance(part, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
            known |= {id(tree) for trees in getattr(part, "_predictors", ()) for tree in trees}
    strays = [
        part for part in parts if isinstance(part, Tree | TreePredictor) and id(part) not in known
    ]
    require(not strays, "a tree that belongs to no estimator")


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
            # Its contents are unknown to Python's own list of references.
            waiting += list(one.ravel()) if one.dtype.hasobject else []
        else:
            waiting += gc.get_referents(one)
