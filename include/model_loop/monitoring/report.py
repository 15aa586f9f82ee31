"""Evidently's report of a window: what a person looks at when something has drifted.

Evidently takes seconds to be imported, and is imported only here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.monitoring.features import features, is_number
from model_loop.monitoring.levels import Thresholds, WindowFinding, judge_value, unknown
from model_loop.monitoring.profile import PREDICTION
from model_loop.tracking.names import EVIDENTLY_HTML
from model_loop.training_set.matrices import Targets

DISTANCE_METRIC = "drift_distance"
#: Names of the written files.
JSON = "evidently.json"

#: Most rows of a window that are compared: more change no figure that is shown.
MOST_ROWS = 20_000
#: Numbers are clipped to as many times their range between these quantiles of the sample: a single
#: absurd value would decide the standard deviation.
_QUANTILES, _WITHIN = (0.05, 0.95), 3.0


def write_report(
    folder: Path,
    sample: pd.DataFrame,
    rows: pd.DataFrame,
    predicted: Targets,
    thresholds: Mapping[str, Thresholds],
    dataset: Dataset,
) -> list[WindowFinding]:
    """Compare the rows of a window with a sample of those learned from, as HTML and JSON.

    Drift is measured by the size of the effect, not by p-values, which any change makes small in a
    large window: numbers by the Wasserstein distance in standard deviations, categories by PSI.
    Numbers are clipped far outside of the sample's range: a single absurd one would decide the
    standard deviation.

    Parameters
    ----------
    folder
        Folder to write to.
    sample
        Raw columns and `PREDICTION`; see `profile.ReferenceProfile`.
    rows, predicted
        Rows and predictions of the window.
    thresholds
        Thresholds by metric.

    Returns
    -------
    list of Finding
        The distances of numbers.
    """
    from evidently import (  # noqa: PLC0415 - takes nine seconds, and reports are optional
        DataDefinition,
        Report,
    )
    from evidently import Dataset as Compared  # noqa: PLC0415 - as above
    from evidently.presets import DataDriftPreset  # noqa: PLC0415 - as above

    columns = [name for name in sample.columns if name != PREDICTION]
    then = _shown(sample[columns], sample[PREDICTION].to_numpy(np.float64), dataset)
    now = _shown(rows[columns], predicted, dataset)
    of_numbers = [name for name in map(str, then) if name == PREDICTION or is_number(name, dataset)]
    _clip(then, now, [name for name in of_numbers if name != PREDICTION])
    shown = [name for name in then if then[name].notna().any() and now[name].notna().any()]
    limits = thresholds[DISTANCE_METRIC]
    numbers = [name for name in shown if name in of_numbers]
    categories = [name for name in shown if name not in of_numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    report = Report(
        [
            DataDriftPreset(
                columns=shown,
                num_method="wasserstein",
                num_threshold=limits.act,
                cat_method="psi",
                cat_threshold=thresholds["psi"].act,
            )
        ]
    )
    made = report.run(
        Compared.from_pandas(now[shown], data_definition=definition),
        Compared.from_pandas(then[shown], data_definition=definition),
    )
    made.save_html(str(folder / EVIDENTLY_HTML))
    made.save_json(str(folder / JSON))
    found = _drifts(made.dict())
    return [
        judge_value(DISTANCE_METRIC, name, found.get(name), limits, "standard deviations")
        if name in numbers
        else unknown(DISTANCE_METRIC, name, limits, f"none of the {dataset.rows[0]} has it")
        for name in of_numbers
    ]


def _shown(rows: pd.DataFrame, predicted: Targets, dataset: Dataset) -> pd.DataFrame:
    """Return features and predictions side by side; both may be longer than the other."""
    if len(rows) > MOST_ROWS:
        rows = rows.sample(MOST_ROWS, random_state=0)
    shown = {name: pd.Series(values) for name, values in features(rows, dataset).items()}
    for name, values in shown.items():
        if values.dtype != object and not is_number(name, dataset):
            shown[name] = values.map("{:.0f}".format, na_action="ignore")
    drawn = np.random.default_rng(0).permutation(predicted)[:MOST_ROWS]
    return pd.DataFrame({**shown, PREDICTION: pd.Series(drawn)})


def _clip(then: pd.DataFrame, now: pd.DataFrame, names: list[str]) -> None:
    """Clip numbers of both sides, in place."""
    for name in names:
        low, high = then[name].quantile(list(_QUANTILES))
        if (beyond := _WITHIN * (high - low)) > 0:
            for frame in (then, now):
                frame[name] = frame[name].clip(low - beyond, high + beyond)


def _drifts(report: dict[str, Any]) -> dict[str, float]:
    """The figure of each column."""
    found = {}
    for metric in json.loads(json.dumps(report, default=float))["metrics"]:
        column = metric["config"].get("column")
        if column is not None:
            found[column] = float(metric["value"])
    return found
