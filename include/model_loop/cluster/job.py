"""A fit of XGBoost as workers do it together: what to fit, and how far it has come."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost as xgb
from upath import UPath
from xgboost import collective

from model_loop.cluster.shards import Shard, ShardBatches, load_rows, shards_of_rank
from model_loop.objects.files import atomic_write, files_in

#: Names of checkpoints: the number of rounds that they hold.
_CHECKPOINT = "rounds-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitJob:
    """A fit of so many rounds on the rows of all shards.

    Parameters
    ----------
    settings
        Parameters of XGBoost.
    rounds
        Boosting rounds.
    shards
        Shards in the order of their rows.
    cuts
        Address of the rows from which the cuts between bins are made.
    base_score
        Prediction before the first tree, in the scale of the target: workers would estimate it of
        sums in another order with every number of them. None where XGBoost computes none.
    folder
        Address of the folder of checkpoints.
    checkpoint_rounds
        Rounds after which a checkpoint is written.
    """

    settings: Mapping[str, Any]
    rounds: int
    shards: tuple[Shard, ...]
    cuts: str
    base_score: float | None
    folder: str
    checkpoint_rounds: int = 25

    @property
    def key(self) -> str:
        """Digest of what is fitted, which checkpoints are named by; not where it is kept."""
        content = {
            "settings": dict(self.settings),
            "shards": [shard.digest for shard in self.shards],
            "cuts": self.cuts.rpartition("/")[2],
            "base_score": self.base_score,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON, as it is sent to workers."""
        return {**asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the job of what `to_json` made."""
        shards = tuple(Shard(**shard) for shard in fields["shards"])
        return cls(**{**fields, "shards": shards})

    def checkpoints(self) -> UPath:
        """Return the folder of its checkpoints."""
        return UPath(self.folder) / self.key


def last_checkpoint(job: FitJob) -> tuple[int, bytes | None]:
    """Return rounds and trees of the last checkpoint; 0 and None if there is none."""
    kept = files_in(job.checkpoints(), f"{_CHECKPOINT}*.ubj")
    if not kept:
        return 0, None
    return int(kept[-1].stem.removeprefix(_CHECKPOINT)), kept[-1].read_bytes()


def fit_rank(
    fields: Mapping[str, Any], rank: int, ranks: int, tracker: Mapping[str, Any]
) -> bytes | None:
    """Do the part of one worker; return the trees (UBJSON) if it is the first, else None.

    All go on from the last checkpoint: what a round draws depends on the seed and its number alone.

    Parameters
    ----------
    fields
        The job as JSON.
    rank
        Number of this worker, from 0.
    ranks
        Number of workers.
    tracker
        Address of XGBoost's tracker and time-outs, as its collective takes them.
    """
    job = FitJob.from_json(fields)
    arguments = {**tracker, "dmlc_task_id": f"{rank:06d}"}
    with (
        tempfile.TemporaryDirectory(prefix="model-loop-shards-") as scratch,
        collective.CommunicatorContext(**arguments),
    ):
        # The tracker numbers workers by their task ids; rows go by the number that it gives.
        return _fit(job, collective.get_rank(), ranks, Path(scratch))


def _fit(job: FitJob, rank: int, ranks: int, scratch: Path) -> bytes | None:
    settings: dict[str, Any] = {**job.settings, "seed_per_iteration": True}
    if job.base_score is not None:
        settings["base_score"] = job.base_score
    train = _binned(job, shards_of_rank(job.shards, rank, ranks), scratch)
    done, trees = _agreed_checkpoint(job)
    started = time.monotonic()
    for first in range(done, job.rounds, job.checkpoint_rounds):
        # The draws of columns go on from round to round, and are in no checkpoint: they begin anew
        # at each of them, with the seed of that round, as they do in a fit that goes on from one.
        booster = xgb.Booster(settings, [train], bytearray(trees) if trees else None)
        last = min(first + job.checkpoint_rounds, job.rounds)
        for number in range(first, last):
            booster.update(train, number)
        trees = bytes(booster.save_raw("ubj"))
        if rank == 0 and last < job.rounds:
            _keep(job, last, trees)
    if rank:
        return None
    seconds = time.monotonic() - started
    logger.info("%d rounds on %d workers in %.1f s", job.rounds - done, ranks, seconds)
    return trees


def _binned(job: FitJob, shards: Sequence[Shard], scratch: Path) -> xgb.QuantileDMatrix:
    """Return the rows of a worker, cut as those of all."""
    bins, threads = (job.settings.get(name) for name in ("max_bin", "nthread"))
    rows = load_rows(job.cuts, scratch)
    # One thread: the cuts must not depend on the number of threads.
    cut = xgb.QuantileDMatrix(rows, np.zeros(len(rows)), max_bin=bins, nthread=1)
    batches = ShardBatches(shards, scratch)
    return xgb.QuantileDMatrix(batches, max_bin=bins, ref=cut, nthread=threads)


def _agreed_checkpoint(job: FitJob) -> tuple[int, bytes | None]:
    """Return the checkpoint that all workers go on from: the first of them says which."""
    done, trees = last_checkpoint(job) if collective.get_rank() == 0 else (0, None)
    # XGBoost's broadcast takes pickled objects.
    rounds = int(collective.allreduce(np.array([done]), collective.Op.MAX)[0])
    if not rounds:
        return 0, None
    if trees is None:
        trees = (job.checkpoints() / f"{_CHECKPOINT}{rounds:06d}.ubj").read_bytes()
    logger.info("Going on after round %d", rounds)
    return rounds, trees


def _keep(job: FitJob, rounds: int, trees: bytes) -> None:
    folder = job.checkpoints()
    with atomic_write(folder / f"{_CHECKPOINT}{rounds:06d}.ubj") as partial:
        partial.write_bytes(trees)
    for earlier in files_in(folder, f"{_CHECKPOINT}*.ubj")[:-2]:
        earlier.unlink(missing_ok=True)


def forget(job: FitJob) -> None:
    """Remove the checkpoints of a fit that has ended."""
    for kept in files_in(job.checkpoints()):
        kept.unlink(missing_ok=True)
