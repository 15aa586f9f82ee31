"""Tuning and training."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest

from model_loop.models import catalogue
from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import FAMILIES, XGBOOST
from model_loop.models.evaluation import evaluate, measure
from model_loop.models.extras import extra_families
from model_loop.models.search import SearchAlgorithm, SearchRequest, Trial
from model_loop.models.spaces import Categorical
from model_loop.models.training import train
from model_loop.models.tuning import NoTrialSucceededError, tune
from model_loop.training_set.types import TrainingSet

QUICK = SearchRequest(max_evaluations=3, threads=1)


def median_rmse(training_set: TrainingSet) -> float:
    """Error of always saying the median."""
    guess = np.full_like(training_set.validation_target, np.median(training_set.train_target))
    return measure(training_set.validation_target, guess).rmse


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_learns(name: str, sample_training_set: TrainingSet) -> None:
    """Every family beats the median, on validation and, after the final fit, on the test months."""
    tuned = tune(name, sample_training_set, QUICK)
    trained = train(tuned, sample_training_set, QUICK)
    naive = median_rmse(sample_training_set)
    assert tuned.validation.rmse < 0.75 * naive
    assert trained.test is not None
    assert trained.test.rmse < 0.75 * naive


@pytest.mark.parametrize("name", ["svm.LinearSVR", "ensemble.RandomForestRegressor", XGBOOST])
def test_same_seed_same_search(name: str, sample_training_set: TrainingSet) -> None:
    """The same seed gives the same settings and the same errors, to the last bit."""
    first, second = (tune(name, sample_training_set, QUICK) for _ in range(2))
    assert [trial.settings for trial in first.trials] == [trial.settings for trial in second.trials]
    assert [trial.metrics for trial in first.trials] == [trial.metrics for trial in second.trials]
    assert (
        train(first, sample_training_set, QUICK).test
        == train(second, sample_training_set, QUICK).test
    )
    other = tune(name, sample_training_set, dataclasses.replace(QUICK, random_state=1))
    assert other.trials[0].settings != first.trials[0].settings


@pytest.mark.parametrize("algorithm", get_args(SearchAlgorithm))
def test_every_algorithm_searches(
    algorithm: SearchAlgorithm, sample_training_set: TrainingSet
) -> None:
    """Each search algorithm makes as many different trials as it is asked for."""
    request = dataclasses.replace(QUICK, search_algorithm=algorithm)
    tuned = tune("svm.LinearSVR", sample_training_set, request)
    assert [trial.number for trial in tuned.trials] == [0, 1, 2]


@pytest.mark.parametrize(("evaluations", "drawn"), [(6, 5), (20, 10), (50, 20)])
def test_tpe_learns_from_outcomes(
    evaluations: int, drawn: int, sample_training_set: TrainingSet
) -> None:
    """The first trials are those of a random search, the others are not, in short searches too."""
    name = "tree.DecisionTreeRegressor"
    space = {"max_depth": {"low": 1, "high": 4}, "min_samples_leaf": {"low": 0.001, "high": 0.4}}
    family = extra_families({name: space})[name]
    tpe, random = (
        tune(
            family,
            sample_training_set,
            SearchRequest(max_evaluations=evaluations, search_algorithm=algorithm),
        )
        for algorithm in (get_args(SearchAlgorithm)[0], get_args(SearchAlgorithm)[1])
    )
    proposed, at_random = ([trial.settings for trial in one.trials] for one in (tpe, random))
    assert proposed[:drawn] == at_random[:drawn]
    assert not any(settings in at_random for settings in proposed[drawn:])


def test_best_is_the_lowest(sample_training_set: TrainingSet) -> None:
    """The best trial is the one with the lowest validation error."""
    tuned = tune("svm.LinearSVR", sample_training_set, QUICK)
    errors = [trial.metrics.rmse for trial in tuned.trials if trial.metrics]
    assert tuned.validation.rmse == min(errors)


def test_repeated_settings_are_fitted_once(sample_training_set: TrainingSet) -> None:
    """Settings that the search proposes again cost nothing: least squares has only two."""
    request = dataclasses.replace(QUICK, max_evaluations=20)
    tuned = tune("linear_model.LinearRegression", sample_training_set, request)
    assert len(tuned.trials) == 2


def test_each_trial_is_reported(sample_training_set: TrainingSet) -> None:
    """Trials are handed out as they finish, in order."""
    seen: list[Trial] = []
    tuned = tune("svm.LinearSVR", sample_training_set, QUICK, on_trial=seen.append)
    assert sorted(seen, key=lambda trial: trial.number) == list(tuned.trials)


def test_failed_trials_do_not_end_the_search(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that cannot be fitted give a failed trial with its error; the search goes on."""
    family = dataclasses.replace(
        FAMILIES["linear_model.Lasso"], space={"alpha": Categorical((-1.0, 0.01, 0.02))}
    )
    monkeypatch.setattr(catalogue, "FAMILIES", {family.name: family})
    tuned = tune(family.name, sample_training_set, dataclasses.replace(QUICK, max_evaluations=12))
    failed = [trial for trial in tuned.trials if trial.error]
    assert len(failed) == 1
    assert "alpha" in str(failed[0].error)
    assert tuned.best.settings["alpha"] in {0.01, 0.02}


