"""Forms and requests of trainings whose target is a class."""

from __future__ import annotations

from typing import Any

import pytest

from model_loop.datasets.registry import get_dataset
from model_loop.errors import InvalidInputError
from model_loop.models.search import CLASS_METRICS, NUMBER_METRICS
from model_loop.orchestration.alerts import announcements
from model_loop.orchestration.forms import retraining_form, sklearn_form
from model_loop.orchestration.steps.requests import search_request
from model_loop.orchestration.steps.training import choose_models

PATIENTS, RENTALS = get_dataset("diabetes"), get_dataset("bikes")


def values(dataset: Any) -> dict[str, Any]:
    """The values of an untouched form."""
    return {name: param.value for name, param in sklearn_form(dataset).items()} | {
        "service": dataset.name
    }


def test_a_form_offers_the_metrics_and_families_of_its_target() -> None:
    """Those of the other kind are no choices."""
    for dataset, metrics in ((PATIENTS, CLASS_METRICS), (RENTALS, NUMBER_METRICS)):
        for form in (sklearn_form(dataset), retraining_form(dataset)):
            field = form["primary_metric"]
            assert (field.value, field.schema["enum"]) == (metrics[0], [*metrics])
    form = sklearn_form(PATIENTS)
    assert form["models"].value == [
        "linear_model.LogisticRegression",
        "linear_model.LogisticRegressionL1",
        "svm.LinearSVC",
        "ensemble.ExtraTreesClassifier",
        "ensemble.GradientBoostingClassifier",
        "ensemble.RandomForestClassifier",
    ]
    forms = (form, sklearn_form(RENTALS))
    said, of_numbers = (each["extra_models"].description or "" for each in forms)
    assert "classifiers of scikit-learn" in said
    assert "Regressor" not in said
    assert "Classifier" not in of_numbers


def test_an_untouched_form_trains_the_families_of_its_target() -> None:
    """By the metric of its target; a wrong one is refused by name."""
    params = values(PATIENTS)
    assert {*choose_models(params)} == {*params["models"]}
    assert search_request(params).primary_metric == "log_loss"
    assert search_request(values(RENTALS)).primary_metric == "rmse"
    with pytest.raises(InvalidInputError, match="Primary metric 'mae' is of numbers"):
        search_request(params | {"primary_metric": "mae"})
    with pytest.raises(InvalidInputError, match="Primary metric 'roc_auc' is of classes"):
        search_request(values(RENTALS) | {"primary_metric": "roc_auc"})
    with pytest.raises(InvalidInputError, match=r"'linear_model.Lasso' learns numbers"):
        choose_models(params | {"models": ["linear_model.Lasso"]})
    added = {"tree.DecisionTreeClassifier": {"max_depth": 3}}
    assert choose_models(params | {"models": [], "extra_models": added}) == [*added]
    with pytest.raises(InvalidInputError, match="not a scikit-learn classifier"):
        choose_models(params | {"extra_models": {"tree.DecisionTreeRegressor": {}}})


@pytest.mark.parametrize(
    ("listed", "classifiers", "regressors"),
    [("linear_model.Lasso, svm.LinearSVC", 1, 1), ("linear_model.Lasso", 6, 1), ("", 6, 6)],
)
def test_the_setting_names_families_of_both_kinds(
    listed: str, classifiers: int, regressors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form has those of its target; all of them where none is named."""
    monkeypatch.setenv("MODEL_LOOP_SKLEARN_MODELS", listed)
    assert len(sklearn_form(PATIENTS)["models"].value) == classifiers
    assert len(sklearn_form(RENTALS)["models"].value) == regressors


def test_the_mail_of_a_training_says_the_log_loss() -> None:
    """With the same columns as that of a number."""
    family = {
        "family": "xgboost",
        "validation_log_loss": 0.1234,
        "test_log_loss": None,
        "evaluations": 3,
        "seconds": 4.0,
    }
    results = {
        "families": [family],
        "service": "diabetes",
        "recipe": "request",
        "data_source": "files",
        "encoding": "native",
        "training_set": "abc",
        "run_id": "1",
        "run_url": "http://127.0.0.1",
    }
    alert = announcements.success("diabetes__xgboost_training", "r", results)
    assert "xgboost, log loss 0.123" in alert.subject
    assert alert.table is not None
    assert alert.table.headings[1:3] == ("Validation log loss", "Test log loss")
    assert alert.table.rows[0][1:3] == ("0.123", "")
