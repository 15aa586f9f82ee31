"""What is removed of finished training sets, and what stays."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest
from tests.parcels import build_parcels
from tests.training_set.test_products import age

from model_loop.errors import InvalidInputError
from model_loop.partitions.checked import FOLDER, CheckedTableStore
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.retention import plan_pruning, prune
from model_loop.training_set.retention_rules import Retention
from model_loop.training_set.types import TrainingSet

DAY = 86_400


def publish(store: TrainingSetStore, training_set: TrainingSet, count: int) -> list[str]:
    """Publish some versions, one a day, the newest last; their keys."""
    keys = []
    for seed in range(count):
        age(store, seconds=DAY)
        request = dataclasses.replace(training_set.request, random_state=seed)
        keys.append(store.publish(dataclasses.replace(training_set, request=request)).key)
    return keys


def test_the_newest_and_the_recent_stay(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """Old versions go once they are beyond the newest ones and nobody has used them lately."""
    store = TrainingSetStore(str(tmp_path))
    keys = publish(store, sample_training_set, 4)
    assert not plan_pruning(str(tmp_path), Retention(versions=1, days=30)).products
    pruning = plan_pruning(str(tmp_path), Retention(versions=1, days=1.5))
    assert [product.key for product in pruning.products] == keys[1::-1]
    assert pruning.size == sum(product.reference.size for product in pruning.products)
    assert len(store.products()) == 4
    prune(str(tmp_path), pruning)
    assert [product.key for product in store.products()] == keys[:1:-1]
    assert len(list(store.folder.glob("*.zip"))) == 2


def test_versions_are_counted_by_kind(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """The newest of another service, recipe or encoding does not push one out."""
    store = TrainingSetStore(str(tmp_path))
    other = dataclasses.replace(sample_training_set.request, encoding="one_hot")
    store.publish(dataclasses.replace(sample_training_set, request=other))
    publish(store, sample_training_set, 2)
    pruning = plan_pruning(str(tmp_path), Retention(versions=1, days=0))
    assert len(pruning.products) == 1
    assert pruning.products[0].request.encoding == "native"


def test_months_stay_with_their_training_set(
    sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """Files of months that a kept training set names stay; others go when they are old."""
    TrainingSetStore(str(tmp_path)).publish(sample_training_set)
    files = {
        name: tmp_path / "months" / "green" / "tlc" / f"green_tripdata_{name}.parquet"
        for name in ("2024-01", "2022-05", "2022-06")
    }
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"month")
        if name != "2022-06":
            os.utime(path, (0, time.time() - 40 * DAY))
    pruning = plan_pruning(str(tmp_path), Retention())
    assert [Path(file) for file in pruning.files] == [files["2022-05"]]
    prune(str(tmp_path), pruning)
    prune(str(tmp_path), pruning)
    assert [name for name, path in files.items() if path.exists()] == ["2024-01", "2022-06"]


def test_an_empty_store_has_nothing_to_remove(tmp_path: Path) -> None:
    """Nothing is there, nothing goes."""
    assert str(plan_pruning(str(tmp_path), Retention())).startswith("0 training sets and 0 files")


@pytest.mark.parametrize("wrong", [{"versions": -1}, {"days": -1.0}])
def test_bounds(wrong: dict[str, int]) -> None:
    """Negative numbers are refused."""
    with pytest.raises(InvalidInputError, match="out of bounds"):
        Retention(**wrong)


def test_checked_rows_stay_with_their_training_set(tmp_path: Path) -> None:
    """Those of a file that a kept training set names stay, however old; those of former ones go."""
    parcels = build_parcels(tmp_path, storage_root=str(tmp_path / "store"))
    root = str(tmp_path / "store")
    folder = Path(root) / FOLDER
    of_now = {path for path in folder.rglob("*") if path.is_file()}
    keys = {key for key, _ in CheckedTableStore(root).files_by_key()}
    former = [
        path.with_name(f"{'0' * 16}{path.name[16:]}")
        for path in of_now
        if path.name[:16] in keys and not path.name.endswith(f"{path.name[:16]}.json")
    ]
    for path in former:
        path.write_bytes(b"of another file")
    for path in folder.rglob("*"):
        os.utime(path, (0, time.time() - 40 * DAY))
    TrainingSetStore(root).publish(parcels)
    gone = {Path(file) for file in plan_pruning(root, Retention()).files}
    assert {*former} <= gone
    assert gone - {*former} <= {*folder.glob("plans/*")}
    assert any(path.name.endswith("-verdict.json") for path in of_now)
