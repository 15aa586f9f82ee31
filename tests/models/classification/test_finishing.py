"""Trained classifiers: calibrated where needed, with a threshold, and measured with intervals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.model_selection import FixedThresholdClassifier
from tests.outcomes import LATE, build_late, build_letters
from upath import UPath

from model_loop.intervals.residuals import Residuals
from model_loop.models.calibrating import residuals_of
from model_loop.models.catalogue import get_family
from model_loop.models.classification.decision import Decision
from model_loop.models.classification.finishing import finish_classifier
from model_loop.models.evaluation import Evaluation
from model_loop.models.outcomes import parts_of_classifier, predict_outcomes
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.objects import read_object, write_object
from model_loop.objects.documents import record_of
from model_loop.objects.tree import to_tree
from model_loop.objects.trust import dump_estimator, load_estimator
from model_loop.training_set.types import TrainingSet

SEARCH = SearchRequest(max_evaluations=2, threads=1, primary_metric="log_loss")
LINE, FOREST = "linear_model.LogisticRegression", "ensemble.RandomForestClassifier"


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Parcels that come late or not, by time."""
    return build_late(tmp_path_factory.mktemp("late"))


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Letters of three kinds, without a time."""
    return build_letters(tmp_path_factory.mktemp("letters"))


def trained_on(training_set: TrainingSet, name: str) -> TrainedModel:
    """Tune and train a family."""
    family = get_family(name, training_set.target.kind)
    return train(tune(family, training_set, SEARCH), training_set, SEARCH, family)


def decision_of(trained: TrainedModel) -> Decision:
    """Return the decision of a classifier."""
    assert trained.decision is not None
    return trained.decision


def evaluation_of(trained: TrainedModel) -> Evaluation:
    """Return the evaluation of a model that has one."""
    assert trained.evaluation is not None
    return trained.evaluation


@pytest.mark.parametrize("name", [LINE, FOREST, "xgboost"])
def test_a_trained_classifier_answers_at_its_threshold(late: TrainingSet, name: str) -> None:
    """Labels follow from the stored probabilities and the threshold that is stored beside them."""
    trained = trained_on(late, name)
    decision, model = decision_of(trained), trained.model
    assert (decision.labels, decision.positive) == (("in time", "late"), "late")
    assert decision.threshold_origin == "validation"
    assert decision.threshold == parts_of_classifier(model.steps[-1][1]).threshold
    predicted = predict_outcomes(model, late.test_inputs, late.target)
    assert decision.threshold is not None
    expected = np.where(predicted >= decision.threshold, "late", "in time")
    again = load_estimator(dump_estimator(model))
    assert again.predict(late.test_inputs).tolist() == expected.tolist()
    metrics = evaluation_of(trained).metrics
    assert metrics.accuracy == pytest.approx(np.mean(late.test_target == (expected == "late")))
    assert metrics.log_loss < evaluation_of(trained).naive.log_loss / 2


def test_it_is_chosen_by_validation_rows(late: TrainingSet) -> None:
    """No row of the test part, and none that the predicting model has learned from, decides."""
    trained = trained_on(late, LINE)
    decision = decision_of(trained)
    assert decision.rows == len(late.validation_target)
    assert decision.digest == late.rows_digests["validation"]
    family = get_family(LINE, "binary")
    handed = residuals_of(trained.model, trained.tuned, late, SEARCH, family)
    assert handed.predicted is trained.tuned.predicted
    # Without what the search has handed on, one more fit gives the same.
    alone = dataclasses.replace(trained.tuned, predicted=None)
    fitted = residuals_of(trained.model, alone, late, SEARCH, family)
    np.testing.assert_allclose(fitted.predicted, handed.predicted, atol=1e-6)


def test_every_metric_has_an_interval(late: TrainingSet, tmp_path: Path) -> None:
    """It holds the value, and is stored with the model."""
    trained = trained_on(late, LINE)
    evaluation = evaluation_of(trained)
    for name, value in dataclasses.asdict(evaluation.metrics).items():
        low, high = evaluation.intervals[name]
        assert low <= value <= high
    metrics = decision_of(trained).metrics
    assert 0 <= metrics["calibration_error_test"] < 0.1
    again = read_object(write_object(trained, UPath(tmp_path.as_uri()), "trained"))
    assert again.decision == trained.decision
    assert again.evaluation.intervals == evaluation.intervals


@pytest.mark.parametrize(
    ("further", "origin", "threshold"),
    [
        ("threshold = 0.7\n", "declared", 0.7),
        ("cost = {false_alarm = 1, miss = 3}\n", "cost", 0.25),
    ],
)
def test_the_dataset_may_state_a_threshold_or_a_cost(
    tmp_path: Path, further: str, origin: str, threshold: float
) -> None:
    """It goes before validation."""
    trained = trained_on(build_late(tmp_path, 600, LATE + further), LINE)
    decision = decision_of(trained)
    assert decision.threshold_origin == origin
    assert decision.threshold == pytest.approx(threshold)


def too_sure(of: Residuals, factor: float = 4.0) -> Residuals:
    """Return residuals whose logits are too large."""
    chances = np.clip(of.predicted, 1e-6, 1 - 1e-6)
    return dataclasses.replace(of, predicted=expit(factor * logit(chances)))


@pytest.mark.parametrize("positive", ["late", "in time"])
@pytest.mark.parametrize("name", [LINE, FOREST])
def test_probabilities_are_mended_whichever_class_is_positive(
    tmp_path: Path, positive: str, name: str
) -> None:
    """The positive class may be the first of the classifier's; sure probabilities become less."""
    task = LATE
    if positive == "in time":
        task = LATE.replace("late", "?").replace("in time", "late").replace("?", "in time")
        task = task.replace("days > 5", "days <= 5")
    training_set = build_late(tmp_path, task=task)
    trained = trained_on(training_set, name)
    family = get_family(name, "binary")
    residuals = residuals_of(trained.model, trained.tuned, training_set, SEARCH, family)
    base = train(trained.tuned, training_set, SEARCH, family, calibrated=False).model
    model, decision = finish_classifier(base, too_sure(residuals), training_set, family.layout)
    assert decision.calibration in {"sigmoid", "isotonic"}
    assert decision.error_before is not None
    assert decision.error_after is not None
    assert decision.error_after < decision.error_before
    estimate = model.steps[-1][1]
    assert isinstance(estimate, FixedThresholdClassifier)
    assert estimate.pos_label == positive
    before, after = (
        predict_outcomes(each, training_set.test_inputs, training_set.target)
        for each in (base, model)
    )
    assert np.corrcoef(before, after)[0, 1] > 0.9
    assert np.abs(after - 0.5).mean() < np.abs(before - 0.5).mean()
    again = load_estimator(dump_estimator(model))
    names = [positive, "in time" if positive == "late" else "late"]
    assert decision.threshold is not None
    called = np.where(after >= decision.threshold, *names)
    np.testing.assert_array_equal(again.predict(training_set.test_inputs), called)


def test_several_classes_have_sets_that_hold(letters: TrainingSet) -> None:
    """Coverage is measured on the test rows; the decision is read back as it was written."""
    trained = trained_on(letters, FOREST)
    decision = decision_of(trained)
    assert decision.labels == ("bill", "card", "note")
    assert decision.threshold is None
    assert len(decision.set_scores) == 100
    metrics = decision.metrics
    assert 0.85 <= metrics["set_coverage_90_test"] <= 0.95
    assert 1 <= metrics["set_size_80_test"] <= metrics["set_size_90_test"] < 3
    assert record_of(Decision, to_tree(decision)[0]) == decision
    predicted = predict_outcomes(trained.model, letters.test_inputs, letters.target)
    sets = decision.classes_at(90.0, predicted)
    first = [names[0] for names in sets]
    assert first == trained.model.predict(letters.test_inputs).tolist()
