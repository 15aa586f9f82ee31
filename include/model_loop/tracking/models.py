"""Results of a model on the tracking server: errors, figures, explanation and comparison."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from model_loop.charts.document import document
from model_loop.charts.models import model_charts
from model_loop.charts.numbers import numbers_of
from model_loop.charts.wording import Wording
from model_loop.errors import optional
from model_loop.models.evaluation import measure_outcomes, predictions_of
from model_loop.models.explanation import Explanation
from model_loop.models.outcomes import predict_outcomes
from model_loop.models.search import Metrics
from model_loop.models.training import TrainedModel
from model_loop.objects.tree import to_tree
from model_loop.sources.origin import is_generated, source_label
from model_loop.tracking.card import model_card
from model_loop.tracking.intervals import write_record
from model_loop.tracking.judging import seen_test_data
from model_loop.tracking.learned import Learned, learned_by
from model_loop.tracking.lines import OtherLineError
from model_loop.tracking.names import (
    ANSWER_TIME,
    CUTS,
    DECISION,
    FIGURES,
    INTERVALS,
    MODEL_CARD,
    NUMBERS,
    SEARCHED,
)
from model_loop.tracking.registry import Load, load_registered
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trained import dataset_of_version, incomparable
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.types import TrainingSet

#: Name of the artifact that compares the families.
COMPARISON = "comparison.json"


def log_model_report(
    tracker: Tracker, run_id: str, trained: TrainedModel, training_set: TrainingSet
) -> None:
    """Log how a model was found, how far off it is and where, and what it needs to know."""
    with tempfile.TemporaryDirectory() as folder:
        write_model_report(Path(folder), trained, training_set, run_id)
        tracker.client.log_artifacts(run_id, folder)


def write_model_report(
    folder: Path, trained: TrainedModel, training_set: TrainingSet, run_id: str = "<run>"
) -> None:
    """Write tables, charts and the card of the model into a folder."""
    dataset = training_set.dataset
    with optional("The card of the model"):
        card = model_card(trained, training_set, run_id)
        (folder / MODEL_CARD).write_text(card, encoding="utf-8")
    with optional("The numbers of the charts"):
        numbers = numbers_of(trained, training_set)
        (folder / NUMBERS).write_text(json.dumps(numbers, separators=(",", ":")))
        with optional("The charts"):
            charts = document(trained.tuned.family, model_charts(numbers, Wording.of(dataset)))
            (folder / FIGURES).write_text(charts, encoding="utf-8")
    if trained.tuned.columns is not None:
        trained.tuned.columns.to_csv(folder / "feature_selection.csv", index=False)
    if (searched := trained.tuned.predicted) is not None:
        # Layouts of large tables may hold a sample of the rows.
        judged = map(training_set.judged_target, training_set.layouts)
        actual = next((each for each in judged if len(each) == len(searched)), None)
        if actual is not None:
            table = predictions_of(actual, searched, np.float64)
            table.to_parquet(folder / SEARCHED, index=False)
    if trained.evaluation is not None:
        evaluation = trained.evaluation
        evaluation.slices.to_csv(folder / "errors_by_slice.csv", index=False)
        cuts = [to_tree(cut)[0] for cut in evaluation.cuts]
        (folder / CUTS).write_text(json.dumps(cuts, indent=1), encoding="utf-8")
        evaluation.predictions.to_parquet(folder / "test_predictions.parquet", index=False)
        content = {"test": asdict(evaluation.metrics), "naive": asdict(evaluation.naive)}
        if evaluation.intervals:
            content["test_intervals"] = dict(evaluation.intervals)
        (folder / "test_metrics.json").write_text(json.dumps(content, indent=1))
    if trained.calibration is not None:
        write_record(folder / INTERVALS, trained.calibration.intervals)
    if trained.decision is not None:
        write_record(folder / DECISION, trained.decision)
    if trained.explanation is not None:
        _write_explanation(folder, trained.explanation)


def _write_explanation(folder: Path, explanation: Explanation) -> None:
    explanation.permutation.to_csv(folder / "permutation_importance.csv", index=False)
    if explanation.shap is not None:
        added, columns = explanation.shap.added, explanation.shap.columns
        table = pd.concat([added, columns.add_prefix("column ")], axis=1)
        table.assign(base=explanation.shap.base).to_parquet(folder / "shap.parquet", index=False)
        if explanation.shap.by_class is not None:
            explanation.shap.by_class.to_csv(folder / "shap_by_class.csv", index=False)


def log_comparison(
    tracker: Tracker,
    run_id: str,
    families: Sequence[Mapping[str, Any]],
    others: Mapping[str, Metrics],
    notes: Mapping[str, str] = MappingProxyType({}),
    *,
    metrics: Sequence[str] = ("rmse", "mae"),
) -> None:
    """Log a table of the families, best first, with what they compare with below them.

    Parameters
    ----------
    families
        Results of each family.
    others
        Errors on the same test rows, by name: of trivial rules, of the champion.
    notes
        Remarks by name: also why a model has no errors here.
    metrics
        Names of the metrics that are shown.
    """
    shown = [f"{part}_{name}" for part in ("validation", "test") for name in metrics]
    # The cost of an answer is measured with blends.
    timed = (ANSWER_TIME,) if any(family.get(ANSWER_TIME) for family in families) else ()
    columns = ("family", *shown, "seconds", *timed)
    rows = [
        [*(family.get(column) for column in columns), family.get("note", "")] for family in families
    ]
    for name in dict.fromkeys((*others, *notes)):
        found = others.get(name)
        errors = [getattr(found, metric) if found else None for metric in metrics]
        untimed = [None for _ in ("seconds", *timed)]
        rows.append([name, *(None for _ in metrics), *errors, *untimed, notes.get(name, "")])
    tracker.log_table(run_id, pd.DataFrame(rows, columns=(*columns, "note")), COMPARISON)


@dataclass(frozen=True)
class ChampionErrors:
    """Errors of the champion on the test rows of a training set.

    Parameters
    ----------
    errors
        Errors by name and version; empty where it is not compared.
    notes
        Remarks by name and version: why it is not compared, or what is not known.
    """

    errors: Mapping[str, Metrics] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def champion_errors(
    tracker: Tracker, training_set: TrainingSet, load: Load = load_registered
) -> ChampionErrors:
    """Measure the champion of the recipe's moment on the test rows that judge the families.

    It is left out, with the reason, where it has learned from rows of another kind or from test
    rows: what it came to could not be compared. Nothing where there is no champion, or no test row.
    """
    rows, dataset = training_set.test_rows, training_set.dataset
    versions = ModelVersions(tracker, training_set.request.service)
    version = versions.standings()[training_set.recipe.moment].champion
    if rows.empty or version is None:
        return ChampionErrors()
    name = versions.name
    title, learned = f"champion (version {version})", learned_by(tracker, name, version)
    if why := _why_not_compared(learned, training_set):
        return ChampionErrors(notes={title: f"not compared: {why}"})
    try:
        champion = load(tracker, name, version)
    except OtherLineError as error:
        return ChampionErrors(notes={title: f"not known: {error.given} {error.rule}"})
    trained = dataset_of_version(name, version, champion.declaration)
    if why := incomparable(dataset, trained, champion.inputs):
        return ChampionErrors(notes={title: f"not compared: {why}"})
    lacking = sorted(set(champion.inputs) - set(rows.columns))
    if lacking:
        why = f"it asks for {', '.join(lacking)}, which this training set does not hold"
        return ChampionErrors(notes={title: f"not compared: {why}"})
    columns = rows[list(champion.inputs)] if champion.inputs else training_set.test_inputs
    predicted = predict_outcomes(champion.model, columns, trained.target)
    threshold = None if champion.decision is None else champion.decision.threshold_in_force
    found = measure_outcomes(training_set.test_target, predicted, dataset.target, threshold)
    unknown = {title: f"not known whether it has learned from the test {dataset.rows[0]}"}
    return ChampionErrors({title: found}, {} if learned.known else unknown)


def _why_not_compared(learned: Learned, training_set: TrainingSet) -> str:
    source = training_set.data_source
    if learned.data_source and learned.generated != is_generated(source):
        return f"it has learned from {learned.label}, and these are {source_label(source)}"
    seen = seen_test_data(learned, training_set)
    if not seen:
        return ""
    return (
        f"it has learned from {seen}: choose test data that neither it nor these families have "
        "learned from"
    )
