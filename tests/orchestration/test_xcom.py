"""The XCom backend, on a folder and on a real S3 server."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from sklearn.linear_model import LinearRegression
from tests.objects.crafted import command
from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.orchestration.xcom import ModelLoopXComBackend, escaped, unescaped
from model_loop.settings import get_settings
from model_loop.training_set.types import TrainingSet
from trip_duration.months import Month

COORDINATES = {
    "key": "return_value",
    "task_id": "model.tune",
    "dag_id": "sklearn_training",
    "run_id": "manual__2026-11-20T23:25:50.086798+00:00",
    "map_index": 3,
}
FRAME = pd.DataFrame({"zone": [1, 2], "minutes": [10.0, 12.5]})


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Address of a real S3 server on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(params=["file", "s3"])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[UPath]:
    """Where results are kept: a folder, and then a bucket."""
    if request.param == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3_server"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bucket = UPath("s3://results")
        bucket.fs.mkdirs("results", exist_ok=True)
        place = bucket / "xcom"
    else:
        place = UPath(tmp_path.as_uri()) / "xcom"
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", str(place))
    yield place
    if request.param == "s3":
        place.fs.rm("results", recursive=True)


@pytest.fixture
def folder_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UPath:
    """A folder where results are kept."""
    place = UPath(tmp_path.as_uri()) / "xcom"
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", str(place))
    return place


def store(value: object) -> Any:
    """What the database keeps of a result, after its way through JSON."""
    return json.loads(json.dumps(ModelLoopXComBackend.serialize_value(value, **COORDINATES)))  # type: ignore[arg-type]  # keywords as Airflow passes them


def load(kept: object) -> Any:
    """The result behind what the database keeps."""
    return ModelLoopXComBackend.deserialize_value(SimpleNamespace(value=kept))


def test_frame_there_and_back(root: UPath) -> None:
    """A DataFrame is kept as Parquet under the task's own path, and comes back equal."""
    kept = store(FRAME)
    pd.testing.assert_frame_equal(load(kept), FRAME)
    assert kept["uri"].startswith(str(root))
    run = "manual__2026-11-20T23=3A25=3A50.086798=2B00=3A00"
    assert f"/sklearn_training/{run}/model.tune/3/" in kept["uri"]
    assert kept["uri"].endswith(".parquet")


def test_training_set_there_and_back(root: UPath, sample_training_set: TrainingSet) -> None:
    """A training set comes back whole."""
    kept = store(sample_training_set)
    assert load(kept).digest == sample_training_set.digest
    assert kept["uri"].startswith(str(root))


def test_database_keeps_a_small_readable_reference(root: UPath) -> None:
    """What the UI shows says kind, shape, size, digest and place, and no more."""
    kept = store(np.zeros((1_000, 50)))
    assert set(kept) == {"stored_object", "kind", "shape", "size", "digest", "uri"}
    assert (kept["kind"], kept["shape"]) == ("ndarray", "1,000 x 50")
    assert len(json.dumps(kept)) < 500
    assert str(root) in kept["uri"]


def test_missing_object(root: UPath) -> None:
    """A result whose object is gone is an error, not a path in its place."""
    kept = store(FRAME)
    UPath(kept["uri"]).unlink()
    with pytest.raises(StoredObjectError, match="is gone"):
        load(kept)
    assert str(root) in kept["uri"]


def test_altered_object(root: UPath) -> None:
    """A result whose object was changed is refused."""
    kept = store(FRAME)
    UPath(kept["uri"]).write_bytes(b"something else")
    with pytest.raises(StoredObjectError, match="was altered"):
        load(kept)
    assert str(root) in kept["uri"]


def test_an_object_that_runs_a_command_is_refused(folder_root: UPath, tmp_path: Path) -> None:
    """A file of an estimator that would start a process is refused before it does."""
    kept = store(LinearRegression())
    crafted = command(tmp_path / "marker")
    UPath(kept["uri"]).write_bytes(crafted)
    kept["digest"] = hashlib.sha256(crafted).hexdigest()
    with pytest.raises(StoredObjectError, match=r"not trusted: .*_run"):
        load(kept)
    assert not (tmp_path / "marker").exists()
    assert str(folder_root) in kept["uri"]


