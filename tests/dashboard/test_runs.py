"""Reading runs of the tracking server."""

from __future__ import annotations

from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag

from model_loop.dashboard.runs import _family
from model_loop.tracking.runs import IDENTITY_TAG


def test_what_is_no_number_is_no_metric() -> None:
    """Of a fit that went astray; MLflow keeps infinity as the largest number."""
    metrics = {"test_rmse": float("nan"), "test_mae": 1.7976931348623157e308, "test_r2": -3.0}
    run = Run(
        RunInfo("1" * 32, "1", "me", "FINISHED", 1_700_000_000_000, None, "active"),
        RunData(
            [Metric(name, value, 0, 0) for name, value in metrics.items()],
            [],
            [RunTag("MODEL", "xgboost"), RunTag(IDENTITY_TAG, "xgboost_training/a/xgboost")],
        ),
    )
    assert _family(run).metrics == {"test_r2": -3.0}
