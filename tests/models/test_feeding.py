"""Ways of feeding XGBoost: the trees are the same, and files go whatever happens."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from model_loop.models import boosting, feeding
from model_loop.models.boosting import BoosterRegressor
from model_loop.models.feeding import RowBatches, bytes_of, fed_matrix, feeding_of

ROWS, COLUMNS, GIB = 40_000, 6, 2**30


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def rows(seed: int = 0) -> tuple[Any, Any]:
    """Return a matrix with codes and missing values, and its targets."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    matrix[:, 1] = rng.integers(0, 30, ROWS)
    matrix[rng.random(ROWS) < 0.1, 2] = np.nan
    return matrix, matrix[:, 0] * 3 + np.sin(matrix[:, 1]) + rng.normal(size=ROWS)


def trees(train: xgb.DMatrix, judged: xgb.DMatrix, bins: int) -> tuple[str, list[str]]:
    """Fit some rounds that draw rows and columns; return the trees and the errors."""
    drawn = {"subsample": 0.7, "colsample_bytree": 0.8, "seed_per_iteration": True}
    settings = {"max_depth": 6, "max_bin": bins, "nthread": 2, "seed": 1, **drawn}
    booster, errors = xgb.Booster(settings, [train, judged]), []
    for number in range(8):
        booster.update(train, number)
        errors.append(booster.eval_set([(judged, "judged")], number))
    return "".join(booster.get_dump(with_stats=True)), errors


@pytest.mark.parametrize("bins", [256, 1_024])
def test_the_way_of_feeding_changes_no_tree(bins: int) -> None:
    """At once, in batches, and in batches from files: cuts, trees and errors are equal."""
    (matrix, targets), (later, known) = rows(), rows(1)
    train: xgb.DMatrix = xgb.QuantileDMatrix(matrix, targets, max_bin=bins)
    judged: xgb.DMatrix = xgb.QuantileDMatrix(later, known, ref=train, max_bin=bins)
    wanted, cuts = trees(train, judged, bins), train.get_quantile_cut()
    for way in ("memory", "files"):
        fed: dict[str, Any] = {"threads": 2, "bins": bins, "feeding": way, "rows_at_once": 7_001}
        train = fed_matrix(matrix, targets, **fed)
        judged = fed_matrix(later, known, reference=train, **fed)
        assert all(map(np.array_equal, train.get_quantile_cut(), cuts))
        assert trees(train, judged, bins) == wanted


def test_a_fit_of_many_rows_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimator hands over more rows than one batch in batches; its trees are the same."""
    (matrix, targets), (later, known) = rows(), rows(1)
    settings = {"max_depth": 4}
    wanted = BoosterRegressor(settings, rounds=5).fit(matrix, targets, (later, known))
    monkeypatch.setattr(boosting, "ROWS_AT_ONCE", 10_000)
    monkeypatch.setattr(feeding, "free_memory", lambda: 1)
    fed = BoosterRegressor(settings, rounds=5).fit(matrix, targets, (later, known))
    assert fed.booster_.get_dump() == wanted.booster_.get_dump()
    assert fed.curve_ == wanted.curve_


def test_the_size_and_the_free_memory_choose() -> None:
    """Bins are kept in memory while they fit there with room to spare."""
    size = bytes_of(10**7, 20, None)
    assert size == 10**7 * (2 * 20 + 64)
    assert bytes_of(10**7, 20, 1_024) == 10**7 * (4 * 20 + 64)
    assert feeding_of(10**7, 20, None, 2 * size) == "memory"
    assert feeding_of(10**7, 20, None, size) == "files"
    assert feeding_of(10**7, 20, None, None) == "memory"


def test_files_go_with_their_matrix(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The folder is there while the matrix is, and the log says why."""
    caplog.set_level("INFO")
    made = fed_matrix(*rows(), threads=1, feeding="files")
    (kept,) = folder.iterdir()
    assert len([*kept.glob("*.page")]) == 1
    assert "they are kept in files" in caplog.text
    del made
    gc.collect()
    assert [*folder.iterdir()] == []


def test_files_go_after_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that cannot be read ends the fit with its own error, and leaves nothing."""
    real = RowBatches.next

    def broken(self: RowBatches, input_data: Any) -> bool:
        if self._first:
            raise OSError("no more")
        return real(self, input_data)

    monkeypatch.setattr(RowBatches, "next", broken)
    with pytest.raises(OSError, match="no more"):
        fed_matrix(*rows(), threads=1, feeding="files", rows_at_once=9_000)
    gc.collect()
    assert [*folder.iterdir()] == []


def test_files_of_a_killed_process_go_with_the_next(folder: Path) -> None:
    """Nothing removes them before; those of a process that lives stay."""
    script = """
        import os, signal, numpy as np
        from model_loop.models.feeding import fed_matrix
        rows = np.ones((100, 2), dtype=np.float32)
        made = fed_matrix(rows, np.ones(100), threads=1, feeding="files")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    living = fed_matrix(*rows(), threads=1, feeding="files")
    (own,) = folder.iterdir()
    assert own != left
    other = fed_matrix(*rows(), threads=1, feeding="files")
    assert own.exists()
    del living, other


def test_a_mapped_matrix_is_fitted_in_less_memory_than_it_has(folder: Path) -> None:
    """The bins of a column of few values take a quarter of it: a limit of data holds."""
    script = f"""
        import resource, sys, numpy as np
        from model_loop.models.boosting import BoosterRegressor
        from model_loop.models import feeding
        path, mapped = sys.argv[1], sys.argv[2] == "mapped"
        count, columns = 1_500_000, 60
        BoosterRegressor({{"max_depth": 2}}, rounds=1, threads=1).fit(
            np.ones((9, 2), dtype=np.float32), np.arange(9.0))
        used = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + {300 * 2**20}, -1))
        shape = (count, columns)
        matrix = np.memmap(path, np.float32, "r", 0, shape)
        if not mapped:
            matrix = np.array(matrix)
        feeding.free_memory = lambda: 1
        targets = np.zeros(count)
        targets[: count // 2] = 1.0
        model = BoosterRegressor({{"max_depth": 2, "max_bin": 16}}, rounds=2, threads=1)
        print(model.fit(matrix, targets).booster_.num_boosted_rounds())
    """
    path, block = folder / "matrix", 100_000
    with path.open("wb") as file:
        rng = np.random.default_rng(0)
        piece = rng.integers(0, 8, size=(block, 60)).astype(np.float32).tobytes()
        for _ in range(15):
            file.write(piece)
    for way, passes in (("mapped", True), ("held", False)):
        command = [sys.executable, "-c", textwrap.dedent(script), str(path), way]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is passes, done.stderr
        assert passes or "MemoryError" in done.stderr
