"""Limits beside the rows of files: of a level, null without intervals, beside any column."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.scoring.conftest import request_for
from tests.scoring.test_batch import run

from model_loop.errors import InvalidInputError
from model_loop.intervals.calibration import calibrate
from model_loop.intervals.residuals import Residuals
from model_loop.intervals.scale import ErrorScale, ScaleBins, ScaleFactors
from model_loop.scoring.batch.planning import plan_chunks
from model_loop.scoring.predictor import Predictor

HEADER = "pickup_datetime,PULocationID,DOLocationID,trip_distance,passenger_count"
ROW = "2024-01-15 08:30:00,74,75,1.2,1"


@pytest.fixture(scope="module")
def sure(predictor: Predictor) -> Predictor:
    """A version with intervals, of which the lower one needs more rows than there were at 99 %."""
    predicted = np.linspace(1, 50, 150)
    actual = predicted + np.random.default_rng(0).normal(0, 3, 150)
    residuals = Residuals("validation", actual, predicted, ("a",), "b")
    bins = ScaleBins("number", "trip_distance", edges=(2.0,))
    scale = ErrorScale(0.0, (bins,), (ScaleFactors(0, -1, (0, 693, 0)),))
    return dataclasses.replace(
        predictor, intervals=dataclasses.replace(calibrate(residuals), scale=scale)
    )


def written(predictor: Predictor, source: Path, level: float = 90.0) -> Path:
    """Score a file into the same folder; return the output."""
    output = source.with_name(f"out-{level:g}{source.suffix}")
    request = request_for(predictor, source, output, level=level)
    run(plan_chunks(request, str(source.parent / "storage")), predictor)
    return output


def read(path: Path) -> pd.DataFrame:
    """Read a scored file."""
    if path.suffix == ".csv":
        return pd.read_csv(path, float_precision="round_trip")
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
    return pd.read_parquet(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_files_have_limits_of_the_level(sure: Predictor, tmp_path: Path, suffix: str) -> None:
    """Those of the band; NaN and null where the rows of the calibration do not suffice.

    They are twice as wide for a row whose errors are twice as large.
    """
    source = tmp_path / f"rows{suffix}"
    rows = pd.DataFrame([dict(zip(HEADER.split(","), ROW.split(","), strict=True))] * 3)
    _write(source, rows.assign(trip_distance=["1.2", "1.2", "3.2"]))
    sizes = np.exp([0.0, 0.0, 0.693])
    assert sure.intervals is not None
    for level in (80.5, 99.0):
        rows = read(written(sure, source, level))
        low, high = sure.intervals.at(level).limits_of(rows["prediction"].to_numpy(), None, sizes)
        for name, limits in (("lower", low), ("upper", high)):
            finite = np.where(np.isfinite(limits), limits, np.nan)
            np.testing.assert_array_equal(rows[name].to_numpy(dtype=np.float64), finite)
        assert (rows["level"] == level).all()
        assert rows["lower"].isna().all() == (level == 99)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_version_of_before_has_null(predictor: Predictor, tmp_path: Path, suffix: str) -> None:
    """The columns are there all the same."""
    source = tmp_path / f"rows{suffix}"
    _write(source, pd.DataFrame([dict(zip(HEADER.split(","), ROW.split(","), strict=True))]))
    rows = read(written(predictor, source))
    assert rows[["lower", "upper", "level"]].isna().all(axis=None)
    assert rows["prediction"].notna().all()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_may_have_columns_of_these_names(
    sure: Predictor, tmp_path: Path, suffix: str
) -> None:
    """Its own stay as they are, and the limits stand beside under another name."""
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    source = tmp_path / f"rows{suffix}"
    _write(source, pd.DataFrame([{**row, "level": 3, "upper": 7}]))
    rows = read(written(sure, source))
    assert rows[["level", "upper"]].to_numpy().tolist() == [[3, 7]]
    assert rows["predicted_level"].tolist() == [90.0]
    assert (rows["lower"] < rows["prediction"]).all()
    assert (rows["prediction"] < rows["predicted_upper"]).all()


def test_another_level_is_another_job(sure: Predictor, tmp_path: Path) -> None:
    """Rows that were scored at one level do not stand for another; one beyond 99 is refused."""
    source = tmp_path / "rows.csv"
    source.write_text(f"{HEADER}\n{ROW}\n")
    output = tmp_path / "out.csv"
    jobs = {
        plan_chunks(request_for(sure, source, output, level=level), str(tmp_path))[0].job.key
        for level in (80.0, 90.0)
    }
    assert len(jobs) == 2
    with pytest.raises(InvalidInputError, match=r"level = 99\.9"):
        request_for(sure, source, output, level=99.9)


def _write(path: Path, rows: pd.DataFrame) -> None:
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.astype({"trip_distance": float, "PULocationID": int, "DOLocationID": int}).to_parquet(
            path
        )
