"""What a model came to, on the tracking server: errors, figures, explanation and comparison."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from trip_duration.charts import models as charts
from trip_duration.charts.numbers import numbers_of
from trip_duration.errors import optional
from trip_duration.models.evaluation import measure
from trip_duration.models.explanation import Explanation
from trip_duration.models.search import Metrics
from trip_duration.models.training import TrainedModel
from trip_duration.tracking.names import NUMBERS
from trip_duration.tracking.registry import load_registered
from trip_duration.tracking.runs import Tracker
from trip_duration.tracking.versions import ModelVersions
from trip_duration.training_set.recipes import get_recipe
from trip_duration.training_set.types import TrainingSet
from trip_duration.trips.services import DURATION

logger = logging.getLogger(__name__)

#: Name of the artifact that compares the families.
COMPARISON = "comparison.json"


def log_model_report(tracker: Tracker, run_id: str, trained: TrainedModel) -> None:
    """Log how a model was found, how far off it is and where, and what it needs to know."""
    with tempfile.TemporaryDirectory() as folder:
        write_model_report(Path(folder), trained)
        tracker.client.log_artifacts(run_id, folder)


def write_model_report(folder: Path, trained: TrainedModel) -> None:
    """Write tables and figures into a folder."""
    with optional("What the dashboard draws"):
        (folder / NUMBERS).write_text(json.dumps(numbers_of(trained), separators=(",", ":")))
    figures = folder / "figures"
    figures.mkdir()
    with optional("The figure of the learning curves"):
        charts.learning_curves(trained.tuned).savefig(figures / "learning_curves.png")
    if trained.tuned.columns is not None:
        trained.tuned.columns.to_csv(folder / "feature_selection.csv", index=False)
    if trained.evaluation is not None:
        evaluation = trained.evaluation
        evaluation.slices.to_csv(folder / "errors_by_slice.csv", index=False)
        evaluation.predictions.to_parquet(folder / "test_predictions.parquet", index=False)
        content = {"test": asdict(evaluation.metrics), "naive": asdict(evaluation.naive)}
        (folder / "test_metrics.json").write_text(json.dumps(content, indent=1))
        for name, draw in charts.FIGURES.items():
            with optional(f"The figure {name}"):
                draw(evaluation).savefig(figures / f"{name}.png")
    if trained.explanation is not None:
        _write_explanation(folder, trained.explanation)


def _write_explanation(folder: Path, explanation: Explanation) -> None:
    figures = folder / "figures"
    explanation.permutation.to_csv(folder / "permutation_importance.csv", index=False)
    with optional("The figure of the permutation importances"):
        charts.importances(explanation.permutation).savefig(figures / "permutation_importance.png")
    if explanation.shap is not None:
        minutes, columns = explanation.shap.minutes, explanation.shap.columns
        table = pd.concat([minutes, columns.add_prefix("column ")], axis=1)
        table.assign(base=explanation.shap.base).to_parquet(folder / "shap.parquet", index=False)
        for name, draw in charts.SHAP_FIGURES.items():
            with optional(f"The figure {name}"):
                draw(explanation.shap).savefig(figures / f"{name}.png", bbox_inches="tight")


def log_comparison(
    tracker: Tracker,
    run_id: str,
    families: Sequence[Mapping[str, Any]],
    others: Mapping[str, Metrics],
) -> None:
    """Log a table of the families, best first, with what they compare with below them.

    Parameters
    ----------
    families
        Results of each family.
    others
        Errors on the same test months, by name: of the naive median, of the champion.
    """
    columns = ("family", "validation_rmse", "validation_mae", "test_rmse", "test_mae", "seconds")
    rows = [[family[column] for column in columns] for family in families]
    rows += [[name, None, None, found.rmse, found.mae, None] for name, found in others.items()]
    tracker.log_table(run_id, pd.DataFrame(rows, columns=columns), COMPARISON)


def champion_errors(tracker: Tracker, training_set: TrainingSet) -> dict[str, Metrics]:
    """Errors of the champion of the recipe's moment on the test months, by its name and version.

    Nothing where there is no champion, no test month, or where the champion needs columns that the
    recipe does not hold.
    """
    request, trips = training_set.request, training_set.test_trips
    versions = ModelVersions(tracker, request.service)
    version = versions.standings()[get_recipe(request.recipe).moment].champion
    if trips.empty or version is None:
        return {}
    champion = load_registered(tracker, versions.name, version).model
    needed = get_recipe(champion.named_steps["encode"].recipe).columns
    if not set(needed) <= set(trips.columns):
        logger.info("Champion %d knows %s: it cannot be compared", version, ", ".join(needed))
        return {}
    found = measure(trips[DURATION].to_numpy(), champion.predict(trips[list(needed)]))
    return {f"champion (version {version})": found}
