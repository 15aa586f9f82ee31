"""Summary of a training set for people and programs, as plain JSON."""

from __future__ import annotations

from typing import Any

from model_loop.training_set.types import TrainingSet


def summarize(training_set: TrainingSet) -> dict[str, Any]:
    """Describe a training set.

    Returns
    -------
    dict
        Rows of each split, columns of each layout (and, as ``columns``, of the sparse one, which
        every encoding has), digest, data source, recipe, and the moment at which its models are
        asked.
    """
    request = training_set.request
    layouts = {layout: training_set.columns(layout) for layout in training_set.layouts}
    return {
        "data_source": training_set.data_source,
        "service": request.service,
        "recipe": request.recipe,
        "moment": training_set.recipe.moment,
        "encoding": request.encoding,
        "rows": training_set.rows,
        "columns": layouts["sparse"],
        "layouts": layouts,
        "strays": training_set.strays,
        "digest": training_set.digest,
        "months": {file.partition: file.digest for file in training_set.files},
    }
