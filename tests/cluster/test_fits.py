"""Fits on one, two and four workers: the same trees, also after a worker was killed."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from distributed import LocalCluster, Security
from tests.parcels import build_parcels, declared, write_parcels
from upath import UPath

from model_loop.cluster.certificates import (
    AUTHORITY,
    CERTIFICATE,
    PRIVATE_KEY,
    write_certificates,
)
from model_loop.cluster.cuts import rows_to_cut
from model_loop.cluster.dispatch import Cluster, ClusterError
from model_loop.cluster.fitting import ClusterFits, cluster_fits
from model_loop.cluster.job import FitJob, last_checkpoint
from model_loop.cluster.shards import write_rows, write_shards
from model_loop.errors import InvalidInputError
from model_loop.models.boosting import BoosterClassifier
from model_loop.models.catalogue import XGBOOST
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.settings import Settings

ROWS, COLUMNS, ROUNDS = 40_000, 6, 40
SETTINGS: dict[str, Any] = {
    "max_depth": 6,
    "learning_rate": 0.1,
    "tree_method": "hist",
    "objective": "reg:squarederror",
    "nthread": 1,
    "seed": 3,
}


def rows_and_targets() -> tuple[np.ndarray, np.ndarray]:
    """Return rows with missing values, and targets that follow from them."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    rows[:, 3] = generator.integers(0, 24, ROWS)
    targets = 2.0 * rows[:, 0] + rows[:, 1] ** 2 + np.sin(rows[:, 3]) + generator.normal(size=ROWS)
    rows[generator.random(rows.shape) < 0.02] = np.nan
    return rows, targets.astype(np.float64)


def job_in(folder: Path, **changes: Any) -> FitJob:
    """Write the shards of a fit, and return it."""
    rows, targets = rows_and_targets()
    return FitJob(
        settings={**SETTINGS, **changes},
        rounds=ROUNDS,
        shards=write_shards(rows, targets, UPath(folder), 4_096),
        cuts=write_rows(rows_to_cut(rows, 0), UPath(folder)),
        base_score=float(targets.mean()),
        folder=str(folder / "checkpoints"),
        checkpoint_rounds=10,
    )


def fitted_here(**changes: Any) -> xgb.Booster:
    """Return the trees of a fit in this process."""
    rows, targets = rows_and_targets()
    settings = {**SETTINGS, **changes, "base_score": float(targets.mean())}
    train_rows = xgb.QuantileDMatrix(rows, targets)
    booster = xgb.Booster({**settings, "seed_per_iteration": True}, [train_rows])
    for number in range(ROUNDS):
        booster.update(train_rows, number)
    return booster


def rmse_of(trees: bytes) -> float:
    """Return the error of trees on the rows that they have learned from."""
    rows, targets = rows_and_targets()
    predicted = xgb.Booster(model_file=bytearray(trees)).inplace_predict(rows)
    return float(np.sqrt(np.square(predicted - targets).mean()))


def test_columns_are_drawn_alike(workers: LocalCluster, tmp_path: Path) -> None:
    """Every worker draws the same columns, other ones after each checkpoint."""
    job = job_in(tmp_path, colsample_bytree=0.5)
    one, three = (
        Cluster(workers.scheduler_address, timeout_seconds=120, workers=number).fit(job)
        for number in (1, 3)
    )
    assert one == three
    trees = xgb.Booster(model_file=bytearray(one)).get_dump()
    columns = [{*re.findall(r"f\d", tree)} for tree in trees]
    assert columns[:10] != columns[10:20], "other ones after the checkpoint"


@pytest.mark.parametrize("number", [1, 2, 4])
def test_trees_are_those_of_one_machine(number: int, workers: LocalCluster, tmp_path: Path) -> None:
    """Whatever the number of workers, to the last bit, as long as no rows are drawn."""
    job = job_in(tmp_path)
    cluster = Cluster(workers.scheduler_address, timeout_seconds=120, workers=number)
    assert cluster.fit(job) == bytes(fitted_here().save_raw("ubj"))
    assert last_checkpoint(job) == (0, None), "those of a fit that has ended are removed"


