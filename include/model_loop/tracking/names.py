"""Names on the tracking server that one part writes and another one reads."""

from __future__ import annotations

import re
from typing import Literal

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import datasets_in_python

#: Charts of a training run or of a partition.
FIGURES = "figures.html"
#: Artifact with the numbers of a model's charts.
NUMBERS = "numbers.json"
#: The card of a model, for people.
MODEL_CARD = "model_card.md"
#: The intervals of a model; see `intervals.calibrated.Intervals`.
INTERVALS = "intervals.json"
#: The decision of a classifier; see `models.classification.decision.Decision`.
DECISION = "decision.json"
#: The rules by which test rows were cut into slices; see `models.slices.Cut`.
CUTS = "slices.json"
#: True values and predictions of the rows that settings are chosen by, by the best trial.
SEARCHED = "validation_predictions.parquet"
#: Tag of a blend: its members in words.
MEMBERS_TAG = "members"
#: Metric: microseconds that a compiled form takes for one row.
ANSWER_TIME = "answer_microseconds"
#: Evidently's report of a window.
EVIDENTLY_HTML = "evidently.html"

#: Kind of the runs: of training and partitions, of what was done to versions, or of windows.
Purpose = Literal["", "promotion", "monitoring"]
#: Experiment of all datasets in earlier versions, where no installed package named another.
_FORMER = "model-loop"


def metric_of(statistic: str, column: str) -> str:
    """Return the name of the metric of a column: ``median_duration``.

    MLflow takes letters, digits and few signs; others become underscores.
    """
    return re.sub(r"[^/\w.\- ]", "_", f"{statistic}_{column}")


def experiment_of(dataset: Dataset, setting: str, purpose: Purpose = "") -> str:
    """Return the experiment that runs of a dataset are logged to.

    Parameters
    ----------
    setting
        Experiment of all datasets by the settings; empty where each has its own.
    """
    name = setting or dataset.names.experiment or dataset.name
    return f"{name}-{purpose}" if purpose else name


def experiments_of(dataset: Dataset, setting: str, purpose: Purpose = "") -> tuple[str, ...]:
    """Return the experiment that runs are logged to, and others in which they are looked for."""
    own, former = experiment_of(dataset, "", purpose), experiment_of(dataset, _FORMER, purpose)
    # Runs of all datasets were logged to the experiment of the one in Python.
    shared = (experiment_of(each, "", purpose) for each in datasets_in_python())
    return (*dict.fromkeys((experiment_of(dataset, setting, purpose), own, *shared, former)),)