def test_only_failed_trials_are_an_error(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search in which nothing could be fitted says so, with the last error."""
    family = dataclasses.replace(
        FAMILIES["linear_model.Lasso"], space={"alpha": Categorical((-1.0, -2.0))}
    )
    monkeypatch.setattr(catalogue, "FAMILIES", {family.name: family})
    with pytest.raises(NoTrialSucceededError, match=r"Every one of 2 trials.*alpha"):
        tune(family.name, sample_training_set, dataclasses.replace(QUICK, max_evaluations=6))


def test_final_fit_uses_the_rounds_found(sample_training_set: TrainingSet) -> None:
    """XGBoost is refitted with the rounds that validation chose, not stopped on its own rows."""
    tuned = tune(XGBOOST, sample_training_set, QUICK)
    booster = train(tuned, sample_training_set, QUICK).model.named_steps["estimate"]
    assert booster.booster_.num_boosted_rounds() == tuned.best.rounds
    assert tuned.best.rounds is not None
    assert tuned.best.steps[-1] > tuned.best.rounds


def test_model_takes_raw_trips(sample_training_set: TrainingSet) -> None:
    """The trained model needs nothing but raw columns, and knows unseen zones."""
    model = train(tune(XGBOOST, sample_training_set, QUICK), sample_training_set, QUICK).model
    trips = sample_training_set.example_rows.assign(PULocationID=264, passenger_count=np.nan)
    assert np.isfinite(model.predict(trips)).all()


def test_no_test_months_no_test_errors(sample_training_set: TrainingSet) -> None:
    """Without test trips there is nothing to judge by."""
    tuned = tune("linear_model.LinearRegression", sample_training_set, QUICK)
    model = train(tuned, sample_training_set, QUICK).model
    none = sample_training_set.test_rows.iloc[:0]
    assert evaluate(model, dataclasses.replace(sample_training_set, test_rows=none)) is None


def test_errors_are_those_of_the_textbook() -> None:
    """Every metric, of a case that can be checked by hand."""
    metrics = measure(np.array([10.0, 20.0]), [13.0, 16.0])
    assert (metrics.mse, metrics.rmse, metrics.mae) == (12.5, 12.5**0.5, 3.5)
    assert metrics.r2 == pytest.approx(1 - 25 / 50)
    assert (metrics.rae, metrics.rse) == pytest.approx((7 / 10, 25 / 50))


def test_early_stopping_looks_at_validation(sample_training_set: TrainingSet) -> None:
    """The booster keeps the trees up to the best validation round."""
    splits = sample_training_set.layouts["dense"]
    fitted = BoosterRegressor({"max_depth": 6}, early_stopping_rounds=5, threads=1).fit(
        splits.train,
        sample_training_set.train_target,
        (splits.validation, sample_training_set.validation_target),
    )
    assert fitted.best_rounds_ == int(np.argmin(fitted.curve_)) + 1
    error = measure(sample_training_set.validation_target, fitted.predict(splits.validation)).rmse
    assert error == pytest.approx(min(fitted.curve_), rel=1e-5)


@pytest.mark.parametrize("algorithm", get_args(SearchAlgorithm))
def test_however_short_the_time_one_trial_is_evaluated(
    algorithm: SearchAlgorithm, sample_training_set: TrainingSet
) -> None:
    """A time budget that is over before anything began still finds a model."""
    request = SearchRequest(
        max_evaluations=5, search_algorithm=algorithm, time_budget_seconds=1e-9, threads=1
    )
    tuned = tune("linear_model.Lasso", sample_training_set, request)
    assert len(tuned.trials) == 1
    assert tuned.best.metrics is not None