def test_two_fits_take_turns(workers: LocalCluster, tmp_path: Path) -> None:
    """Each needs all workers at once: half of them for either would wait without end."""
    jobs = [job_in(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    cluster = Cluster(workers.scheduler_address, timeout_seconds=60)
    with ThreadPoolExecutor(2) as pool:
        trees = [*pool.map(cluster.fit, jobs)]
    assert trees == [bytes(fitted_here().save_raw("ubj"))] * 2


def test_fits_that_draw_rows_are_as_good(workers: LocalCluster, tmp_path: Path) -> None:
    """Each worker draws its own rows, so that trees differ; errors within a thousandth."""
    job = job_in(tmp_path, subsample=0.8)
    one, four = (
        rmse_of(Cluster(workers.scheduler_address, timeout_seconds=120, workers=number).fit(job))
        for number in (1, 4)
    )
    assert four == pytest.approx(one, rel=5e-3)


def test_a_killed_worker_costs_the_rounds_since_the_checkpoint(
    workers: LocalCluster, tmp_path: Path
) -> None:
    """The fit fails as a whole and soon; begun again, it ends in the same trees."""
    job = job_in(tmp_path, colsample_bytree=0.7)
    cluster = Cluster(workers.scheduler_address, timeout_seconds=120, workers=2)
    undisturbed = cluster.fit(job)
    first_two = sorted(workers.scheduler_info["workers"])[:2]

    def kill() -> None:
        while last_checkpoint(job)[0] < 10:
            time.sleep(0.005)
        (victim,) = (
            nanny for nanny in workers.workers.values() if nanny.worker_address == first_two[1]
        )
        os.kill(victim.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ClusterError, match=r"fit on 2 workers has failed.*last checkpoint"):
        cluster.fit(job)
    killer.join()
    done, trees = last_checkpoint(job)
    assert done in range(10, ROUNDS)
    assert trees is not None
    again = Cluster(workers.scheduler_address, timeout_seconds=120, workers=3).fit(job)
    assert again == undisturbed


def test_a_training_is_fitted_on_the_cluster(workers: LocalCluster, tmp_path: Path) -> None:
    """The model predicts as that of this process does, and leaves nothing in the storage."""
    parcels = build_parcels(tmp_path, declared(write_parcels(tmp_path / "parcels.csv", 2_000)))
    search = SearchRequest(max_evaluations=1, threads=1)
    tuned = tune(XGBOOST, parcels, search)
    cluster = Cluster(workers.scheduler_address, timeout_seconds=120, workers=2)
    elsewhere = ClusterFits(cluster, str(tmp_path / "store"), rows=100, shard_rows=256)
    there, here = (train(tuned, parcels, search, elsewhere=each) for each in (elsewhere, None))
    assert there.test is not None
    assert here.test is not None
    assert there.test.rmse == pytest.approx(here.test.rmse, rel=0.02)
    assert [*(tmp_path / "store" / "cluster").iterdir()] == []
    small = ClusterFits(cluster, str(tmp_path / "store"), rows=10_000)
    assert not small.fit(here.model[-1], np.zeros((10, 2), dtype=np.float32), np.zeros(10))


def test_classes_keep_their_labels(workers: LocalCluster, tmp_path: Path) -> None:
    """Labels are sorted as in a fit in this process, whatever their codes are."""
    rows, targets = rows_and_targets()
    labels = np.where(targets > 1.0, "ill", "well")
    settings = {"max_depth": 4, "objective": "binary:logistic", "tree_method": "hist"}
    cluster = Cluster(workers.scheduler_address, timeout_seconds=120, workers=2)
    there, here = (BoosterClassifier(settings, rounds=20, threads=1) for _ in range(2))
    assert ClusterFits(cluster, str(tmp_path), rows=1, shard_rows=8_192).fit(there, rows, labels)
    here.fit(rows, labels)
    assert [str(label) for label in there.classes_] == ["ill", "well"]
    assert np.array_equal(there.classes_, here.classes_)
    assert there.predict_proba(rows) == pytest.approx(here.predict_proba(rows), abs=0.02)


def test_only_those_with_a_certificate_are_let_in(tmp_path: Path) -> None:
    """A fit over TLS gives the same trees; other certificates, or none, are refused."""
    own, other = tmp_path / "own", tmp_path / "other"
    assert write_certificates(own)
    assert write_certificates(other)
    assert not write_certificates(own), "they are made once"
    assert all(path.stat().st_mode & 0o077 == 0 for path in own.iterdir())
    job = job_in(tmp_path)
    given = {
        "tls_ca_file": str(own / AUTHORITY),
        "require_encryption": True,
        **{
            f"tls_{role}_{kind}": str(own / name)
            for role in ("scheduler", "worker", "client")
            for kind, name in (("cert", CERTIFICATE), ("key", PRIVATE_KEY))
        },
    }
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        protocol="tls://",
        security=Security(**given),
        host="127.0.0.1",
        dashboard_address=None,
    ) as encrypted:
        address = encrypted.scheduler_address
        assert Cluster(address, own, 120).fit(job) == bytes(fitted_here().save_raw("ubj"))
        with pytest.raises(ClusterError, match="does not answer"):
            Cluster(address, other, 10).fit(job)
        with pytest.raises(ClusterError, match="does not answer"):
            Cluster(address.replace("tls://", "tcp://"), None, 10).fit(job)


@pytest.mark.parametrize(
    "address", ["tcp://10.1.2.3:8786", "tls://scheduler:8786", "http://127.0.0.1:8786", "scheduler"]
)
def test_addresses_without_certificates_are_refused(address: str) -> None:
    """Only on this machine may a scheduler be reached without them."""
    with pytest.raises(InvalidInputError, match="can run code on its workers"):
        Cluster(address)


def test_a_cluster_that_is_not_there_is_said() -> None:
    """Which address does not answer, and what to look at."""
    with pytest.raises(ClusterError, match=r"tcp://127.0.0.1:1 does not answer"):
        Cluster("tcp://127.0.0.1:1", timeout_seconds=1).fit(FitJob({}, 1, (), "", None, ""))


def test_settings_name_the_cluster(tmp_path: Path) -> None:
    """None by default; certificates go with the address."""
    assert cluster_fits(Settings()) is None
    given = Settings(
        cluster_address="tls://scheduler:8786",
        cluster_certificates=str(tmp_path),
        cluster_rows=5,
    )
    found = cluster_fits(given)
    assert found is not None
    assert (found.cluster.certificates, found.rows) == (tmp_path, 5)
