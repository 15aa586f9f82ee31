"""Shards: every row once, whatever the number of workers, and cuts that hold for all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from upath import UPath

from model_loop.cluster.cuts import rows_to_cut
from model_loop.cluster.shards import load_rows, read_shard, shards_of_rank, write_shards
from model_loop.errors import StoredObjectError

#: The last shard has few rows.
ROWS, OF_A_SHARD = 900, 128


@pytest.fixture(name="matrix")
def some_rows() -> np.ndarray:
    """Return rows of a long-tailed column, of a few numbers, and of one with missing values."""
    generator = np.random.default_rng(0)
    rows = np.stack(
        [
            generator.exponential(size=ROWS) ** 4,
            generator.integers(0, 5, ROWS),
            np.where(generator.random(ROWS) < 0.3, np.nan, generator.normal(size=ROWS)),
        ],
        axis=1,
    )
    return rows.astype(np.float32)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_every_row_is_of_one_worker(matrix: np.ndarray, ranks: int, tmp_path: Path) -> None:
    """Workers have stretches of the rows, each about its share, and all rows together."""
    shards = write_shards(matrix, matrix[:, 0].astype(np.float64), UPath(tmp_path), OF_A_SHARD)
    parts = [shards_of_rank(shards, rank, ranks) for rank in range(ranks)]
    assert tuple(shard for part in parts for shard in part) == shards
    read = [read_shard(shard, tmp_path) for part in parts for shard in part]
    assert np.array_equal(np.concatenate([rows for rows, _ in read]), matrix, equal_nan=True)
    assert np.array_equal(np.concatenate([targets for _, targets in read]), matrix[:, 0])
    sizes = [sum(shard.rows for shard in part) for part in parts]
    assert max(sizes) - min(sizes) <= 2 * OF_A_SHARD
    assert all(parts), "XGBoost takes no worker without a row"


def test_a_shard_is_written_once(matrix: np.ndarray, tmp_path: Path) -> None:
    """Files that are there stay as they are; other targets make other shards."""
    targets = np.zeros(ROWS)
    first = write_shards(matrix, targets, UPath(tmp_path), OF_A_SHARD)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert write_shards(matrix, targets, UPath(tmp_path), OF_A_SHARD) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    assert not {*first} & {*write_shards(matrix, targets + 1, UPath(tmp_path), OF_A_SHARD)}


def test_a_shard_that_a_worker_does_not_see_is_said(tmp_path: Path) -> None:
    """A folder of another machine is the likely reason."""
    with pytest.raises(StoredObjectError, match=r"seen from a worker.*that they share"):
        load_rows(str(tmp_path / "gone.npy"), tmp_path)


def test_no_value_is_beyond_the_cuts_of_a_sample(matrix: np.ndarray) -> None:
    """A value above the last cut would go left where trees grow and right where they predict."""
    drawn = rows_to_cut(matrix, 0, most=50)
    assert len(drawn) == 52
    assert np.array_equal(np.nanmax(drawn, axis=0), np.nanmax(matrix, axis=0))
    assert np.array_equal(np.nanmin(drawn, axis=0), np.nanmin(matrix, axis=0))
    begins, cuts = xgb.QuantileDMatrix(drawn, np.zeros(len(drawn))).get_quantile_cut()
    for column, last in enumerate(begins[1:]):
        assert cuts[last - 1] > np.nanmax(matrix[:, column])


def test_few_rows_are_cut_as_they_are(matrix: np.ndarray) -> None:
    """Cuts of all rows are those of a fit on one machine."""
    assert np.array_equal(rows_to_cut(matrix, 0), matrix, equal_nan=True)
