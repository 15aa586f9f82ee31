"""Parts of an estimator that do not go together are refused, each for itself.

Nothing predicts here: the objects are looked at as they are in memory, before any machine code is.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn._loss.link import IdentityLink
from sklearn._loss.loss import HalfBinomialLoss
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures
from sklearn.svm import SVR, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

from model_loop.errors import StoredObjectError
from model_loop.objects import rules
from model_loop.objects.rules import require_sound

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.uniform(0, 1, (60, 3))
MINUTES = ROWS @ [1.0, 2.0, 3.0]
KINDS = np.digitize(MINUTES, np.quantile(MINUTES, [0.3, 0.6]))
CODES = np.arange(60).reshape(-1, 2) % 5

#: Estimators that have learned, by the name of their class.
MODELS: dict[str, Any] = {
    type(one).__name__: one.fit(ROWS, MINUTES)
    for one in (
        DecisionTreeRegressor(max_depth=2),
        DummyRegressor(),
        ExtraTreesRegressor(2, max_depth=2),
        FunctionTransformer(np.negative, np.negative),
        GradientBoostingRegressor(n_estimators=2, max_depth=1),
        HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5),
        KNeighborsRegressor(algorithm="kd_tree", leaf_size=5),
        NuSVR(),
        PolynomialFeatures(2),
        RadiusNeighborsRegressor(algorithm="ball_tree", leaf_size=5),
        RandomForestRegressor(2, max_depth=2),
        StackingRegressor([("one", DecisionTreeRegressor(max_depth=1))], LinearRegression()),
        SVR(),
        TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
    )
} | {"OneHotEncoder": OneHotEncoder(drop="first").fit(CODES)}
MODELS |= {
    type(one).__name__: one.fit(ROWS, KINDS)
    for one in (
        DecisionTreeClassifier(max_depth=2),
        DummyClassifier(),
        GradientBoostingClassifier(n_estimators=2, max_depth=1),
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5),
        RandomForestClassifier(2, max_depth=2),
    )
} | {"IsotonicRegression": IsotonicRegression().fit(ROWS[:, 0], MINUTES)}

_NAN = float("nan")


def widened(value: Any) -> Any:
    """Return an array with one more row."""
    return np.concatenate([value, value[:1]])


def as_list(value: Any) -> Any:
    """Return what is no array."""
    return value.tolist()


def as_text(value: Any) -> Any:
    """Return an array of another kind."""
    return value.astype(str)


def without_link(loss: Any) -> Any:
    """Return a loss whose link is none."""
    loss = copy.copy(loss)
    loss.link = None
    return loss


def without_last(value: Any) -> Any:
    """Return one entry less."""
    return value[:-1]


#: Of a class, an attribute and what stands in its place: a value, or what is made of the right one.
WRONG: list[tuple[str, str, Any]] = [
    ("DecisionTreeRegressor", "tree_", None),
    ("DecisionTreeRegressor", "tree_", types.SimpleNamespace(n_features=3)),
    ("DecisionTreeRegressor", "n_features_in_", 4),
    ("DecisionTreeRegressor", "n_outputs_", 2),
    ("DecisionTreeRegressor", "n_outputs_", 1.0),
    ("DecisionTreeRegressor", "n_outputs_", True),
    ("DummyRegressor", "constant_", widened),
    ("DummyRegressor", "constant_", as_list),
    ("DummyRegressor", "constant_", as_text),
    ("DummyRegressor", "n_outputs_", 2),
    ("RandomForestRegressor", "estimators_", []),
    ("RandomForestRegressor", "estimators_", [LinearRegression()]),
    ("RandomForestRegressor", "estimators_", lambda trees: [trees[0], LinearRegression()]),
    ("RandomForestRegressor", "n_features_in_", 2),
    ("RandomForestRegressor", "n_outputs_", 2),
    ("ExtraTreesRegressor", "estimators_", None),
    ("GradientBoostingRegressor", "estimators_", lambda trees: trees.ravel()),
    ("GradientBoostingRegressor", "estimators_", lambda trees: np.hstack([trees, trees])),
    ("GradientBoostingRegressor", "estimators_", as_list),
    ("GradientBoostingRegressor", "estimators_", lambda trees: trees[:0]),
    ("GradientBoostingRegressor", "init_", LinearRegression().fit(ROWS, MINUTES)),
    ("GradientBoostingRegressor", "init_", "one"),
    ("GradientBoostingRegressor", "init_", None),
    ("GradientBoostingRegressor", "n_trees_per_iteration_", 2),
    ("GradientBoostingRegressor", "_loss", None),
    ("DecisionTreeClassifier", "tree_", None),
    ("DecisionTreeClassifier", "n_outputs_", 2),
    ("DummyClassifier", "class_prior_", without_last),
    ("DummyClassifier", "strategy", "stratified"),
    ("GradientBoostingClassifier", "estimators_", lambda trees: trees[:, :2]),
    ("GradientBoostingClassifier", "estimators_", MODELS["GradientBoostingRegressor"].estimators_),
    ("GradientBoostingClassifier", "n_trees_per_iteration_", 1),
    ("GradientBoostingClassifier", "classes_", without_last),
    ("GradientBoostingClassifier", "init_", MODELS["DummyRegressor"]),
    ("GradientBoostingClassifier", "init_", DummyClassifier().fit(ROWS, KINDS > 0)),
    ("GradientBoostingClassifier", "_loss", HalfBinomialLoss()),
    ("GradientBoostingClassifier", "_loss", without_link),
    ("HistGradientBoostingClassifier", "_baseline_prediction", lambda value: value[:, :2]),
    ("HistGradientBoostingClassifier", "_predictors", lambda trees: [each[:2] for each in trees]),
    ("HistGradientBoostingClassifier", "_loss", HalfBinomialLoss()),
    ("IsotonicRegression", "y_thresholds_", without_last),
    ("RandomForestClassifier", "estimators_", MODELS["RandomForestRegressor"].estimators_),
    ("RandomForestRegressor", "estimators_", MODELS["RandomForestClassifier"].estimators_),
    ("HistGradientBoostingRegressor", "_baseline_prediction", widened),
    ("HistGradientBoostingRegressor", "_bin_mapper", None),
    ("HistGradientBoostingRegressor", "_in_fit", False),
    ("HistGradientBoostingRegressor", "_loss", types.SimpleNamespace(link=None)),
    ("HistGradientBoostingRegressor", "_loss", types.SimpleNamespace(link=IdentityLink())),
    ("HistGradientBoostingRegressor", "_loss", without_link),
    ("GradientBoostingRegressor", "_loss", without_link),
    ("HistGradientBoostingRegressor", "_predictors", tuple),
    ("HistGradientBoostingRegressor", "_predictors", lambda trees: [*trees, [None]]),
    ("HistGradientBoostingRegressor", "_predictors", lambda trees: [*trees, []]),
    ("HistGradientBoostingRegressor", "_preprocessor", FunctionTransformer()),
    ("HistGradientBoostingRegressor", "is_categorical_", np.zeros(3, bool)),
    ("HistGradientBoostingRegressor", "n_trees_per_iteration_", 2),
    ("KNeighborsRegressor", "_fit_X", without_last),
    ("KNeighborsRegressor", "_fit_X", lambda rows: rows[:, :2]),
    ("KNeighborsRegressor", "_fit_X", as_list),
    ("KNeighborsRegressor", "_fit_method", "auto"),
    ("KNeighborsRegressor", "_tree", None),
    ("KNeighborsRegressor", "_tree", types.SimpleNamespace(data=ROWS)),
    ("KNeighborsRegressor", "n_samples_fit_", 59),
    ("KNeighborsRegressor", "effective_metric_", "precomputed"),
    ("KNeighborsRegressor", "effective_metric_params_", {"w": np.ones(3)}),
    ("KNeighborsRegressor", "effective_metric_params_", {"p": "2"}),
    ("KNeighborsRegressor", "metric", np.absolute),
    ("RadiusNeighborsRegressor", "_tree", MODELS["KNeighborsRegressor"]._tree.__class__(ROWS[:9])),
    ("SVR", "_impl", "c_svc"),
    ("SVR", "_sparse", True),
    ("SVR", "_sparse", 0),
    ("SVR", "kernel", "precomputed"),
    ("SVR", "support_vectors_", without_last),
    ("SVR", "support_vectors_", lambda rows: rows[:, :2]),
    ("SVR", "support_", without_last),
    ("SVR", "support_", lambda rows: rows.astype(float)),
    ("SVR", "support_", lambda rows: rows - rows.min() - 1),
    ("SVR", "support_", lambda rows: np.where(rows == rows.max(), 60, rows)),
    ("SVR", "shape_fit_", (60, 2)),
    ("SVR", "_n_support", lambda counts: counts - [1, 0]),
    ("SVR", "_n_support", lambda counts: counts - [0, 1]),
    ("SVR", "dual_coef_", lambda weights: weights[:, 1:]),
    ("NuSVR", "_dual_coef_", lambda weights: np.vstack([weights, weights])),
    ("NuSVR", "intercept_", widened),
    ("NuSVR", "_intercept_", lambda value: value[:0]),
    ("NuSVR", "_probA", np.zeros(1)),
    ("NuSVR", "_probB", np.zeros(1)),
    ("OneHotEncoder", "_infrequent_enabled", True),
    ("OneHotEncoder", "_n_features_outs", [5, 5]),
    ("OneHotEncoder", "_n_features_outs", (4, 4)),
    ("OneHotEncoder", "_n_features_outs", [4]),
    ("OneHotEncoder", "_drop_idx_after_grouping", np.array([0, 5], dtype=object)),
    ("OneHotEncoder", "_drop_idx_after_grouping", np.array([-1, 0], dtype=object)),
    ("OneHotEncoder", "_drop_idx_after_grouping", np.array([None, 0], dtype=object)),
    ("OneHotEncoder", "_drop_idx_after_grouping", np.array([0], dtype=object)),
    ("OneHotEncoder", "_drop_idx_after_grouping", None),
    ("PolynomialFeatures", "_n_out_full", 0),
    ("PolynomialFeatures", "_n_out_full", 100_000),
    ("FunctionTransformer", "func", np.add),
    ("FunctionTransformer", "inverse_func", np.modf),
    ("FunctionTransformer", "func", len),
    ("FunctionTransformer", "kw_args", {"out": ROWS}),
    ("FunctionTransformer", "inv_kw_args", {"out": ROWS}),
    ("TransformedTargetRegressor", "func", np.maximum),
    ("StackingRegressor", "stack_method_", ["predict", "fit"]),
    ("StackingRegressor", "stack_method_", []),
    ("LinearRegression", "n_features_in_", "3"),
    ("LinearRegression", "n_features_in_", 3.0),
]


def with_wrong(name: str, attribute: str, wrong: Any) -> Any:
    """Return a copy of a model with another value of an attribute."""
    right = LinearRegression().fit(ROWS, MINUTES) if name == "LinearRegression" else MODELS[name]
    model = copy.copy(right)
    made = isinstance(wrong, types.FunctionType) or wrong is tuple
    setattr(model, attribute, wrong(getattr(model, attribute)) if made else wrong)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_what_scikit_learn_has_learned_is_sound(name: str) -> None:
    """Alone and within another one, and as it was before it has learned."""
    for one in (MODELS[name], Pipeline([("step", MODELS[name])]), [[MODELS[name]]]):
        require_sound(one)
    require_sound(type(MODELS[name])(**MODELS[name].get_params(deep=False)))


@pytest.mark.parametrize(("name", "attribute", "wrong"), WRONG)
def test_each_part_is_looked_at(name: str, attribute: str, wrong: Any) -> None:
    """One wrong part is enough, wherever the estimator stands."""
    model = with_wrong(name, attribute, wrong)
    for one in (model, Pipeline([("step", model)]), {"a": (model,)}):
        with pytest.raises(StoredObjectError, match=r"^A stored model (has|is incomplete)"):
            require_sound(one)


@pytest.mark.parametrize(
    ("name", "attribute", "right"),
    [
        ("GradientBoostingRegressor", "init_", "zero"),
        ("RandomForestRegressor", "estimators_", lambda trees: trees[:1]),
        ("KNeighborsRegressor", "effective_metric_params_", {"p": 1.5}),
        ("KNeighborsRegressor", "effective_metric_params_", {}),
        ("FunctionTransformer", "func", None),
        ("FunctionTransformer", "kw_args", {}),
        ("PolynomialFeatures", "_n_out_full", 1),
        ("PolynomialFeatures", "_n_out_full", 99_999),
        ("SVR", "kernel", "sigmoid"),
        ("LinearRegression", "n_features_in_", np.int64(3)),
    ],
)
def test_what_is_just_right(name: str, attribute: str, right: Any) -> None:
    """Values that stand at a bound, and forms that scikit-learn writes as well."""
    require_sound(with_wrong(name, attribute, right))


def test_a_search_without_a_tree_looks_at_all_rows() -> None:
    """Nothing stands in its place then, and only then."""
    model = KNeighborsRegressor(algorithm="brute").fit(ROWS, MINUTES)
    require_sound(model)
    model._fit_method = "kd_tree"
    with pytest.raises(StoredObjectError, match="whose tree does not fit"):
        require_sound(model)


def test_categories_that_are_dropped_become_no_column() -> None:
    """None of some columns, one of others."""
    for drop, sizes in ((None, [5, 5]), ("first", [4, 4]), ("if_binary", [5, 5])):
        encoder = OneHotEncoder(drop=drop).fit(CODES)
        require_sound(encoder)
        assert encoder._n_features_outs == sizes
    one = OneHotEncoder().fit(CODES)
    one._drop_idx_after_grouping, one._n_features_outs = np.array([None, 4], dtype=object), [5, 4]
    require_sound(one)


State = list[Any]


def _node(field: str, place: int, value: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[2] = state[2].copy()
        state[2][field][place] = value

    return change


def _part(place: int, value: Any) -> Callable[[State], None]:
    def change(state: State) -> None:
        state[place] = value(state[place]) if callable(value) else value

    return change


@pytest.mark.parametrize("name", ["KNeighborsRegressor", "RadiusNeighborsRegressor"])
@pytest.mark.parametrize(
    "change",
    [
        _node("idx_start", 0, -1),
        _node("idx_start", 3, 61),
        _node("idx_end", 0, 61),
        _node("idx_end", 14, -1),
        _node("is_leaf", 7, 0),
        _node("is_leaf", 14, 0),
        _part(1, lambda order: np.where(order == 59, 60, order)),
        _part(1, lambda order: np.where(order == 59, 58, order)),
        _part(1, lambda order: order - 1),
        _part(2, lambda nodes: nodes[:-1]),
        _part(3, lambda limits: np.concatenate([limits, limits])),
        _part(3, lambda limits: limits[:, 1:]),
        _part(3, lambda limits: limits[:, :, 1:]),
        _part(3, lambda limits: limits.astype(str)),
        _part(4, 0),
        _part(4, -1),
        _part(5, 3),
        _part(5, 5),
        _part(6, 14),
        _part(11, None),
        _part(12, np.ones(59)),
    ],
)
def test_states_of_search_trees(name: str, change: Callable[[State], None]) -> None:
    """Rows, nodes and bounds belong together, and no node is beyond them."""
    tree = MODELS[name]._tree
    # Made anew, as that of the table is made while the module is imported.
    bounds = {"KNeighborsRegressor": 2, "RadiusNeighborsRegressor": 1}
    fits = rules._search_tree(bounds[name])
    assert fits(tree.__getstate__(), tree)
    state = list(tree.__getstate__())
    change(state)
    assert not fits(state, tree)
    weighted = [*tree.__getstate__()[:12], np.ones(60)]
    assert fits(weighted, tree)


def test_a_search_tree_has_no_more_levels_than_there_can_be() -> None:
    """The number of its nodes is a power of two; an absurd one is not computed."""
    tree = MODELS["KNeighborsRegressor"]._tree
    fits = rules._search_tree(2)
    one_level = list(type(tree)(ROWS[:2], leaf_size=5).__getstate__())
    assert one_level[5:7] == [1, 1]
    assert fits(one_level, tree)
    for levels, count in ((0, 0), (-1, 0)):
        state = [*one_level[:5], levels, count, *one_level[7:]]
        state[2] = state[2][:count]
        assert not fits(state, tree)


def test_a_generator_stays_within_its_words() -> None:
    """The place of the next number is one of its 624 words, or their end."""
    right = np.random.RandomState(3)
    require_sound(right)
    state = right.get_state(legacy=False)
    fits = rules._RULES[np.random.RandomState]["get_state"]
    for place in (0, 1, 624):
        state["state"]["pos"] = place
        assert fits(state, right)
    for place in (-1, 625, 2_000_000_000):
        state["state"]["pos"] = place
        assert not fits(state, right)
    state["state"] = {"pos": 0, "key": state["state"]["key"][:-1]}
    assert not fits(state, right)


def test_no_attribute_takes_the_place_of_a_method() -> None:
    """Of the class itself and of those above it; plain values of a class may be changed."""
    for method in ("predict", "_validate_X_predict", "set_params"):
        model = copy.copy(MODELS["RandomForestRegressor"])
        setattr(model, method, None)
        with pytest.raises(StoredObjectError, match=f"attribute {method} in the place of a method"):
            require_sound(model)
    model = copy.copy(MODELS["RandomForestRegressor"])
    model._estimator_type = "regressor"
    model.own_ = 3
    require_sound(model)


@pytest.mark.parametrize("hide", [lambda it: it, lambda it: [it], lambda it: np.array([it, None])])
def test_a_tree_that_nobody_checks_the_rows_of(hide: Callable[[Any], Any]) -> None:
    """Trees of both kinds, in attributes, lists and arrays of objects."""
    histogram = MODELS["HistGradientBoostingRegressor"]._predictors[0][0]
    for tree in (MODELS["DecisionTreeRegressor"].tree_, histogram):
        model = LinearRegression().fit(ROWS, MINUTES)
        model.hidden_ = hide(tree)
        with pytest.raises(StoredObjectError, match="a tree that belongs to no estimator"):
            require_sound(model)
        # Wherever it stands, and whatever is looked at before it.
        for others in ([np.array([None], dtype=object), tree], [tree, np.array([None])]):
            with pytest.raises(StoredObjectError, match="a tree that belongs to no estimator"):
                require_sound(others)
    require_sound([MODELS["HistGradientBoostingRegressor"], histogram])
    both = [MODELS["DecisionTreeRegressor"], MODELS["HistGradientBoostingRegressor"]]
    require_sound(both)
    require_sound(both[::-1])


def test_no_process_is_started() -> None:
    """Every part that names a number of processes names none afterwards, and others are left."""
    inner = RandomForestRegressor(2, max_depth=1, n_jobs=4).fit(ROWS, MINUTES)
    tree = DecisionTreeRegressor(max_depth=1).fit(ROWS, MINUTES)
    tree.other_ = 4
    model = Pipeline([("a", FunctionTransformer()), ("estimate", inner)])
    require_sound([model, tree])
    assert inner.n_jobs is None
    assert tree.other_ == 4
    assert "n_jobs" not in vars(tree)


def test_our_own_estimators_are_asked() -> None:
    """By their method, wherever they stand."""

    class Own:
        def __init__(self) -> None:
            self.sound = True

        def require_sound(self) -> None:
            if not self.sound:
                message = "a table"
                raise ValueError(message)

    own = Own()
    require_sound({"a": [own]})
    own.sound = False
    with pytest.raises(StoredObjectError, match=r"A stored model is incomplete \(a table\)"):
        require_sound({"a": [own]})


def test_parts_that_refer_to_each_other_end() -> None:
    """Each is looked at once, and a class or a function is no part."""
    ring: list[Any] = [MODELS["DecisionTreeRegressor"], len, int, np]
    ring.append(ring)
    require_sound(ring)
    ids = [id(one) for one in rules._parts(ring)]
    assert len(ids) == len(set(ids)) < 1_000


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, ExtraTreeRegressor])
def test_a_tree_says_how_many_columns_it_reads(kind: Any) -> None:
    """A rule of a class holds for the classes below it."""
    model = kind(max_depth=1).fit(ROWS, MINUTES)
    require_sound(model)
    model.n_features_in_ = 5
    with pytest.raises(StoredObjectError, match="a column out of range"):
        require_sound(model)


def test_conditions_of_one_value() -> None:
    """A value and its type, a class itself, and the shape of an array of numbers."""
    one_or_none = rules._is(1, None, {})
    right: list[Any] = [1, None, {}]
    wrong: list[Any] = [1.0, True, 2, False, "1", {"a": 1}, []]
    assert all(one_or_none(one, None) for one in right)
    assert not any(one_or_none(one, None) for one in wrong)
    assert not rules._is()(None, None)
    a_tree = rules._of(dict)
    assert a_tree({}, None)
    wrong = [None, dict, types.SimpleNamespace(), type("Own", (dict,), {})()]
    assert not any(a_tree(one, None) for one in wrong)
    pair = rules._shaped(1, 2)
    for kind in (np.int8, np.uint64, np.float32):
        assert pair(np.zeros((1, 2), kind), None)
    shapes = (np.zeros(2), np.zeros((2, 1)), np.zeros((1, 2, 1)), np.zeros((1, 3)))
    kinds = (np.zeros((1, 2), complex), np.zeros((1, 2), bool), np.zeros((1, 2), object))
    wrong = [*shapes, *kinds, np.ma.zeros((1, 2)), [[0, 0]], None]
    assert not any(pair(one, None) for one in wrong)
