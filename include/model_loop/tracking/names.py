"""Names of documents on the tracking server that one part writes and another one reads."""

from __future__ import annotations

#: Charts of a training run or of a partition.
FIGURES = "figures.html"
#: Artifact with the numbers of a model's charts.
NUMBERS = "numbers.json"
#: The card of a model, for people.
MODEL_CARD = "model_card.md"
#: The rules by which test rows were cut into slices; see `models.slices.Cut`.
CUTS = "slices.json"
#: Evidently's report of a window.
EVIDENTLY_HTML = "evidently.html"
