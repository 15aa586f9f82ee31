"""Searches whose trials see a sample: the best are judged again, by the rows that judge others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.models.test_resuming import MemoryStore
from tests.parcels import build_parcels, declared, write_parcels

from model_loop.models import fitting, tuning
from model_loop.models.calibrating import residuals_of
from model_loop.models.catalogue import XGBOOST, get_family
from model_loop.models.evaluation import measure, measure_outcomes
from model_loop.models.journal import TrialJournal
from model_loop.models.search import FeatureSelection, SearchRequest, TuningResult
from model_loop.models.training import train
from model_loop.models.tuning import FINALISTS, NoTrialSucceededError, tune
from model_loop.objects.tree import from_tree, to_tree
from model_loop.tracking.card import model_card
from model_loop.tracking.lineage import _judged_data, _refit, lineage_of
from model_loop.training_set.sampling import learned_sample, train_sample
from model_loop.training_set.types import TrainingSet

FOREST = "ensemble.RandomForestRegressor"
LASSO = "linear_model.Lasso"
SAMPLE = 120
SEARCH = SearchRequest(max_evaluations=6, threads=1, sample_rows=SAMPLE)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A training set with some thousand train rows, chosen by validation."""
    folder = tmp_path_factory.mktemp("sampled")
    found = build_parcels(folder, declared(write_parcels(folder / "parcels.csv", 4_000)))
    assert not found.folds
    assert found.rows["train"] > 10 * SAMPLE
    assert found.rows["validation"] > SAMPLE
    return found


def fit_of(settings: Any, data: fitting.FitData, family: str) -> fitting.Fitted:
    """Fit settings to their end."""
    fit = fitting.Fit(get_family(family), settings, data, SEARCH)
    fit.advance()
    return fit.fitted()


@pytest.mark.parametrize(("family", "again"), [(LASSO, 10 * SAMPLE), (FOREST, SAMPLE)])
def test_the_best_are_judged_again_by_all_validation_rows(
    family: str, again: int, parcels: TrainingSet
) -> None:
    """Three trials are fitted on ten times as many rows, forests on the sample; the best wins."""
    tuned = tune(family, parcels, SEARCH)
    sampled = tuned.sampled
    assert sampled is not None
    assert (sampled.train_rows, sampled.judged_rows) == (SAMPLE, SAMPLE)
    assert sampled.again_rows == again
    finished = sorted(
        (trial for trial in tuned.trials if trial.finished and trial.metrics),
        key=lambda each: each.metrics.rmse if each.metrics else np.inf,
    )
    assert [each.number for each in sampled.finalists] == [
        each.number for each in finished[:FINALISTS]
    ]
    known = get_family(family)
    data = fitting.FitData.of(parcels, known, SEARCH, train_rows=again)
    assert len(data.train_target) == again
    errors = []
    for finalist in sampled.finalists:
        predicted = fit_of(finalist.settings, data, family).predicted
        assert len(predicted) == parcels.rows["validation"]
        assert finalist.metrics == measure(parcels.validation_target, predicted)
        errors.append(finalist.metrics.rmse)
    assert tuned.validation.rmse == min(errors)
    assert sampled.regret == errors[0] - min(errors)
    assert tuned.predicted is not None
    assert measure(parcels.validation_target, tuned.predicted) == tuned.validation


