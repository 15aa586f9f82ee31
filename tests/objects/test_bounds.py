"""Files that would end the process, write foreign memory, or take much of it, are refused.

Each is read in a process of its own with little memory, since some ended it before.
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.tree import DecisionTreeRegressor
from tests.objects.crafted import file_of, node, plain, sequence

from model_loop.models.boosting import BoosterRegressor
from model_loop.objects.trust import dump_estimator, load_estimator

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.uniform(0, 1, (60, 3))
MINUTES = ROWS @ [1.0, 2.0, 3.0]

#: Memory, of which the libraries take 1 GB, and seconds for each file; all together take 3 s.
MEMORY, SECONDS = 2 * 2**30, 10
ZEROS = bytes(80_000_000)

Schema = dict[str, Any]
Members = dict[str, bytes]
FILES: dict[str, Callable[[], bytes]] = {}


def crafted(make: Callable[[], bytes]) -> Callable[[], bytes]:
    """Name a file by what it holds."""
    FILES[make.__name__ + SUFFIX] = make
    return make


SUFFIX = ".skops"


def stored(model: BaseEstimator) -> bytes:
    """Return a model's file as skops writes it."""
    return bytes(skops.io.dumps(model))


def npy(array: Any) -> bytes:
    """Return an array in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def changed(model: BaseEstimator, change: Callable[[Schema, Members], object]) -> bytes:
    """Return a model's file whose tree and members were changed."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    change(schema, members)
    return packed({**members, "schema.json": json.dumps(schema).encode()})


