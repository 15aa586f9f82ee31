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

from model_loop.monitoring.features import features
from model_loop.monitoring.levels import Thresholds, WindowFinding, judge, unknown
from model_loop.monitoring.profile import PREDICTION
from model_loop.tracking.names import EVIDENTLY_HTML
from model_loop.training_set.build import CLIP_DISTANCE
from model_loop.training_set.matrices import Targets
from trip_duration.services import DISTANCE

DISTANCE_METRIC = "drift_distance"
#: Names of the written files.
JSON = "evidently.json"

#: Most trips of a window that are compared: more change no figure that is shown.
MOST_TRIPS = 20_000

_NUMBERS = (DISTANCE, PREDICTION)


def write_report(
    folder: Path,
    sample: pd.DataFrame,
    trips: pd.DataFrame,
    predicted: Targets,
    thresholds: Mapping[str, Thresholds],
) -> list[WindowFinding]:
    """Compare the trips of a window with a sample of those learned from, as HTML and JSON.

    By the size of the effect, not by p-values, which in a large window any change makes small:
    numbers by the Wasserstein distance in standard deviations, categories by PSI. Distances are
    clipped as the encoders clip them: a single absurd one would decide the standard deviation.

    Parameters
    ----------
    folder
        Folder to write to.
    sample
        Raw columns and `PREDICTION`; see `profile.Reference`.
    trips, predicted
        Trips and predictions of the window.
    thresholds
        Thresholds by metric.

    Returns
    -------
    list of Finding
        The distances of numbers.
    """
    from evidently import (  # noqa: PLC0415 - takes nine seconds, and reports are optional
        DataDefinition,
        Dataset,
        Report,
    )
    from evidently.presets import DataDriftPreset  # noqa: PLC0415 - as above

    columns = [name for name in sample.columns if name != PREDICTION]
    then = _shown(sample[columns], sample[PREDICTION].to_numpy(np.float64))
    now = _shown(trips[columns], predicted)
    shown = [name for name in then if then[name].notna().any() and now[name].notna().any()]
    limits = thresholds[DISTANCE_METRIC]
    numbers = [name for name in shown if name in _NUMBERS]
    categories = [name for name in shown if name not in _NUMBERS]
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
        Dataset.from_pandas(now[shown], data_definition=definition),
        Dataset.from_pandas(then[shown], data_definition=definition),
    )
    made.save_html(str(folder / EVIDENTLY_HTML))
    made.save_json(str(folder / JSON))
    found = _drifts(made.dict())
    return [
        judge(DISTANCE_METRIC, name, found.get(name), limits, "standard deviations")
        if name in numbers
        else unknown(DISTANCE_METRIC, name, limits, "no trip has it")
        for name in then
        if name in _NUMBERS
    ]


def _shown(trips: pd.DataFrame, predicted: Targets) -> pd.DataFrame:
    """Features and predictions side by side; both may be longer than the other."""
    if len(trips) > MOST_TRIPS:
        trips = trips.sample(MOST_TRIPS, random_state=0)
    known = {name: pd.Series(values) for name, values in features(trips).items()}
    if DISTANCE in known:
        known[DISTANCE] = known[DISTANCE].clip(upper=CLIP_DISTANCE)
    drawn = np.random.default_rng(0).permutation(predicted)[:MOST_TRIPS]
    frame = pd.DataFrame({**known, PREDICTION: pd.Series(drawn)})
    categories = [name for name in frame if name not in _NUMBERS]
    for name in categories:
        frame[name] = frame[name].map("{:.0f}".format, na_action="ignore")
    return frame


def _drifts(report: dict[str, Any]) -> dict[str, float]:
    """The figure of each column."""
    found = {}
    for metric in json.loads(json.dumps(report, default=float))["metrics"]:
        column = metric["config"].get("column")
        if column is not None:
            found[column] = float(metric["value"])
    return found
