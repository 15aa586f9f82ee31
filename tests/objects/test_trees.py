"""Trees of stored models that cannot be walked are refused before anything walks them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost as xgb
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR, NuSVR
from sklearn.tree import DecisionTreeRegressor
from tests.objects.crafted import file_of, node, plain, sequence
from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.models.boosting import BoosterRegressor
from model_loop.objects import read_object, write_object
from model_loop.objects.trees import require_sound_booster
from model_loop.objects.trust import dump_estimator, load_estimator
from model_loop.tracking.registry import save_model
from trip_duration.services import DISTANCE, DROPOFF_ZONE, PICKUP_ZONE
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.uniform(0, 1, (200, 3))
MINUTES = ROWS @ [1.0, 2.0, 3.0] + RANDOM.normal(0, 0.1, 200)

Change = Callable[[Any], None]


def _set(field: str, place: int, value: int) -> Change:
    def change(nodes: Any) -> None:
        nodes[field][place] = value

    return change


#: Fields of scikit-learn's nodes: of its trees, and of its histogram trees.
TREE = {"left": "left_child", "right": "right_child", "feature": "feature"}
HISTOGRAM = {"left": "left", "right": "right", "feature": "feature_idx"}
DAMAGE = {
    "beyond the nodes": ("left", 0, 1_000_000),
    "its own child": ("left", 0, 0),
    "a parent again": ("right", 1, 0),
    "one child twice": ("right", 0, 1),
    "beyond the columns": ("feature", 0, 3),
}
MODELS: dict[str, tuple[Any, dict[str, str]]] = {
    "tree": (DecisionTreeRegressor(max_depth=3), TREE),
    "forest": (RandomForestRegressor(2, max_depth=3), TREE),
    "extra trees": (ExtraTreesRegressor(2, max_depth=3), TREE),
    "boosted": (GradientBoostingRegressor(n_estimators=2), TREE),
    "adaptive": (AdaBoostRegressor(n_estimators=2), TREE),
    "histograms": (HistGradientBoostingRegressor(max_iter=2), HISTOGRAM),
}


def damaged(model: BaseEstimator, field: str, change: Change) -> bytes:
    """A model's file whose first array of records with a field was changed."""
    stored = skops.io.dumps(model)
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, member in members.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(member)).copy()
            if field in (array.dtype.names or ()):
                change(array)
                buffer = io.BytesIO()
                np.save(buffer, array)
                members[name] = buffer.getvalue()
                break
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_trees_of_scikit_learn(kind: str, damage: str) -> None:
    """Children in range and after their parent, columns in range, no node twice."""
    made, names = MODELS[kind]
    model = made.fit(ROWS, MINUTES)
    np.testing.assert_array_equal(
        load_estimator(dump_estimator(model)).predict(ROWS), model.predict(ROWS)
    )
    field, place, value = DAMAGE[damage]
    stored = damaged(model, names[field], _set(names[field], place, value))
    with pytest.raises(StoredObjectError, match="is not loaded"):
        load_estimator(stored)


@pytest.mark.parametrize("columns", [2, 4])
def test_an_ensemble_that_says_another_number_of_columns(columns: int) -> None:
    """What a forest checks its rows by has to be what its trees were learned from."""
    for made in (DecisionTreeRegressor(), GradientBoostingRegressor(n_estimators=2)):
        model = made.fit(ROWS, MINUTES)
        model.n_features_in_ = columns
        with pytest.raises(StoredObjectError, match="a column out of range"):
            load_estimator(dump_estimator(model))


def test_a_tree_in_another_place() -> None:
    """A tree that no estimator checks the rows of is refused, wherever it hides."""
    model = DecisionTreeRegressor().fit(ROWS, MINUTES)
    carrier = KNeighborsRegressor().fit(ROWS, MINUTES)
    carrier.hidden_ = np.array([[model.tree_, None]], dtype=object)
    with pytest.raises(StoredObjectError, match="belongs to no estimator"):
        load_estimator(dump_estimator(carrier))