def packed(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def nodes(tree: Any) -> Iterator[Schema]:
    """Yield every object of a tree."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for child in tree:
            yield from nodes(child)


def boosted(stages: Any) -> bytes:
    """Return a boosting of one stage whose trees were exchanged for others."""
    model = GradientBoostingRegressor(n_estimators=1, max_depth=1, init="zero").fit(ROWS, MINUTES)
    model.estimators_ = stages(model.estimators_[0, 0])
    return stored(model)


@crafted
def a_stage_of_many_trees() -> bytes:
    """Each adds to a column of its own, of which there is one."""
    return boosted(lambda tree: np.full((1, 100), tree, dtype=object))


@crafted
def a_stage_of_many_trees_by_reference() -> bytes:
    """Return the same stage in a small file."""

    def change(schema: Schema, _: Members) -> None:
        for one in nodes(schema):
            if isinstance(one.get("estimators_"), dict):
                row = one["estimators_"]["content"][0]
                row["content"][0]["__id__"] = 77
                cached = node("CachedNode", "builtins.list", __id__=77)
                row["content"] = [row["content"][0], *[cached] * 3_000]

    model = GradientBoostingRegressor(n_estimators=1, max_depth=1, init="zero")
    return changed(model.fit(ROWS, MINUTES), change)


@crafted
def a_start_of_fewer_rows() -> bytes:
    """Return a boosting whose start gives another number of rows."""
    model = GradientBoostingRegressor(n_estimators=1).fit(ROWS, MINUTES)
    model.init_ = KNeighborsRegressor().fit(ROWS, MINUTES)
    return stored(model)


@crafted
def histograms_that_look_at_no_row() -> bytes:
    """A step of the file's choice in the place of the check of the columns."""
    model = HistGradientBoostingRegressor(max_iter=1, min_samples_leaf=5).fit(ROWS, MINUTES)
    model._preprocessor, model.n_features_in_ = FunctionTransformer(), 10**9
    for (tree,) in model._predictors:
        tree.nodes["feature_idx"] = np.where(tree.nodes["is_leaf"], 0, 900_000_000)
    return stored(model)


@crafted
def histograms_as_if_they_were_learning() -> bytes:
    """Rows are taken for bins, unlooked at."""
    model = HistGradientBoostingRegressor(max_iter=1).fit(ROWS, MINUTES)
    model._in_fit = True
    return stored(model)


def shadowed(method: Any) -> bytes:
    """Return a forest that has an attribute in the place of a method."""
    model = RandomForestRegressor(1, max_depth=1).fit(ROWS, MINUTES)
    model._validate_X_predict = method
    return stored(model)


@crafted
def a_type_in_the_place_of_a_method() -> bytes:
    """Rows go to the trees unlooked at."""
    return shadowed(np.float32)


@crafted
def a_function_in_the_place_of_a_method() -> bytes:
    """The same."""
    return shadowed(np.maximum)


@crafted
def a_function_that_writes() -> bytes:
    """What was checked is another after the first rows."""
    table = np.zeros(60)
    return stored(FunctionTransformer(np.absolute, kw_args={"out": table}).fit(ROWS))


def sparse(name: str) -> bytes:
    """Return a linear model with sparse weights out of range, under a name of their class."""
    model = SGDRegressor().fit(ROWS, MINUTES)
    model.coef_ = csr_matrix(model.coef_.reshape(1, -1))
    model.coef_.indices[:] = 2**30

    def change(schema: Schema, _: Members) -> None:
        for one in nodes(schema):
            if one.get("__loader__") == "SparseMatrixNode":
                one["__module__"], one["__class__"] = name.rsplit(".", 1)

    return changed(model, change)


@crafted
def sparse_weights() -> bytes:
    """By their own name."""
    return sparse("scipy.sparse._csr.csr_matrix")


@crafted
def sparse_weights_by_another_name() -> bytes:
    """By that of a base class, which skops trusts by itself."""
    return sparse("scipy.sparse._matrix.spmatrix")


def neighbours(change: Callable[[Any], object], **settings: Any) -> bytes:
    """Return a nearest-neighbour search that was changed."""
    model = KNeighborsRegressor(**settings).fit(ROWS, MINUTES)
    change(model)
    return stored(model)


@crafted
def a_search_without_a_distance() -> bytes:
    """Its tree calls it."""

    def change(schema: Schema, _: Members) -> None:
        for one in nodes(schema):
            if one.get("__class__") == "KDTree":
                one["content"]["content"][11] = plain(None)

    return changed(KNeighborsRegressor(algorithm="kd_tree").fit(ROWS, MINUTES), change)


@crafted
def a_tree_of_billions_of_numbers() -> bytes:
    """It makes room for the kinds of each."""

    def change(schema: Schema, _: Members) -> None:
        for one in nodes(schema):
            if one.get("__loader__") == "TreeNode":
                one["__reduce__"]["args"]["content"][2] = plain(2**33)

    return changed(DecisionTreeRegressor(max_depth=2).fit(ROWS, MINUTES), change)


def searched(name: str, change: Callable[[Schema], object]) -> bytes:
    """Return a search whose nodes of a class were changed."""

    def change_all(schema: Schema, _: Members) -> None:
        for one in list(nodes(schema)):
            if one.get("__class__") == name:
                change(one)

    kind = {"KDTree": "kd_tree"}.get(name, "ball_tree")
    return changed(KNeighborsRegressor(algorithm=kind).fit(ROWS, MINUTES), change_all)


@crafted
def a_search_without_an_end() -> bytes:
    """Its state is shorter than the machine code that reads it takes for granted."""
    return searched("KDTree", lambda one: one["content"]["content"].pop())


@crafted
def a_search_without_a_state() -> bytes:
    """Nothing was ever made of it."""
    return searched("BallTree", lambda one: one.update(content=None))


@crafted
def a_search_without_rows() -> bytes:
    """Nothing stands in the place of an array."""
    return searched("BallTree", lambda one: one["content"]["content"].__setitem__(0, plain(None)))


@crafted
def a_distance_without_numbers() -> bytes:
    """Replace an array in the state of the distance."""
    return searched(
        "EuclideanDistance64", lambda one: one["content"]["content"].__setitem__(1, plain(None))
    )


@crafted
def a_distance_without_an_end() -> bytes:
    """Leave out the last part of the state of the distance."""
    return searched("EuclideanDistance64", lambda one: one["content"]["content"].pop())


@crafted
def a_search_with_half_the_bounds() -> bytes:
    """Its tree has lower ones alone."""

    def change(_: Schema, members: Members) -> None:
        for name, content in list(members.items()):
            if name.endswith(".npy") and np.load(io.BytesIO(content)).ndim == 3:
                members[name] = npy(np.load(io.BytesIO(content))[:1])

    model = KNeighborsRegressor(algorithm="kd_tree", leaf_size=1).fit(ROWS, MINUTES)
    return changed(model, change)


@crafted
def a_search_among_narrower_rows() -> bytes:
    """It compares columns that are not there."""
    narrow = np.zeros((60, 1))
    return neighbours(lambda model: setattr(model, "_fit_X", narrow), algorithm="brute")


@crafted
def a_search_that_looks_at_no_row() -> bytes:
    """What is said to be distances already is not looked at."""
    return neighbours(lambda model: setattr(model, "metric", "precomputed"), algorithm="brute")


@crafted
def categories_that_become_columns_elsewhere() -> bytes:
    """The sparse matrix that it makes names columns that are not there."""
    model = OneHotEncoder(handle_unknown="ignore").fit(np.arange(50).reshape(-1, 1))
    model._n_features_outs = [1]
    return stored(model)


@crafted
def a_booster_of_many_threads() -> bytes:
    """It starts them when it predicts."""
    model = BoosterRegressor({"max_depth": 2}, rounds=2, threads=1).fit(ROWS, MINUTES)
    model.threads = 60_000
    return stored(model)


@crafted
def a_generator_beyond_its_state() -> bytes:
    """The next number that it draws is foreign memory."""

    def change(schema: Schema, _: Members) -> None:
        for one in nodes(schema):
            if isinstance(one.get("pos"), dict):
                one["pos"] |= {"content": "2000000000", "__id__": 10**6}

    model = GradientBoostingRegressor(n_estimators=1).fit(ROWS, MINUTES)
    return changed(model, change)


def laughing(levels: int, loader: str) -> bytes:
    """Return lists of two of the next list each."""
    inner = sequence("list", plain(1), plain(1)) | {"__id__": 1_000}
    for level in range(levels):
        again = node(loader, "builtins.list", __id__=1_000 + level, content=[])
        inner = sequence("list", inner, again) | {"__id__": 1_001 + level}
    return file_of(inner)


@crafted
def lists_of_lists_by_reference() -> bytes:
    """They are gone through 2²⁷ times."""
    return laughing(27, "CachedNode")


@crafted
def lists_of_lists_by_number() -> bytes:
    """The same by a number that skops takes for the first list's."""
    return laughing(27, "ListNode")


@crafted
def a_tree_of_millions() -> bytes:
    """A small file, compressed, with many empty lists."""
    text = b'{"a": [' + b"[]," * 30_000_000 + b"[]]}"
    return packed({"schema.json": text}, zipfile.ZIP_DEFLATED)


@crafted
def a_tree_without_an_end() -> bytes:
    """Lists within lists."""
    return packed({"schema.json": b"[" * 200_000 + b"]" * 200_000})


@crafted
def zeros() -> bytes:
    """A small file with an array of 80 MB."""
    tree = file_of(node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy", __id__=1))
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        schema = archive.read("schema.json")
    content = npy(np.frombuffer(ZEROS, dtype=np.uint8))
    return packed({"a.npy": content, "schema.json": schema}, zipfile.ZIP_DEFLATED)


@crafted
def zeros_that_hide_their_size() -> bytes:
    """The same, and the directory says one byte."""
    whole = bytearray(zeros())
    entry = whole.index(b"PK\x01\x02")
    whole[entry + 24 : entry + 28] = (1).to_bytes(4, "little")
    return bytes(whole)


@crafted
def bytes_one_by_one() -> bytes:
    """Each becomes an object."""
    tree = file_of(node("BytearrayNode", "builtins.bytearray", file="a.bin", __id__=1))
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        schema = archive.read("schema.json")
    return packed({"a.bin": bytes(10_000_000), "schema.json": schema})


@crafted
def one_member_many_times() -> bytes:
    """An array that is read 500 times."""
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy")
    tree = file_of(sequence("list", *[array | {"__id__": 5 + number} for number in range(500)]))
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        schema = archive.read("schema.json")
    return packed({"a.npy": npy(np.zeros(10_000_000, np.uint8)), "schema.json": schema})


@crafted
def an_array_of_terabytes() -> bytes:
    """By its header."""
    header = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, about)
    tree = file_of(node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy", __id__=1))
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        schema = archive.read("schema.json")
    return packed({"a.npy": header.getvalue(), "schema.json": schema})


@crafted
def a_number_that_makes_room() -> bytes:
    """numpy.void takes it for a number of bytes."""
    tree = file_of(node("NdArrayNode", "numpy.void", type="numpy", file="a.npy", __id__=1))
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        schema = archive.read("schema.json")
    return packed({"a.npy": npy(np.array(2**31 - 1)), "schema.json": schema})


SUFFIX = ".npz"


@crafted
def a_sparse_matrix_of_zeros() -> bytes:
    """A small file with 80 MB of columns, compressed."""
    content = {
        "format": np.array(b"csr"),
        "shape": np.array([1, 10]),
        "indptr": np.array([0, 20_000_000], dtype=np.int32),
        "indices": np.frombuffer(ZEROS, dtype=np.int32),
        "data": np.ones(20_000_000, dtype=np.int8),
    }
    members = {f"{name}.npy": npy(array) for name, array in content.items()}
    return packed(members, zipfile.ZIP_DEFLATED)


SUFFIX = ".form"


@crafted
def a_compiled_form_of_zeros() -> bytes:
    """The same of what servers keep."""
    content = {
        "format": np.array("model_loop.compiled"),
        "number": np.array(1),
        "tables": np.array("SparseTables"),
        "tables.pairs": np.frombuffer(ZEROS, dtype=np.int32),
    }
    members = {f"{name}.npy": npy(array) for name, array in content.items()}
    return packed(members, zipfile.ZIP_DEFLATED)


SUFFIX = ".parquet"


def parquet(table: pa.Table, **settings: Any) -> bytes:
    """Return a table as Parquet."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **settings)
    return buffer.getvalue()


@crafted
def one_number_many_times() -> bytes:
    """A column of 90 million equal numbers."""
    return parquet(pa.table({"a": np.ones(90_000_000, dtype=np.int8)}), row_group_size=10**9)


@crafted
def one_text_many_times() -> bytes:
    """A text of 2 MB, 2,000 times: once in the file."""
    kind = pa.dictionary(pa.int32(), pa.string())
    column = pa.DictionaryArray.from_arrays(np.zeros(2_000, np.int32), ["a" * 2_000_000])
    return parquet(pa.table({"a": column.cast(kind)}), store_schema=False)


@crafted
def a_text_that_is_pressed_hard() -> bytes:
    """Zstandard unfolds a byte to thousands."""
    return parquet(pa.table({"a": ["a" * 50_000_000]}), compression="zstd", use_dictionary=False)


CHILD = """
import os, signal, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import numpy as np
from model_loop.errors import StoredObjectError
from model_loop.objects.codecs import CODECS
from model_loop.objects.trust import load_estimator
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder
from trip_duration.dataset import TRIPS
READ = {
    ".skops": load_estimator,
    ".npz": CODECS["csr_matrix"].decode,
    ".parquet": CODECS["DataFrame"].decode,
}

def read(path):
    try:
        if path.suffix == ".form":
            with path.open("rb") as file:
                CompiledModel.read(file, TRIPS)
        else:
            model = READ[path.suffix](path.read_bytes())
            if hasattr(model, "predict"):
                model.predict(np.zeros((5, 3)))
        return "read"
    except (StoredObjectError, NotCompiledError) as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

for path in sorted(Path(sys.argv[1]).iterdir()):
    child = os.fork()
    if not child:
        signal.alarm(int(sys.argv[2]))
        print(path.name, read(path).replace(chr(10), " "), sep="|", flush=True)
        os._exit(0)
    if ended := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        print(path.name, f"ended with {ended}", sep="|", flush=True)
"""


@pytest.fixture(name="outcomes", scope="module")
def read_all(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Say what became of each file, in the order in which they were read."""
    folder = tmp_path_factory.mktemp("crafted")
    for name, make in FILES.items():
        (folder / name).write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(SECONDS)],
        capture_output=True,
        text=True,
        timeout=SECONDS * len(FILES),
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    found = dict(line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {name: found.get(name, done.stderr) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_what_would_harm_is_refused(name: str, outcomes: dict[str, str]) -> None:
    """With our own error, in little memory, and before anything is predicted."""
    assert outcomes[name].startswith("refused: "), outcomes[name]


def test_no_file_chooses_how_many_processes_there_are() -> None:
    """What it says of them is left aside, and the prediction is the same."""
    union = FeatureUnion([("a", FunctionTransformer()), ("b", FunctionTransformer())])
    model = Pipeline([("both", union), ("estimate", LinearRegression())]).fit(ROWS, MINUTES)
    expected = model.predict(ROWS)
    union.n_jobs = 40
    loaded = load_estimator(dump_estimator(model))
    assert loaded["both"].n_jobs is None
    np.testing.assert_array_equal(loaded.predict(ROWS), expected)


def test_a_compressed_model_is_read() -> None:
    """As long as it unfolds to no more than models do."""
    model = DecisionTreeRegressor().fit(ROWS, MINUTES)
    small = skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED)
    assert len(small) < len(stored(model))
    np.testing.assert_array_equal(load_estimator(small).predict(ROWS), model.predict(ROWS))