def test_purge_removes_the_object(root: UPath) -> None:
    """Deleting a result deletes its object; deleting it again is no error."""
    kept = store(FRAME)
    assert UPath(kept["uri"]).exists()
    for _ in range(2):
        ModelLoopXComBackend.purge(SimpleNamespace(value=kept))
    assert not UPath(kept["uri"]).exists()
    assert str(root) in kept["uri"]


@pytest.mark.parametrize(
    "value", [None, "text", 5, 2.5, True, ["2024-01", "2024-02"], {"rmse": 4.5, "model": None}]
)
def test_small_json_stays_in_the_database(folder_root: UPath, value: object) -> None:
    """Small JSON is kept as Airflow keeps it, so that REST shows it; nothing is written."""
    kept = store(value)
    assert load(kept) == value
    assert not folder_root.exists()


def test_large_json_is_an_object(folder_root: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON beyond the limit becomes an object."""
    monkeypatch.setenv("MODEL_LOOP_XCOM_INLINE_BYTES", "100")
    get_settings.cache_clear()
    kept = store(list(range(100)))
    assert kept["kind"] == "json"
    assert load(kept) == list(range(100))
    assert folder_root.exists()


def test_lists_of_typed_values(folder_root: UPath) -> None:
    """A list of dataclasses or frames is an object, and comes back as a list."""
    months = [Month(2024, 1), Month(2024, 2)]
    assert load(store(months)) == months
    first, second = load(store([FRAME, FRAME]))
    pd.testing.assert_frame_equal(first, second)
    assert folder_root.exists()


def test_users_own_dict_is_not_a_reference(folder_root: UPath) -> None:
    """A dict that merely looks a little like a reference is left alone."""
    value = {"kind": "DataFrame", "uri": "file:///etc/passwd"}
    assert load(store(value)) == value
    assert not folder_root.exists()


@pytest.mark.parametrize("uri", ["file:///etc/hostname", "{root}/../outside.json", "s3://x/y.json"])
def test_reads_nothing_outside_the_configured_path(folder_root: UPath, uri: str) -> None:
    """A forged reference cannot make us read, or remove, a file elsewhere."""
    reference = {
        "stored_object": 1,
        "kind": "json",
        "shape": None,
        "size": 1,
        "digest": "0",
        "uri": uri.format(root=folder_root),
    }
    with pytest.raises(StoredObjectError, match="does not lie under"):
        load(reference)


@pytest.mark.parametrize(
    "uri",
    [
        *(None, 5, [], "", "s3://[", "foo://x", "http://[::1", "\0", "FILE://{root}/x"),
        *("{root}", "{root}/\0", "{root}/\ud800", "{root}/folder", "{root}/loop/x"),
        pytest.param("{root}/" + "a" * 5_000, id="long"),
    ],
)
def test_a_reference_to_anything_is_refused_and_holds_up_no_task(
    folder_root: UPath, uri: object
) -> None:
    """Refuse a result that somebody wrote by hand; its task can be cleared still."""
    folder = Path(folder_root.path)
    (folder / "folder").mkdir(parents=True)
    (folder / "loop").symlink_to("loop")
    forged = {
        "stored_object": 1,
        "kind": "json",
        "shape": None,
        "size": 1,
        "digest": "0" * 64,
        "uri": uri.format(root=folder_root) if isinstance(uri, str) else uri,
    }
    result = SimpleNamespace(value=forged)
    ModelLoopXComBackend.purge(result)
    assert (folder / "folder").exists()
    with pytest.raises((StoredObjectError, OSError)):
        ModelLoopXComBackend.deserialize_value(result)


def test_purge_leaves_what_lies_elsewhere(
    folder_root: UPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the configured path moved, a former result is left alone and the task can start."""
    kept = store(FRAME)
    moved = UPath((tmp_path / "moved").as_uri())
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", str(moved))
    ModelLoopXComBackend.purge(SimpleNamespace(value=kept))
    assert UPath(kept["uri"]).exists()
    assert kept["uri"].startswith(str(folder_root))


@pytest.mark.parametrize("link", ["the object", "its folder"])
def test_no_link_leads_elsewhere(folder_root: UPath, tmp_path: Path, link: str) -> None:
    """Nothing outside is read or removed, though its address lies below the configured path."""
    kept = store(FRAME)
    path, outside = Path(UPath(kept["uri"]).path), tmp_path / "outside"
    target = path if link == "the object" else path.parent
    target.rename(outside)
    target.symlink_to(outside)
    with pytest.raises(StoredObjectError, match="does not lie under"):
        load(kept)
    ModelLoopXComBackend.purge(SimpleNamespace(value=kept))
    assert path.exists()
    assert str(folder_root) in kept["uri"]


def test_the_configured_path_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator may keep results on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    place = (tmp_path / "results").as_uri()
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", place)
    kept = store(FRAME)
    pd.testing.assert_frame_equal(load(kept), FRAME)
    ModelLoopXComBackend.purge(SimpleNamespace(value=kept))
    assert not list((tmp_path / "disk").rglob("*.parquet"))


@pytest.mark.parametrize("value", [None, "text", {"__classname__": "foreign.Class"}])
def test_purge_needs_no_foreign_class(folder_root: UPath, value: object) -> None:
    """Deleting a result that is no object of ours imports nothing and removes nothing."""
    ModelLoopXComBackend.purge(SimpleNamespace(value=value))
    assert not folder_root.exists()


def test_what_the_scheduler_reads_stays_in_the_database(folder_root: UPath) -> None:
    """The list of skipped tasks, which the scheduler reads past the backend, is never an object."""
    skipped = {"skipped": [f"task_{number}" for number in range(1_000)]}
    kept: Any = ModelLoopXComBackend.serialize_value(
        skipped,
        **{**COORDINATES, "key": "skipmixin_key"},  # type: ignore[arg-type]  # as in store
    )
    assert kept == skipped
    assert not folder_root.exists()


def test_bare_folder_with_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path may be a plain folder, also one with a space in its name."""
    place = tmp_path / "my results"
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", str(place))
    pd.testing.assert_frame_equal(load(store(FRAME)), FRAME)
    assert list(place.rglob("*.parquet"))


@pytest.mark.parametrize("coordinate", [{"dag_id": "..", "run_id": ".."}, {"key": "k" * 300}])
def test_no_name_leads_elsewhere(folder_root: UPath, coordinate: dict[str, str]) -> None:
    """Names that lead upwards, or are longer than a file's may be, become safe ones."""
    kept: Any = ModelLoopXComBackend.serialize_value(
        FRAME,
        **{**COORDINATES, **coordinate},  # type: ignore[arg-type]  # as in store
    )
    pd.testing.assert_frame_equal(load(kept), FRAME)
    assert list(Path(folder_root.path).rglob("*.parquet"))


@pytest.mark.parametrize(
    "value", [{"stored_object": 1, "mine": 2}, MappingProxyType({"a": 1})], ids=repr
)
def test_values_that_json_would_confuse(folder_root: UPath, value: object) -> None:
    """A dict with our mark, and a read-only mapping, come back as what they were."""
    back = load(store(value))
    assert back == value
    assert type(back) is type(value)
    assert folder_root.exists()


def test_import_is_light() -> None:
    """Airflow imports the backend in every process: no library of the tasks comes with it."""
    code = (
        "import sys, model_loop.orchestration.xcom;"
        "print([name for name in ('pandas', 'numpy', 'sklearn', 'xgboost', 'mlflow', 'pyarrow')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_retry_leaves_one_object(root: UPath) -> None:
    """What a former try has stored under the same key is removed; other keys are left alone."""
    others = ("return", "return_value-extra", "another")
    for key in others:
        ModelLoopXComBackend.serialize_value(FRAME, **{**COORDINATES, "key": key})  # type: ignore[arg-type]  # as in store
    for minutes in (1.0, 2.0, 3.0):
        kept = store(FRAME.assign(minutes=minutes))
    found = sorted(path.name.rpartition("-")[0] for path in root.rglob("*.parquet"))
    assert found == sorted(["return_value", *others])
    assert load(kept).minutes.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    "name", ["manual__2026-11-20T23:25:50+00:00", "a=b", "..", "ü|x y", "=x12", "plain-name_1.2"]
)
def test_names_are_read_back(name: str) -> None:
    """A folder's name leads back to what it was made from, and is safe for every storage."""
    safe = escaped(name)
    assert unescaped(safe) == name
    assert re.fullmatch(r"[A-Za-z0-9._=-]+", safe)
    assert safe.strip(".")


def test_names_stay_apart() -> None:
    """Names that differ in odd characters, or only far behind, are not confused."""
    names = ["a:b", "a+b", "a_b", "a=3Ab", "n" * 300, "n" * 301]
    assert len({escaped(name) for name in names}) == len(names)
    assert unescaped(escaped("n" * 300)) is None
    assert len(escaped(":" * 300)) < 160
