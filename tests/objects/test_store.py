"""Stored objects: every kind there and back, verified."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import BaseEstimator
from sklearn.linear_model import Lasso
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.models.catalogue import FAMILIES
from model_loop.models.search import ErrorMetrics, SearchRequest, Trial
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.objects import (
    ObjectReference,
    read_object,
    remove_object,
    write_bytes,
    write_object,
)
from model_loop.objects.documents import moved_aside, read_document, record_of
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit


@pytest.fixture
def folder(tmp_path: Path) -> UPath:
    """Where objects are written."""
    return UPath(tmp_path.as_uri())


def there_and_back(value: object, folder: UPath) -> tuple[ObjectReference, Any]:
    """Write and read a value."""
    reference = write_object(value, folder, "value")
    return reference, read_object(reference)


def stored_file(reference: ObjectReference) -> Path:
    """The file behind a reference."""
    return Path(UPath(reference.uri).path)


def test_frame(folder: UPath) -> None:
    """A DataFrame keeps its types, its index and its missing values."""
    frame = pd.DataFrame(
        {
            "time": pd.Series(["2024-01-01 08:30", None], dtype="datetime64[us]"),
            "zone": np.array([1, 2], dtype=np.int32),
            "miles": [1.5, np.nan],
            "borough": pd.Categorical(["Queens", "Bronx"]),
            "text": ["a", None],
        },
        index=[7, 9],
    )
    reference, back = there_and_back(frame, folder)
    pd.testing.assert_frame_equal(back, frame)
    assert (reference.kind, reference.shape) == ("DataFrame", "2 x 5")
    assert reference.uri.endswith(".parquet")


@pytest.mark.parametrize("name", ["duration", None])
def test_series(folder: UPath, name: str | None) -> None:
    """A Series keeps its name, also none, and its index."""
    series = pd.Series([1.0, np.nan], index=["a", "b"], name=name)
    reference, back = there_and_back(series, folder)
    pd.testing.assert_series_equal(back, series)
    assert reference.kind == "Series"


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([], dtype=np.int64),
        np.array(["2024-01-01"], dtype="datetime64[us]"),
        np.array(5.0),
    ],
)
def test_array(folder: UPath, array: np.ndarray) -> None:
    """An array keeps its type and shape."""
    reference, back = there_and_back(array, folder)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert reference.kind == "ndarray"


@pytest.mark.parametrize("kind", [csr_matrix, csr_array])
def test_sparse(folder: UPath, kind: Any) -> None:
    """A sparse matrix stays one, of its kind, with int32 indices and explicit zeros."""
    starts = np.array([0, 1, 2], dtype=np.int32)
    matrix = kind((np.array([0.0, 2.0]), np.array([1, 0], dtype=np.int32), starts), shape=(2, 3))
    reference, back = there_and_back(matrix, folder)
    assert type(back) is kind
    assert back.nnz == 2
    assert (back != matrix).nnz == 0
    assert back.indices.dtype == np.int32
    assert reference.shape == "2 x 3, 2 stored"


def test_booster(folder: UPath) -> None:
    """A Booster predicts the same afterwards."""
    inputs = np.random.default_rng(0).random((50, 3))
    matrix = xgb.DMatrix(inputs, inputs.sum(axis=1))
    booster = xgb.train({"nthread": 1}, matrix, 5)
    reference, back = there_and_back(booster, folder)
    np.testing.assert_array_equal(back.predict(matrix), booster.predict(matrix))
    assert (reference.kind, reference.shape) == ("Booster", "5 rounds")
    assert reference.uri.endswith(".ubj")


@pytest.mark.parametrize("name", list(FAMILIES))
def test_trained_models(
    name: str,
    trained: dict[str, TrainedModel],
    sample_training_set: TrainingSet,
    folder: UPath,
) -> None:
    """Every family's trained model predicts the same afterwards, with all that tuning found."""
    _, back = there_and_back(trained[name], folder)
    trips = sample_training_set.test_rows
    np.testing.assert_array_equal(back.model.predict(trips), trained[name].model.predict(trips))
    assert back.tuned == trained[name].tuned