@pytest.mark.parametrize(
    ("field", "value"), [("idx_start", -1), ("idx_end", 10_000), ("is_leaf", 0)]
)
def test_search_trees(field: str, value: int) -> None:
    """The tree of a nearest-neighbour search stays within its rows."""
    model = KNeighborsRegressor(algorithm="kd_tree").fit(ROWS, MINUTES)
    again = load_estimator(dump_estimator(model))
    np.testing.assert_array_equal(again.predict(ROWS), model.predict(ROWS))
    last = len(model._tree.__getstate__()[2]) - 1
    with pytest.raises(StoredObjectError, match="a KDTree whose getstate does not fit"):
        load_estimator(damaged(model, field, _set(field, last, value)))


#: Of XGBoost's trees: array, place and value.
BOOSTER_DAMAGE = {
    "beyond the nodes": ("left_children", 0, 1_000_000),
    "its own child": ("left_children", 0, 0),
    "a parent again": ("right_children", 1, 0),
    "one child twice": ("right_children", 0, 1),
    "a wrong parent": ("parents", 2, 1_000_000),
    "beyond the columns": ("split_indices", 0, 3),
    "a negative column": ("split_indices", 0, -7),
}


def patched(raw: bytes, name: str, place: int, value: int) -> bytes:
    """A booster's UBJSON with one number of one array changed."""
    begin = raw.index(f"{name}[$l#L".encode()) + len(name) + len("[$l#L") + 8 + 4 * place
    return raw[:begin] + value.to_bytes(4, "big", signed=True) + raw[begin + 4 :]


@pytest.fixture(name="booster", scope="module")
def small_booster() -> bytes:
    """A booster of a few trees, as XGBoost stores it."""
    model = BoosterRegressor({"max_depth": 3}, rounds=3, threads=1).fit(ROWS, MINUTES)
    return bytes(model.booster_.save_raw("ubj"))


@pytest.mark.parametrize("damage", BOOSTER_DAMAGE)
def test_trees_of_xgboost(booster: bytes, damage: str, tmp_path: Path) -> None:
    """The same of XGBoost's, as an estimator's file and as an object of a task."""
    crafted = patched(booster, *BOOSTER_DAMAGE[damage])
    model = BoosterRegressor({"max_depth": 3}, rounds=3, threads=1).fit(ROWS, MINUTES)
    stored = skops.io.dumps(model)
    assert stored.count(booster) == 1
    again = load_estimator(stored)
    np.testing.assert_array_equal(again.predict(ROWS), model.predict(ROWS))
    with pytest.raises(StoredObjectError):
        load_estimator(_with(stored, booster, crafted))

    reference = write_object(model.booster_, UPath(tmp_path.as_uri()), "value")
    assert read_object(reference).num_boosted_rounds() == 3
    file = Path(UPath(reference.uri).path)
    file.write_bytes(patched(file.read_bytes(), *BOOSTER_DAMAGE[damage]))
    with pytest.raises(StoredObjectError, match="is not loaded"):
        read_object(_redigested(reference, file))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_booster_that_ends_early(booster: bytes, cut: float, tmp_path: Path) -> None:
    """A file that is cut off, goes on, or is JSON in text, is not given to XGBoost at all."""
    reference = write_object(_booster(booster), UPath(tmp_path.as_uri()), "value")
    file = Path(UPath(reference.uri).path)
    whole = file.read_bytes()
    text = bytes(_booster(booster).save_raw("json"))
    for crafted in (whole[: int(cut * len(whole))], whole + b"}", text):
        file.write_bytes(crafted)
        with pytest.raises(StoredObjectError, match="not as XGBoost writes it"):
            read_object(_redigested(reference, file))


def test_a_booster_that_is_no_bytes() -> None:
    """A number in place of the trees is refused, and no memory is set aside for it."""
    keys = sequence("list", node("TypeNode", "builtins.str"))
    content = node("DictNode", "builtins.dict", content={"booster_": plain(10**12)}, key_types=keys)
    name = "model_loop.models.boosting.BoosterRegressor"
    with pytest.raises((StoredObjectError, TypeError)):
        load_estimator(file_of(node("ObjectNode", name, content=content)))


def _booster(raw: bytes) -> xgb.Booster:
    made = xgb.Booster()
    made.load_model(bytearray(raw))
    return made


def _with(stored: bytes, old: bytes, new: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, new if member == old else member)
    return buffer.getvalue()


def _redigested(reference: Any, file: Path) -> Any:
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return dataclasses.replace(reference, digest=digest, size=len(data))


