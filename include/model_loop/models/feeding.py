"""Matrices of many rows as XGBoost reads them: fed batch by batch, in memory or in files.

The cuts between bins are computed from all rows in their order, so that the trees are the same
however the rows are fed.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from model_loop.memory import free_memory
from model_loop.training_set.matrices import Targets

Feeding = Literal["memory", "files"]

#: Rows of a batch; fewer are handed over at once.
ROWS_AT_ONCE = 2**20
#: Bins of XGBoost where nothing else is asked for.
_BINS = 256
#: Bytes of a row besides its bins: where it begins, gradients, its target, prediction and node.
_OF_A_ROW = 64
#: Share of the free memory that a matrix of bins may have.
_SHARE = 0.6
_PREFIX, _LOCK = "model-loop-bins-", ".lock"

logger = logging.getLogger(__name__)


class RowBatches(xgb.DataIter):
    """Batches of the rows of a matrix with their targets, in their order.

    Parameters
    ----------
    matrix
        Dense matrix of shape (rows, columns), as it is or mapped from a file.
    targets
        Shape (rows,).
    rows
        Rows of a batch.
    cache
        Beginning of the paths of the files that bins are kept in; None keeps them in memory.
    """

    def __init__(
        self,
        matrix: npt.NDArray[np.float32],
        targets: Targets,
        rows: int = ROWS_AT_ONCE,
        cache: Path | None = None,
    ) -> None:
        self._matrix, self._targets, self._rows, self._first = matrix, targets, rows, 0
        super().__init__(None if cache is None else str(cache))

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over the next batch; return whether there was one."""
        batch = slice(self._first, self._first + self._rows)
        if self._first >= len(self._matrix):
            return False
        input_data(data=self._matrix[batch], label=self._targets[batch])
        self._first += self._rows
        return True

    def reset(self) -> None:
        """Go back to the first batch."""
        self._first = 0


def feeding_of(rows: int, columns: int, bins: int | None, free: int | None) -> Feeding:
    """Return where the bins of a matrix are kept.

    Parameters
    ----------
    free
        Bytes of memory that may be used; None if that is not known.
    """
    return "memory" if free is None or bytes_of(rows, columns, bins) <= _SHARE * free else "files"


def bytes_of(rows: int, columns: int, bins: int | None) -> int:
    """Return the bytes that a matrix of bins takes while it is fitted.

    XGBoost keeps bins row by row and column by column, in one byte each or in two.
    """
    width = 1 if (bins or _BINS) <= _BINS else 2
    return rows * (2 * width * columns + _OF_A_ROW)


def fed_matrix(
    matrix: npt.NDArray[np.float32],
    targets: Targets,
    *,
    threads: int,
    reference: xgb.DMatrix | None = None,
    bins: int | None = None,
    feeding: Feeding | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> xgb.DMatrix:
    """Return a matrix as XGBoost reads it.

    Files are removed with the matrix, also where it could not be made; those of a process that was
    killed go when the next matrix is kept in files.

    Parameters
    ----------
    reference
        The train matrix, whose cuts are used.
    bins
        Most bins of a column; XGBoost's default by default.
    feeding
        Where the bins are kept; by their size and the memory that is free, if left out.
    """
    (count, columns), free = matrix.shape, free_memory()
    size = bytes_of(count, columns, bins)
    if feeding is None:
        feeding = feeding_of(count, columns, bins, free)
    told = "unknown" if free is None else f"{free / 1e9:.1f} GB"
    logger.info(
        "XGBoost: bins of %s rows take about %.1f GB, %s are free: they are kept in %s",
        f"{count:,}",
        size / 1e9,
        told,
        feeding,
    )
    more: dict[str, Any] = {"nthread": threads, "max_bin": bins, "ref": reference}
    if feeding == "memory":
        return xgb.QuantileDMatrix(RowBatches(matrix, targets, rows_at_once), **more)
    folder, lock = _cache_folder()
    try:
        rows = RowBatches(matrix, targets, rows_at_once, folder / "page")
        made = xgb.ExtMemQuantileDMatrix(rows, **more)
    except BaseException:
        _remove(folder, lock)
        raise
    weakref.finalize(made, _remove, folder, lock)
    return made


def _cache_folder() -> tuple[Path, IO[bytes]]:
    """Return a new folder that is locked while this process has it; remove those of dead ones."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # It may be removed by its process at any moment.
        with contextlib.suppress(OSError), (left / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = (folder / _LOCK).open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Before it was locked, somebody may have taken it for that of a dead process.
    return (folder, lock) if folder.exists() else _cache_folder()


def _remove(folder: Path, lock: IO[bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
