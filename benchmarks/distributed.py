"""One fit of XGBoost on several workers: fed from shards by an iterator, and by `xgboost.dask`.

``python -m benchmarks.distributed [ROWS]`` generates so many rows (4 million by default) of twelve
columns, and fits them on one, two and four processes of a Dask cluster of this machine, of one
thread each, 20 rounds of depth 8. Memory is what the workers hold together at the most above what
they hold before the fit: pages that only they have. Both ways cut the same number of bins. Networks
are not measured.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import xgboost as xgb
import xgboost.dask as dxgb
from benchmarks.results import record
from dask.delayed import delayed
from distributed import Client, LocalCluster
from upath import UPath

from model_loop.cluster.cuts import rows_to_cut
from model_loop.cluster.dispatch import Cluster
from model_loop.cluster.job import FitJob
from model_loop.cluster.shards import Shard, load_rows, write_rows, write_shards

ROUNDS, COLUMNS, WORKERS = 20, 12, (1, 2, 4)
SETTINGS: dict[str, Any] = {
    "max_depth": 8,
    "learning_rate": 0.1,
    "tree_method": "hist",
    "max_bin": 256,
    "objective": "reg:squarederror",
    "nthread": 1,
    "seed": 1,
}
_SHARD_ROWS = 2**17
_PAUSE = 0.05
_MISSING = 0.02


def main(rows: int) -> None:
    """Fit in both ways on each number of workers, print and record."""
    matrix, targets = generate(rows)
    with tempfile.TemporaryDirectory() as folder:
        root = UPath(folder)
        job = FitJob(
            settings=SETTINGS,
            rounds=ROUNDS,
            shards=write_shards(matrix, targets, root, _SHARD_ROWS),
            cuts=write_rows(rows_to_cut(matrix, 1), root),
            base_score=float(targets.mean()),
            folder=folder,
        )
        first = 0.0
        for number in WORKERS:
            for name, fit in {"shards": from_shards, "xgboost.dask": by_dask}.items():
                seconds, held, trees = measured(fit, job, number)
                predicted = xgb.Booster(model_file=bytearray(trees)).inplace_predict(matrix)
                rmse = float(np.sqrt(np.square(predicted - targets).mean()))
                first = first or rmse
                print(f"{name}, {number} workers: {seconds:.1f} s, {held:.0f} MB, RMSE {rmse:.5f}")
                record(
                    "distributed",
                    {1: "1 worker", 2: "2 workers", 4: "4 workers"}[number],
                    {
                        f"{name}, s": seconds,
                        f"{name}, bytes a row": held * 1e6 / rows,
                        f"{name}, RMSE is higher, %": 100 * (rmse / first - 1),
                    },
                )


def generate(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of shape (rows, columns), some values missing, and targets that follow."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(rows, COLUMNS)).astype(np.float32)
    matrix[:, 3] = generator.integers(0, 24, rows)
    targets = 2.0 * matrix[:, 0] + matrix[:, 1] ** 2 + np.sin(matrix[:, 3])
    targets = targets + generator.normal(size=rows)
    matrix[generator.random(matrix.shape) < _MISSING] = np.nan
    return matrix, targets.astype(np.float64)


def measured(
    fit: Callable[[str, FitJob], bytes], job: FitJob, number: int
) -> tuple[float, float, bytes]:
    """Return the seconds of a fit, the memory (MB) that workers take for it, and the trees."""
    with LocalCluster(
        n_workers=number,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit=0,
    ) as cluster:
        pids = [nanny.pid for nanny in cluster.workers.values()]
        with watched(pids) as most:
            before, started = held_by(pids), time.monotonic()
            trees = fit(cluster.scheduler_address, job)
            seconds = time.monotonic() - started
        return seconds, max(most) - before, trees


@contextmanager
def watched(pids: list[int]) -> Iterator[list[float]]:
    """Note again and again how much memory (MB) processes hold."""
    noted, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(_PAUSE):
            noted.append(held_by(pids))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield noted
    finally:
        ended.set()
        watcher.join()


def held_by(pids: list[int]) -> float:
    """Return the memory (MB) that processes hold and share with no file."""
    infos = [psutil.Process(pid).memory_info() for pid in pids]
    return sum(info.rss - info.shared for info in infos) / 1e6


def from_shards(address: str, job: FitJob) -> bytes:
    """Fit as the loop does."""
    return Cluster(address, timeout_seconds=600).fit(job)


def by_dask(address: str, job: FitJob) -> bytes:
    """Fit by `xgboost.dask`, on arrays that the workers read from the same files."""
    with Client(address) as client:
        parts = [
            tuple(
                da.from_delayed(
                    delayed(_read)(shard, kind),
                    (shard.rows, COLUMNS) if kind == "rows" else (shard.rows,),
                    np.float32 if kind == "rows" else np.float64,
                )
                for kind in ("rows", "targets")
            )
            for shard in job.shards
        ]
        rows, targets = (da.concatenate([part[which] for part in parts]) for which in range(2))
        data = dxgb.DaskQuantileDMatrix(client, rows, targets, max_bin=SETTINGS["max_bin"])
        fitted = dxgb.train(
            client, {**SETTINGS, "base_score": job.base_score}, data, num_boost_round=ROUNDS
        )
        return bytes(fitted["booster"].save_raw("ubj"))


def _read(shard: Shard, kind: str) -> np.ndarray:
    return np.asarray(load_rows(f"{shard.address}.{kind}.npy", Path(tempfile.gettempdir())))


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 4_000_000)
