"""Registered versions that a blend may be made of: the best of each family, on the same rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.models.blend import BLEND, row_losses
from model_loop.models.blended import family_of_blends
from model_loop.models.evaluation import predicted_of
from model_loop.models.search import SearchRequest
from model_loop.sources.origin import source_label
from model_loop.tracking.deployments import BROUGHT_IN
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.names import SEARCHED
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.matrices import Targets
from model_loop.training_set.types import TrainingSet

#: Tag of the family of a version.
FAMILY_TAG = "MODEL"


@dataclass(frozen=True)
class Candidates:
    """Versions that a blend may be made of.

    Parameters
    ----------
    versions
        Version by the name of its family.
    predicted
        Outcomes of the rows that settings are chosen by, by family, from the best trial.
    refused
        A sentence for each version that is left out, except where its family has a better one.
    """

    versions: dict[str, int]
    predicted: dict[str, Targets]
    refused: tuple[str, ...]


def find_candidates(
    versions: ModelVersions,
    numbers: Sequence[int],
    training_set: TrainingSet,
    request: SearchRequest,
) -> Candidates:
    """Find the best version of each family among some that have judged the same rows.

    Parameters
    ----------
    numbers
        Versions that are looked at.
    training_set
        Training set whose rows count.
    request
        Search whose metric ranks the versions of a family.
    """
    actual = training_set.judged_target(family_of_blends(training_set).layout)
    metric = request.curve_metric
    found: dict[str, tuple[float, int, Targets]] = {}
    refused = []
    for number in sorted(numbers):
        version = versions.find(number)
        family = version.tags.get(FAMILY_TAG, "")
        if family == BLEND or BROUGHT_IN in version.tags:
            continue
        predicted = _predicted(versions, version, training_set, actual)
        if isinstance(predicted, str):
            refused.append(f"{family} (version {number}) is left out: it {predicted}.")
            continue
        loss = float(row_losses(actual, predicted, metric).mean())
        # The newest of equal ones.
        if family not in found or loss <= found[family][0]:
            found[family] = (loss, number, predicted)
    return Candidates(
        {family: number for family, (_, number, _) in found.items()},
        {family: predicted for family, (*_, predicted) in found.items()},
        tuple(refused),
    )


def newest_versions(versions: ModelVersions, moment: Moment) -> list[int]:
    """Return the versions of a moment that were chosen by the same rows as the newest of them.

    Raises
    ------
    InvalidInputError
        If none was trained here.
    """
    registered = versions.tracker.client.search_model_versions(f"name = '{versions.name}'")
    own = {
        int(found.version): found.tags.get("validation_rows")
        for found in registered
        if BROUGHT_IN not in found.tags and versions.known_moment(int(found.version)) == moment
    }
    if not own:
        raise InvalidInputError(
            f"Service {versions.service}",
            f"has no model at the moment {moment}",
            "Train families first.",
        )
    newest = own[max(own)]
    return sorted(number for number, rows in own.items() if rows == newest)


def _predicted(
    versions: ModelVersions, version: ModelVersion, training_set: TrainingSet, actual: Targets
) -> Targets | str:
    """Return what the best trial of a version has predicted, or why that cannot be compared."""
    tags, noun = version.tags, training_set.dataset.rows[0]
    if tags.get("data_source") != training_set.data_source:
        return f"has learned from other {noun} than {source_label(training_set.data_source)}"
    if tags.get("recipe") != training_set.recipe.name:
        return f"knows other columns than the recipe {training_set.recipe.name}"
    other = f"was chosen by other validation {noun}"
    if tags.get("validation_rows") != training_set.rows_digests.get("validation"):
        return other
    content = read_artifact(versions.tracker.client, version.run_id, SEARCHED)
    if content is None:
        return (
            f"has kept no predictions of the validation {noun}, as an earlier version of this "
            "package has trained it"
        )
    table = pd.read_parquet(io.BytesIO(content))
    # Folds, or a sample, may have been drawn otherwise, though the parts are the same.
    if not np.array_equal(table["actual"].to_numpy(), actual):
        return other
    return predicted_of(table)
