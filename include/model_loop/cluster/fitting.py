"""The final fit of XGBoost on a cluster, in the place of one in this process."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from upath import UPath

from model_loop.cluster.cuts import rows_to_cut
from model_loop.cluster.job import FitJob
from model_loop.cluster.shards import SHARD_ROWS, write_rows, write_shards
from model_loop.errors import InvalidInputError
from model_loop.models.boosting import BoosterClassifier
from model_loop.training_set.matrices import Matrix, Targets

if TYPE_CHECKING:
    from model_loop.cluster.dispatch import Cluster
    from model_loop.models.boosting import BoosterRegressor
    from model_loop.settings import Settings

#: Folder of shards and checkpoints under a storage root.
_FOLDER = "cluster"
#: Age at which those of a fit that nobody has begun again are removed.
_ABANDONED_SECONDS = 7 * 86_400

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClusterFits:
    """Fits of large tables on a cluster.

    Parameters
    ----------
    cluster
        The cluster.
    storage_root
        ``s3://`` address, or that of a folder that all workers reach.
    rows
        Rows below which a fit stays in this process.
    shard_rows
        Rows of a shard.
    """

    cluster: Cluster
    storage_root: str
    rows: int
    shard_rows: int = SHARD_ROWS

    def fit(
        self,
        estimator: BoosterRegressor | BoosterClassifier,
        matrix: Matrix,
        targets: npt.NDArray[Any],
    ) -> bool:
        """Fit on the cluster, where the table is large enough; return whether it was.

        The shards and checkpoints of a fit that has ended are removed, and kept after one that has
        failed: the next try goes on from there.

        Parameters
        ----------
        targets
            Numbers, or labels of classes, shape (rows,).
        """
        if len(targets) < self.rows or not isinstance(matrix, np.ndarray):
            return False
        codes: Targets = targets
        if isinstance(estimator, BoosterClassifier):
            estimator.classes_, inverse = np.unique(targets, return_inverse=True)
            codes = inverse.astype(np.float64)
        root = UPath(self.storage_root) / _FOLDER
        _remove_abandoned(root)
        drawn = {"nthread": estimator.threads, "seed": estimator.random_state}
        settings: dict[str, Any] = {**(estimator.settings or {}), **drawn}
        cut = rows_to_cut(matrix, estimator.random_state)
        # Fits of the same targets by other columns or settings remove what they have written.
        name = hashlib.sha256(np.ascontiguousarray(codes).data)
        name.update(np.ascontiguousarray(cut).data)
        name.update(json.dumps(settings, sort_keys=True).encode())
        folder = root / name.hexdigest()[:24]
        job = FitJob(
            settings=settings,
            rounds=estimator.rounds,
            shards=write_shards(matrix, codes, folder, self.shard_rows),
            cuts=write_rows(cut, folder),
            base_score=_base_score(settings, codes),
            folder=str(folder),
        )
        logger.info("%d shards of %s rows are written", len(job.shards), f"{len(targets):,}")
        estimator.adopt(self.cluster.fit(job))
        _remove(folder)
        return True


def cluster_fits(settings: Settings) -> ClusterFits | None:
    """Return the cluster that the settings name; None where they name none.

    Raises
    ------
    InvalidInputError
        If Dask is not installed, or the address is not safe.
    """
    if not settings.cluster_address:
        return None
    try:
        from model_loop.cluster.dispatch import (  # noqa: PLC0415 - an extra of this package
            Cluster,
        )
    except ModuleNotFoundError as error:
        raise InvalidInputError(
            f"MODEL_LOOP_CLUSTER_ADDRESS = {settings.cluster_address!r}",
            f"needs {error.name}, which is not installed",
            "Install the extra: pip install 'model-loop[cluster]'.",
        ) from error
    folder = settings.cluster_certificates
    cluster = Cluster(
        settings.cluster_address,
        Path(folder) if folder else None,
        settings.cluster_timeout_seconds,
    )
    return ClusterFits(cluster, settings.storage_root, settings.cluster_rows)


def _base_score(settings: dict[str, Any], targets: Targets) -> float | None:
    """Return the mean of the targets where that is where XGBoost begins."""
    begins = {"reg:squarederror", "binary:logistic"}
    return float(targets.mean()) if settings.get("objective") in begins else None


def _remove_abandoned(root: UPath) -> None:
    for folder in root.iterdir() if root.exists() else ():
        newest = max((_changed(path) for path in folder.rglob("*")), default=0.0)
        if time.time() - newest > _ABANDONED_SECONDS:
            _remove(folder)


def _changed(path: UPath) -> float:
    """Return when a file was written, in seconds since 1970."""
    info: dict[str, Any] = path.fs.info(path.path)
    found = info.get("mtime") or info.get("LastModified") or 0.0
    return found.timestamp() if hasattr(found, "timestamp") else float(found)


def _remove(folder: UPath) -> None:
    folder.fs.rm(folder.path, recursive=True)