def test_training_set(sample_training_set: TrainingSet, folder: UPath) -> None:
    """A training set comes back whole: the same digest, encoders that encode, still immutable."""
    reference, back = there_and_back(sample_training_set, folder)
    assert reference.kind == "TrainingSet"
    assert back.digest == sample_training_set.digest
    assert back.request == sample_training_set.request
    before, after = sample_training_set.layouts["dense"], back.layouts["dense"]
    np.testing.assert_array_equal(
        after.encoder.transform(back.example_rows),
        before.encoder.transform(sample_training_set.example_rows),
    )
    with pytest.raises(TypeError):
        back.layouts["dense"] = after


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, "text", True, None]},
        [math.inf, -math.inf],
        (1, (2, [3])),
        {"nested": {"tuple": (1,), "when": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}},
        {"$tuple": [1], "$part": "of the user's own"},
        MappingProxyType({"frozen": 1}),
        ErrorMetrics(1.0, 1.0, 1.0, 0.5, 0.5, 0.5),
        MonthSplit.parse("2024-01", "2024-02"),
        [Trial(0, {"alpha": 0.1}, None, 1.0, 2.0, curve=(3.0, 2.0), error="ValueError: no")],
    ],
    ids=repr,
)
def test_json_and_dataclasses(folder: UPath, value: object) -> None:
    """JSON, tuples, times, mappings and dataclasses come back equal and of the same types."""
    _, back = there_and_back(value, folder)
    assert back == value
    assert type(back) is type(value)


def test_not_a_number_survives(folder: UPath) -> None:
    """NaN, which JSON does not know, comes back."""
    _, back = there_and_back({"error": math.nan}, folder)
    assert math.isnan(back["error"])


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numpy_number_survives(folder: UPath, number: float) -> None:
    """NumPy's own NaN and infinity, as metrics have them, can be read again."""
    _, back = there_and_back(ErrorMetrics(np.float64(number), 1.0, 1.0, 0.5, 0.5, 0.5), folder)
    assert str(back.rmse) == str(number)


def test_text_of_dtype_object_keeps_it(folder: UPath) -> None:
    """A column of Python strings does not turn into pandas' own text."""
    frame = pd.DataFrame({"text": pd.Series(["a", None], dtype=object)})
    _, back = there_and_back(frame, folder)
    pd.testing.assert_frame_equal(back, frame)


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"mixed": pd.Series([1, "x"], dtype=object)}),
        pd.DataFrame([[1, 2]], columns=["twice", "twice"]),
        pd.DataFrame({"codes": pd.Categorical([1, 2])}),
        pd.Series([1.0], name=("a", "b")),
    ],
    ids=["mixed", "duplicate", "categories", "name"],
)
def test_refuses_frames_that_parquet_would_change(folder: UPath, value: object) -> None:
    """What Parquet cannot give back as it was is refused when it is written."""
    with pytest.raises(StoredObjectError):
        write_object(value, folder, "value")


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("trip_duration.gone:Gone", {}, "no version of this package has stored such"),
        ("trip_duration.trips.months:Gone", {}, "no version of this package has stored such"),
        # Imported there, and defined elsewhere.
        ("trip_duration.training_set.types:MonthSplit", {}, "no version of this package has"),
        ("trip_duration.trips.months:Month", {"year": 1}, "without number"),
        ("trip_duration.trips.months:Month", {}, "without year, number"),
    ],
)
def test_objects_of_another_version(
    folder: UPath, name: str, fields: dict[str, int], message: str
) -> None:
    """An object whose class is gone, or lacks what it cannot do without, says so."""
    with pytest.raises(StoredObjectError, match=message):
        read_object(forged({"$dataclass": name, "fields": fields}, folder))


def test_fields_that_were_added_or_dropped_since(folder: UPath) -> None:
    """An older object takes defaults for new fields; a newer one's further fields are ignored."""
    stored = {
        "$dataclass": "trip_duration.models.search:Trial",
        "fields": {
            "number": 3,
            "settings": {"$dict": {"alpha": 0.1}},
            "metrics": None,
            "started": 1.0,
            "seconds": 2.0,
            "dropped": {"$dataclass": "trip_duration.gone:Gone", "fields": {}},
            "unknown": {"$part": "0.xyz", "kind": "of another version"},
        },
    }
    assert read_object(forged(stored, folder)) == Trial(3, {"alpha": 0.1}, None, 1.0, 2.0)