VECTORS: dict[str, Change] = {
    "rows that were never learned from": lambda made: setattr(
        made, "support_", np.full(10**6, 2**30, dtype=np.int32)
    ),
    "a row beyond the last": lambda made: made.support_.__setitem__(0, 200),
    "fewer weights": lambda made: setattr(made, "_dual_coef_", made._dual_coef_[:, :1].copy()),
    "fewer columns": lambda made: setattr(
        made, "support_vectors_", made.support_vectors_[:, :1].copy()
    ),
    "no intercept": lambda made: setattr(made, "_intercept_", np.zeros(0)),
    "another count": lambda made: made._n_support.__setitem__(0, 10**6),
    "rows of another kind": lambda made: setattr(made, "kernel", "precomputed"),
    "classes": lambda made: setattr(made, "_impl", "c_svc"),
}


@pytest.mark.parametrize("change", VECTORS)
@pytest.mark.parametrize("made", [SVR(), NuSVR(), SVR(kernel="linear"), SVR(epsilon=100)])
def test_support_vectors_go_together(made: Any, change: str) -> None:
    """libsvm, which looks at none of these, reads foreign memory otherwise."""
    model = clone(made).fit(ROWS, MINUTES)
    np.testing.assert_array_equal(
        load_estimator(dump_estimator(model)).predict(ROWS), model.predict(ROWS)
    )
    if not len(model.support_):
        return
    VECTORS[change](model)
    with pytest.raises(StoredObjectError, match="is not loaded"):
        load_estimator(dump_estimator(model))


@pytest.mark.parametrize("change", ["columns", "vectors", "stray"])
def test_what_could_not_be_loaded_is_not_written(change: str, tmp_path: Path) -> None:
    """The rules of reading hold for writing: for results of tasks, and for versions of models."""
    if change == "columns":
        model = RandomForestRegressor(2).fit(ROWS, MINUTES)
        model.n_features_in_ = 4
    elif change == "vectors":
        model = SVR().fit(ROWS, MINUTES)
        VECTORS["another count"](model)
    else:
        model = KNeighborsRegressor().fit(ROWS, MINUTES)
        model.hidden_ = DecisionTreeRegressor().fit(ROWS, MINUTES).tree_
    with pytest.raises(StoredObjectError, match="is not loaded"):
        write_object(model, UPath(tmp_path.as_uri()), "value")
    assert not list(tmp_path.iterdir())
    if change == "stray":
        trips = pd.DataFrame(ROWS, columns=[*"abc"])
        with pytest.raises(StoredObjectError, match="is not loaded"):
            save_model(Pipeline([("estimate", model)]), tmp_path / "model", trips)
        assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("column", [2**30, -(2**30), 10_000])
def test_a_table_of_pairs_names_columns_that_there_are(column: int) -> None:
    """The matrix that an encoder makes is multiplied without another look."""
    trips = pd.DataFrame({PICKUP_ZONE: [1, 2, 3], DROPOFF_ZONE: [4, 5, 6], DISTANCE: 1.0})
    encoder = OneHotTripEncoder(recipe="pair_distance").fit(trips)
    loaded = load_estimator(dump_estimator(encoder))
    assert (loaded.transform(trips) != encoder.transform(trips)).nnz == 0
    encoder.table_[1, 4] = column
    with pytest.raises(StoredObjectError, match="columns out of range"):
        load_estimator(dump_estimator(encoder))


def test_trees_of_several_classes() -> None:
    """Each tree is of a class that there is; there are no more classes than trees."""
    data = xgb.DMatrix(ROWS, np.arange(len(ROWS)) % 3)
    settings = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2}
    raw = bytes(xgb.train(settings, data, 2).save_raw("ubj"))
    require_sound_booster(raw)
    groups, number = b"i\x00i\x01i\x02i\x00i\x01i\x02L", b"num_classSL" + b"\x00" * 7 + b"\x01"
    for wrong in (b"\x03", b"\xff"):
        crafted = raw.replace(groups, groups.replace(b"\x02L", wrong + b"L"))
        assert crafted != raw
        with pytest.raises(StoredObjectError, match="a wrong group"):
            require_sound_booster(crafted)
    crafted = raw.replace(number + b"3", number + b"9")
    assert crafted != raw
    with pytest.raises(StoredObjectError, match="more classes than trees"):
        require_sound_booster(crafted)
