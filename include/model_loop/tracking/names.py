"""Names of documents on the tracking server that one part writes and another one reads."""

from __future__ import annotations

import re

#: Charts of a training run or of a partition.
FIGURES = "figures.html"
#: Artifact with the numbers of a model's charts.
NUMBERS = "numbers.json"
#: The card of a model, for people.
MODEL_CARD = "model_card.md"
#: The intervals of a model; see `intervals.calibrated.Intervals`.
INTERVALS = "intervals.json"
#: The rules by which test rows were cut into slices; see `models.slices.Cut`.
CUTS = "slices.json"
#: Evidently's report of a window.
EVIDENTLY_HTML = "evidently.html"


def metric_of(statistic: str, column: str) -> str:
    """Return the name of the metric of a column: ``median_duration``.

    MLflow takes letters, digits and few signs; others become underscores.
    """
    return re.sub(r"[^/\w.\- ]", "_", f"{statistic}_{column}")