def test_part_of_another_version(folder: UPath) -> None:
    """A part in a format that is not known is named."""
    with pytest.raises(StoredObjectError, match="no part of kind 'tensor' is known"):
        read_object(forged({"$part": "0.xyz", "kind": "tensor"}, folder))


@pytest.mark.parametrize("frame", ["[%s]", '{"$tuple": [%s]}', '{"$dict": {"a": %s}}'])
@pytest.mark.parametrize("depth", [101, 300, 990, 100_000])
def test_a_value_that_is_nested_without_end_is_refused(
    folder: UPath, frame: str, depth: int
) -> None:
    """At any depth that Python may or may not reach, in the usual words."""
    before, after = frame.split("%s")
    text = before * depth + "1" + after * depth
    with pytest.raises(StoredObjectError, match="nested"):
        read_object(forged_bytes(text.encode(), folder))


def test_what_could_not_be_read_back_is_not_written(folder: UPath) -> None:
    """A value within itself has no end."""
    endless: list[Any] = [ErrorMetrics(1.0, 1.0, 1.0, 0.5, 0.5, 0.5)]
    endless.append(endless)
    with pytest.raises(StoredObjectError, match="nested"):
        write_object(endless, folder, "value")


@pytest.mark.parametrize("depth", [101, 990, 100_000])
def test_a_file_that_is_nested_without_end_is_moved_aside(folder: UPath, depth: int) -> None:
    """It stops nobody who comes after."""
    path = folder / "kept.json"
    write_bytes(path, b"[" * depth + b"]" * depth)
    assert read_document(path, lambda found: record_of(ErrorMetrics, found)) is None
    assert len(moved_aside(folder)) == 1


def forged(stored: object, folder: UPath) -> ObjectReference:
    """Write what another version might have stored, with the digest that belongs to it."""
    return forged_bytes(json.dumps(stored).encode(), folder)


def forged_bytes(data: bytes, folder: UPath) -> ObjectReference:
    """Write the same as bytes."""
    reference = write_object({"a": 1}, folder, "value")
    stored_file(reference).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return ObjectReference("Month", None, len(data), digest, reference.uri)


def test_incomplete_reference() -> None:
    """A reference that lacks something says what."""
    with pytest.raises(StoredObjectError, match="does not say its digest, kind"):
        ObjectReference.from_json({"stored_object": 1})


def test_same_value_same_file(sample_training_set: TrainingSet, folder: UPath) -> None:
    """The same matrix or frame written twice is one file."""
    for value in (
        sample_training_set.layouts["sparse"].train,
        sample_training_set.train_target,
        sample_training_set.test_rows,
        {"a": sample_training_set.train_target, "b": [1]},
    ):
        assert write_object(value, folder, "twice") == write_object(value, folder, "twice")
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("prefix", ["file://", ""])
def test_odd_folder_names(tmp_path: Path, prefix: str) -> None:
    """A folder with a space and a per cent sign in its name is written to and read from."""
    _, back = there_and_back({"a": 1}, UPath(f"{prefix}{tmp_path}/my models 100%"))
    assert back == {"a": 1}
    assert len(list((tmp_path / "my models 100%").iterdir())) == 1


def test_missing_object(folder: UPath) -> None:
    """A missing object is an error that names it and says what to do."""
    reference = write_object({"a": 1}, folder, "value")
    stored_file(reference).unlink()
    with pytest.raises(StoredObjectError, match=r"value-.*\.json is gone. Clear the task"):
        read_object(reference)


@pytest.mark.parametrize("keep", [0, 1, -1])
def test_altered_object(folder: UPath, keep: int) -> None:
    """An emptied, shortened or changed object is refused before it is decoded."""
    reference = write_object(np.arange(100), folder, "value")
    file = stored_file(reference)
    content = file.read_bytes()
    file.write_bytes(content[:keep] + b"X" if keep else b"")
    with pytest.raises(StoredObjectError, match="was altered"):
        read_object(reference)


def test_removed_object(folder: UPath) -> None:
    """Removing removes; removing again is no error."""
    reference = write_object({"a": 1}, folder, "value")
    remove_object(reference)
    remove_object(reference)
    assert not stored_file(reference).exists()


