"""The report of a classifier: its card, and the numbers that its figures show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.parcels import build_parcels, declared, write_parcels

from model_loop.charts.groups import DISCLAIMER
from model_loop.models.evaluation import predicted_of
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.tracking.models import write_model_report
from model_loop.training_set.types import TrainingSet

BINARY = """kind = "binary"
positive_class = "late"
positive_when = "days > 4"
negative_class = "in time"
"""
MARKED = 'type = "category"\ngroup_report = true\n[columns.weight]\ngroup_report = true'
REQUEST = SearchRequest(max_evaluations=2, primary_metric="log_loss", threads=1)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Parcels that are late or in time."""
    folder = tmp_path_factory.mktemp("parcels")
    source = write_parcels(folder / "parcels.csv", 1_500)
    by_month = 'target = "days"\npartition = "month"'
    changes = {
        'target = "days"': by_month,
        'unit = "d"': BINARY,
        'type = "category"\n[columns.weight]': MARKED,
    }
    return build_parcels(folder, declared(source, "late_parcels", **changes))


@pytest.fixture(scope="module")
def trained(parcels: TrainingSet) -> TrainedModel:
    """A classifier of them, made of trees."""
    return train(tune("ensemble.RandomForestClassifier", parcels, REQUEST), parcels, REQUEST)


@pytest.fixture(scope="module")
def report(
    parcels: TrainingSet, trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of its report."""
    folder = tmp_path_factory.mktemp("report")
    write_model_report(folder, trained, parcels)
    return folder


@pytest.fixture(scope="module")
def test_numbers(report: Path) -> dict[str, Any]:
    """Numbers of the test rows, as they are stored."""
    numbers: dict[str, Any] = json.loads((report / "numbers.json").read_text())
    return dict(numbers["test"])


def test_the_card_tells_what_a_class_is(report: Path, parcels: TrainingSet) -> None:
    """Its classes with their shares, its scores beside the baselines, and how it is asked."""
    card = (report / "model_card.md").read_text()
    share = (parcels.test_target == 1).mean()
    assert "predicts whether delivery time = late of a row" in card
    assert "The positive class is late" in card
    assert f"{(parcels.test_target == 1).sum():,} | {share:.1%}".replace("%", " %") in card
    scores = card.partition("## Scores")[2].partition("## ")[0]
    assert "| the model |" in scores
    assert "baseline: " in scores
    assert "log loss | ROC AUC | average precision | Brier score | accuracy" in scores
    assert "predict_proba(rows)" in card
    assert "RMSE" not in card


def test_the_card_says_how_probabilities_become_answers(
    report: Path, trained: TrainedModel
) -> None:
    """The threshold with its reason, the calibration with its error, and intervals of scores."""
    card = (report / "model_card.md").read_text()
    decision = trained.decision
    assert decision is not None
    assert decision.threshold is not None
    section = card.partition("## Threshold and calibration")[2].partition("\n## ")[0]
    assert f"From a probability of {decision.threshold:.4g} on, the answer is late: " in section
    assert decision.threshold_reason in section
    assert f"Calibration: {decision.calibration} (" in section
    assert f"| as it is | {decision.rows:,} that chose it |" in section
    assert "| as it is | test |" in section
    assert ("| before |" in section) == (decision.calibration != "none")
    assert trained.evaluation is not None
    low, high = trained.evaluation.intervals["log_loss"]
    assert f"| its 95 % interval | {low:.3g} to {high:.3g} |" in card


def test_the_card_describes_groups_and_judges_none(report: Path, parcels: TrainingSet) -> None:
    """Of both columns that are marked: categories as they are, numbers in bands."""
    card = (report / "model_card.md").read_text()
    groups = card.partition("## Groups")[2].partition("\n## ")[0]
    assert DISCLAIMER in groups
    by_carrier, by_weight = groups.split("by weight:")
    for name, count in parcels.test_rows.carrier.value_counts().items():
        assert f"| {name} | {count} |" in by_carrier
    assert "below " in by_weight
    assert "and more" in by_weight


def test_groups_are_counted_at_the_threshold_in_force(
    test_numbers: dict[str, Any], trained: TrainedModel, parcels: TrainingSet
) -> None:
    """Recall of a group is the share of its late parcels that are called late."""
    assert trained.evaluation is not None
    predicted = predicted_of(trained.evaluation.predictions)
    called = predicted >= test_numbers["threshold"]
    late, ants = parcels.test_target == 1, (parcels.test_rows.carrier == "ant").to_numpy()
    report = next(each for each in test_numbers["groups"] if each["column"] == "carrier")
    rates = {each["group"]: each for each in report["rates"]}
    assert rates["ant"]["recall"]["value"] == pytest.approx(called[ants & late].mean())
    assert rates["ant"]["recall"]["rows"] == (ants & late).sum()
    assert rates[""]["selection"]["value"] == pytest.approx(called.mean())


def test_numbers_are_those_of_the_evaluation(
    test_numbers: dict[str, Any], trained: TrainedModel, parcels: TrainingSet
) -> None:
    """Areas, counts and slices agree with the metrics; each partition has its classes."""
    assert trained.evaluation is not None
    metrics = trained.evaluation.metrics
    assert trained.decision is not None
    assert test_numbers["threshold"] == trained.decision.threshold
    (curve,) = test_numbers["curves"]
    assert curve["area"] == pytest.approx(metrics.roc_auc, abs=1e-4)
    assert curve["average_precision"] == pytest.approx(metrics.average_precision, abs=1e-4)
    confusion = test_numbers["confusion"]
    _, _, misses, hits = confusion["counts"][confusion["in_force"]]
    assert hits / (hits + misses) == pytest.approx(metrics.recall)
    assert np.sum(confusion["counts"], axis=1).tolist() == [len(parcels.test_rows)] * len(
        confusion["counts"]
    )
    predicted, late = predicted_of(trained.evaluation.predictions), parcels.test_target == 1
    called = predicted >= test_numbers["threshold"]
    cat = (parcels.test_rows.carrier == "cat").to_numpy()
    (slice_,) = (each for each in test_numbers["slices"] if each["value"] == "cat")
    assert slice_["recall"] == pytest.approx(called[cat & late].mean(), abs=1e-4)
    assert slice_["precision"] == pytest.approx(late[cat & called].mean(), abs=1e-4)
    partitions = test_numbers["partitions"]
    assert [each["partition"] for each in partitions] == list(parcels.partitions("test"))
    assert (
        np.sum([each["actual"] for each in partitions], axis=0).tolist() == test_numbers["counts"]
    )


def test_figures_and_explanation_are_written(report: Path) -> None:
    """Charts of classes and groups, and SHAP values in their scale."""
    html = (report / "figures.html").read_text()
    for name in (
        *("roc_curve", "precision_recall_curve", "confusion_by_threshold", "reliability"),
        *("cumulative_gains", "lift", "class_shares", "recall_by_carrier_late"),
        *("calibration_by_weight_late", "shap_bar", "permutation_importance"),
    ):
        assert html.count(f'<figure id="{name}">') == 1, name
    assert "mean |SHAP| (probability)" in html
    assert "residuals" not in html.partition("application/octet-stream")[0]
