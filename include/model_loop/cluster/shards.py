"""Shards of a design matrix: files that workers read on their own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.training_set.matrices import Targets

Rows = npt.NDArray[np.float32]

#: Rows of a shard: some 50 MB with twelve columns, and a batch of what XGBoost is fed.
SHARD_ROWS = 2**20
_ROWS, _TARGETS = "rows", "targets"


@dataclass(frozen=True)
class Shard:
    """Rows and targets in two files.

    Parameters
    ----------
    address
        Beginning of the addresses of both files.
    rows
        Number of rows.
    digest
        Digest (sha256, hex) of both.
    """

    address: str
    rows: int
    digest: str


def write_shards(
    matrix: Rows, targets: Targets, folder: UPath, rows_of_a_shard: int = SHARD_ROWS
) -> tuple[Shard, ...]:
    """Write a matrix in shards, in the order of its rows; those that are there are left.

    A shard is named by its digest, so that a fit that is begun again writes nothing twice.

    Parameters
    ----------
    matrix
        Dense matrix of shape (rows, columns), as it is or mapped from a file.
    targets
        Shape (rows,).
    """
    shards = []
    for first in range(0, len(matrix), rows_of_a_shard):
        part = slice(first, first + rows_of_a_shard)
        shards.append(_write(np.asarray(matrix[part]), targets[part], folder))
    return tuple(shards)


def write_rows(rows: Rows, folder: UPath) -> str:
    """Write rows, named by their digest; return the address."""
    digest = hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
    return _save(rows, folder / f"{digest[:32]}.npy")


def _write(rows: Rows, targets: Targets, folder: UPath) -> Shard:
    digest = hashlib.sha256(np.ascontiguousarray(rows).data)
    digest.update(np.ascontiguousarray(targets, dtype=np.float64).data)
    name = digest.hexdigest()
    base = folder / name[:32]
    for kind, values in ((_ROWS, rows), (_TARGETS, targets)):
        _save(values, folder / f"{base.name}.{kind}.npy")
    return Shard(str(base), len(rows), name)


def _save(values: npt.NDArray[Any], path: UPath) -> str:
    if not path.exists():
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
        with atomic_write(path) as partial:
            partial.write_bytes(buffer.getvalue())
    return str(path)


def load_rows(address: str, scratch: Path) -> npt.NDArray[Any]:
    """Map rows or targets from a file; one of another machine is copied into a folder before.

    Raises
    ------
    StoredObjectError
        If it is not there.
    """
    path = UPath(address)
    local = Path(path.path) if path.protocol in LOCAL_PROTOCOLS else scratch / path.name
    try:
        if not local.exists():
            local.write_bytes(path.read_bytes())
        mapped: npt.NDArray[Any] = np.load(local, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise StoredObjectError(
            f"The shard {address}",
            "is not there, seen from a worker of the cluster",
            "Use a storage root that all workers reach: s3://, or a folder that they share.",
        ) from error
    return mapped


def shards_of_rank(shards: Sequence[Shard], rank: int, ranks: int) -> tuple[Shard, ...]:
    """Return the shards of one of several workers, of which each has one at least.

    Parameters
    ----------
    ranks
        Number of workers, no more than there are shards.
    """
    first, last = (len(shards) * number // ranks for number in (rank, rank + 1))
    return tuple(shards[first:last])


class ShardBatches(xgb.DataIter):
    """Batches for XGBoost, one from each shard.

    Parameters
    ----------
    shards
        Shards in the order of their rows.
    scratch
        Folder for copies of files of other machines.
    """

    def __init__(self, shards: Sequence[Shard], scratch: Path) -> None:
        self._shards, self._scratch, self._next = shards, scratch, 0
        super().__init__()

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over the next batch; return whether there was one."""
        if self._next == len(self._shards):
            return False
        rows, targets = read_shard(self._shards[self._next], self._scratch)
        input_data(data=rows, label=targets)
        self._next += 1
        return True

    def reset(self) -> None:
        """Go back to the first batch."""
        self._next = 0


def read_shard(shard: Shard, scratch: Path) -> tuple[Rows, Targets]:
    """Return rows and targets of a shard."""
    rows, targets = (
        load_rows(f"{shard.address}.{kind}.npy", scratch) for kind in (_ROWS, _TARGETS)
    )
    return rows, targets