def test_regret_is_what_the_sample_would_have_cost(
    parcels: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first of the sample is the worst of the finalists, the last one wins."""
    losses = iter([7.0, 5.0, 4.0])

    def measured(actual: Any, *arguments: Any) -> Any:
        found = measure_outcomes(actual, *arguments)
        whole = len(actual) == parcels.rows["validation"]
        return dataclasses.replace(found, rmse=next(losses)) if whole else found

    monkeypatch.setattr(tuning, "measure_outcomes", measured)
    tuned = tune(LASSO, parcels, SEARCH)
    assert tuned.sampled is not None
    assert tuned.sampled.regret == 3.0
    assert tuned.best == tuned.sampled.finalists[2]


@pytest.mark.parametrize("rows", [0, 4_000])
@pytest.mark.parametrize("family", [LASSO, FOREST])
def test_tables_that_fit_are_searched_whole(family: str, rows: int, parcels: TrainingSet) -> None:
    """Nothing is drawn where there are no more rows, or where all are asked for."""
    tuned = tune(family, parcels, dataclasses.replace(SEARCH, max_evaluations=2, sample_rows=rows))
    assert tuned.sampled is None
    assert tuned.validation == min(
        (trial.metrics for trial in tuned.trials if trial.metrics), key=lambda each: each.rmse
    )


def test_forests_are_fitted_on_the_sample_and_others_on_all(parcels: TrainingSet) -> None:
    """The final fit of a forest is that of the drawn rows, said in its card; lines take all."""
    request = dataclasses.replace(SEARCH, max_evaluations=2)
    forest, line = (
        train(tune(name, parcels, request), parcels, request) for name in (FOREST, LASSO)
    )
    assert (forest.rows, line.rows) == (SAMPLE, parcels.rows["all"])
    drawn = learned_sample(parcels, SAMPLE, request.random_state)
    assert drawn is not None
    matrix = parcels.layouts["dense"].train_validation[drawn]
    again = forest.model[-1].__class__(**forest.model[-1].get_params())
    again.fit(matrix, parcels.train_validation_target[drawn])
    inputs = forest.model[0].transform(parcels.test_inputs)
    assert np.array_equal(again.predict(inputs), forest.model.predict(parcels.test_inputs))
    card = " ".join(model_card(forest, parcels, "run").split())
    assert f"on {SAMPLE:,} of {parcels.rows['all']:,} rows" in card
    assert f"judged by {parcels.rows['validation']:,} validation rows" in card
    whole = " ".join(model_card(line, parcels, "run").split())
    assert f"on {parcels.rows['all']:,} rows (train and validation)" in whole


def test_intervals_are_of_rows_that_the_finalist_has_not_learned_from(
    parcels: TrainingSet,
) -> None:
    """Residuals are those of all validation rows, whether handed on or fitted again."""
    tuned = tune(FOREST, parcels, SEARCH)
    trained = train(tuned, parcels, SEARCH)
    forgotten = dataclasses.replace(tuned, predicted=None)
    handed, fitted = (
        residuals_of(trained.model, each, parcels, SEARCH, get_family(FOREST))
        for each in (tuned, forgotten)
    )
    assert len(handed.actual) == parcels.rows["validation"]
    assert np.array_equal(handed.predicted, fitted.predicted)


def test_a_search_begun_again_judges_no_finalist_twice(
    parcels: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finalists are in the journal like trials: a cleared task fits nothing."""
    store = MemoryStore()

    def search() -> TuningResult:
        journal = TrialJournal(store, XGBOOST, parcels.digest, SEARCH)
        return tune(XGBOOST, parcels, SEARCH, journal=journal)

    first = search()
    kept = dict(store.values)
    monkeypatch.setattr(fitting, "Fit", None)
    again = search()
    assert store.values == kept
    assert first.sampled is not None
    assert again.sampled == first.sampled
    assert again.best == first.best


def test_a_finalist_that_kills_its_process_is_given_up(
    parcels: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice killed at the first one, which takes the most memory, the search goes on without it."""
    store, advance = MemoryStore(), fitting.Fit.advance

    def search() -> TuningResult:
        return tune(LASSO, parcels, SEARCH, journal=TrialJournal(store, LASSO, "x", SEARCH))

    def die(self: fitting.Fit, *arguments: Any, **options: Any) -> None:
        if len(self._growth.data.train_target) > SAMPLE:  # type: ignore[attr-defined]  # of Lasso
            raise KeyboardInterrupt
        advance(self, *arguments, **options)

    # The first process begins, and is killed; each that follows is at the same fit.
    monkeypatch.setattr(fitting.Fit, "advance", die)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search()
    monkeypatch.undo()
    found = search()
    assert found.sampled is not None
    first, *others = found.sampled.finalists
    assert "killed its process 2 times" in str(first.error)
    assert all(trial.finished for trial in others)
    assert found.best.number in {trial.number for trial in others}


def test_a_version_is_fitted_again_on_the_rows_that_judged_it(parcels: TrainingSet) -> None:
    """A reproduction draws what the finalist has learned from, with the columns of the trials."""
    selection = FeatureSelection("correlation", 0.5)
    request = dataclasses.replace(SEARCH, max_evaluations=2, feature_selection=selection)
    trained = train(tune(FOREST, parcels, request), parcels, request)
    lineage = lineage_of(trained, parcels, request, get_family(FOREST))
    data = _judged_data(lineage, parcels)
    assert len(data.train_target) == SAMPLE
    assert _refit(lineage, data) == trained.tuned.validation


def test_searches_of_before_are_of_all_rows() -> None:
    """What an older version has stored names no sample: it had none."""
    stored = to_tree(SearchRequest())[0]
    former = {name: value for name, value in stored.items() if name != "sample_rows"}
    request = from_tree({**former, "format": "search_request/1"}, {})
    assert isinstance(request, SearchRequest)
    assert request.sample_rows == 0


def test_finalists_that_all_fail_are_said(
    parcels: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little memory for more rows is an error that says how many, and what to do."""
    advance: Callable[..., None] = fitting.Fit.advance

    def fail(self: fitting.Fit, *arguments: Any, **options: Any) -> None:
        if len(self._growth.data.train_target) > SAMPLE:  # type: ignore[attr-defined]  # of Lasso
            raise MemoryError
        advance(self, *arguments, **options)

    monkeypatch.setattr(fitting.Fit, "advance", fail)
    with pytest.raises(NoTrialSucceededError, match=r"failed on 1,200 rows.*fewer sample rows"):
        tune(LASSO, parcels, SEARCH)


def test_days_of_train_rows_are_known(parcels: TrainingSet) -> None:
    """A sample holds rows of each day, so that it is no matter how rows are ordered."""
    days = parcels.train_days
    assert days is not None
    drawn = train_sample(parcels, SAMPLE, 0)
    assert drawn is not None
    counts = np.unique(days, return_counts=True)[1]
    shares = np.searchsorted(np.unique(days), days[drawn])
    held = np.bincount(shares, minlength=len(counts))
    assert np.abs(held - counts * SAMPLE / len(days)).max() < 2