class Foreign(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator of somebody else."""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([object()]), "array of Python objects cannot be stored without pickle"),
        ({"nested": object()}, r"A value of type builtins\.object cannot be stored"),
        ({1: "number as key"}, "The key 1 is not text"),
        (Foreign(), r"not trusted: .*Foreign"),
        (FunctionTransformer(print), "not trusted"),
    ],
    ids=["objects", "unknown", "key", "foreign", "function"],
)
def test_refuses_what_it_cannot_keep_safely(folder: UPath, value: object, message: str) -> None:
    """What would need pickle, or a class that is not trusted, is refused when it is written."""
    with pytest.raises(StoredObjectError, match=message):
        write_object(value, folder, "value")
    assert not list(folder.iterdir())


def test_does_not_import_what_a_file_names(folder: UPath) -> None:
    """A stored file cannot make us import another program's class."""
    evil = {"$dataclass": "subprocess:Popen", "fields": {"args": "true"}}
    data = json.dumps(evil).encode()
    reference = write_object({"a": 1}, folder, "value")
    file = stored_file(reference)
    file.write_bytes(data)
    forged = ObjectReference(
        "Popen", None, len(data), hashlib.sha256(data).hexdigest(), reference.uri
    )
    with pytest.raises(StoredObjectError, match="subprocess:Popen cannot be read: no version"):
        read_object(forged)


def test_estimator_alone(folder: UPath) -> None:
    """An estimator without a pipeline around it is stored too."""
    estimator = Lasso(alpha=0.5).fit([[0.0], [1.0]], [0.0, 1.0])
    reference, back = there_and_back(estimator, folder)
    assert back.coef_ == pytest.approx(estimator.coef_)
    assert (reference.kind, reference.shape) == ("estimator", "Lasso")


_STORE_AGAIN = """
import json
import sys
from upath import UPath
from model_loop.objects import ObjectReference, read_object, write_object
for name, told in json.loads(sys.argv[1]).items():
    model = read_object(ObjectReference.from_json(told))
    print(name, write_object(model, UPath(sys.argv[2]), "value").digest)
"""


@pytest.fixture(scope="module")
def trained(sample_training_set: TrainingSet) -> dict[str, TrainedModel]:
    """A model of each family, after one trial."""
    request = SearchRequest(max_evaluations=1, threads=1)
    return {
        name: train(tune(name, sample_training_set, request), sample_training_set, request)
        for name in FAMILIES
    }


def test_estimators_have_one_form(
    trained: dict[str, TrainedModel], folder: UPath, tmp_path: Path
) -> None:
    """The same model is the same bytes: again, after reading, and in another process."""
    stored = {}
    for name, found in trained.items():
        stored[name], loaded = there_and_back(found.model, folder)
        assert write_object(found.model, folder, "value") == stored[name]
        assert write_object(loaded, folder, "value") == stored[name]
    told = json.dumps({name: reference.to_json() for name, reference in stored.items()})
    done = subprocess.run(
        [sys.executable, "-c", _STORE_AGAIN, told, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )
    digests = dict(line.split() for line in done.stdout.splitlines())
    assert digests == {name: reference.digest for name, reference in stored.items()}


def test_shared_parts_stay_shared(folder: UPath) -> None:
    """Two names for one array are one array afterwards too."""
    shared = np.arange(5.0)
    _, loaded = there_and_back(OneHotEncoder(categories=[shared, shared]), folder)
    assert loaded.categories[0] is loaded.categories[1]


def test_a_matrix_names_columns_that_there_are(tmp_path: Path) -> None:
    """Whatever multiplies it reads foreign memory otherwise."""
    for change in ("indices", "indptr"):
        matrix = csr_matrix(np.eye(5))
        getattr(matrix, change)[1:-1] = 2**30
        reference = write_object(matrix, UPath(tmp_path), change)
        with pytest.raises(StoredObjectError, match="A stored matrix does not match its header"):
            read_object(reference)


@pytest.mark.parametrize("rows", [4, 6, 10**12])
def test_an_array_is_as_long_as_it_says(tmp_path: Path, rows: int) -> None:
    """A short file makes no room for terabytes."""
    reference = write_object(np.arange(5.0), UPath(tmp_path), "array")
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f8", "fortran_order": False, "shape": (rows,)}
    )
    content = file.getvalue() + np.arange(5.0).tobytes()
    UPath(reference.uri).write_bytes(content)
    altered = dataclasses.replace(reference, digest=hashlib.sha256(content).hexdigest())
    with pytest.raises(StoredObjectError, match="A stored array does not match its header"):
        read_object(altered)
