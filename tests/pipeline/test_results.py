"""Tests of the results of a run as JSON."""

from __future__ import annotations

import json
import math

from model_loop.datasets.dataset import Target
from model_loop.pipeline.training import as_json_numbers, shown_metrics


def test_what_is_no_number_is_none() -> None:
    """JSON has no word for it, and other languages read none that Python writes."""
    values = {"roc_auc": math.nan, "rae": math.inf, "rmse": 1.5, "mae": None}
    text = json.dumps(as_json_numbers(values), allow_nan=False)
    assert json.loads(text) == {"roc_auc": None, "rae": None, "rmse": 1.5, "mae": None}


def test_no_kind_of_target_is_ranked_by_accuracy() -> None:
    """The metric that ranks stands first; the accuracy of two classes is high by itself."""
    assert shown_metrics(Target("y"))[0] == "rmse"
    for kind in ("binary", "multiclass"):
        target = Target("y", kind=kind)
        assert shown_metrics(target)[0] == target.main_metric == "log_loss"
        assert "accuracy" not in shown_metrics(target)
