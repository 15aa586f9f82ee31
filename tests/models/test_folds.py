"""Settings of small tables are chosen by cross-validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from tests.training_set.test_tables import build
from upath import UPath

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import FAMILIES, XGBOOST
from model_loop.models.fitting import Fit, FitData, prepare
from model_loop.models.search import FeatureSelection, SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects import read_object, write_object
from model_loop.tracking.card import model_card
from model_loop.tracking.lineage import _refit, lineage_of
from model_loop.training_set.types import TrainingSet

TEXT = """
name = "rides"
target = "count"
source = "rides.csv"
primary_key = ["number"]
[columns.number]
type = "id"
"""
#: Of the first seven tables, those in which a single part chooses wrongly; in the others both are
#: right.
SEEDS = (2, 5, 6)
REQUEST = SearchRequest(max_evaluations=2, threads=1)
LINE, FOREST = "linear_model.LinearRegression", "ensemble.RandomForestRegressor"


def noisy(seed: int, rows: int = 150) -> pd.DataFrame:
    """A straight line beneath rare large errors: what a few validation rows say is chance."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 3))
    noise = rng.normal(size=rows) * np.where(rng.random(rows) < 0.1, 12.0, 1.0)
    named = {f"x{place}": values for place, values in enumerate(numbers.T)}
    return pd.DataFrame(
        {"number": np.arange(rows) + 1_000 * seed, **named, "count": numbers.sum(axis=1) + noise}
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """A training set of 150 rows."""
    return build(tmp_path_factory.mktemp("small"), noisy(1), TEXT)


def chosen(training_set: TrainingSet) -> str:
    """Return the family that is better where it is chosen by."""
    losses = {
        name: REQUEST.loss(tune(name, training_set, REQUEST).validation) for name in (LINE, FOREST)
    }
    return min(losses, key=losses.__getitem__)


def test_folds_choose_rightly_where_one_part_does_not(tmp_path: Path) -> None:
    """The line is right; by thirty validation rows the forest seems better in some tables."""
    by_part, by_folds = set(), set()
    for seed in SEEDS:
        training_set = build(tmp_path, noisy(seed), TEXT)
        by_part.add(chosen(dataclasses.replace(training_set, folds={})))
        by_folds.add(chosen(training_set))
    assert by_part == {FOREST}
    assert by_folds == {LINE}


def test_every_learned_row_is_judged_by_a_model_of_the_others(small: TrainingSet) -> None:
    """The error that settings are chosen by is that of all rows of all folds."""
    tuned = tune(LINE, small, REQUEST)
    squares = []
    for fold in small.folds["sparse"]:
        fitted = LinearRegression(**tuned.best.settings).fit(fold.train, fold.train_target)
        squares.append(np.square(fitted.predict(fold.validation) - fold.validation_target))
        assert len(fold.train_target) + len(fold.validation_target) == small.rows["all"]
    assert sum(map(len, squares)) == small.rows["all"]
    expected = float(np.sqrt(np.concatenate(squares).mean()))
    assert tuned.validation.rmse == pytest.approx(expected, rel=1e-9)


def test_rounds_are_those_of_all_folds_together(small: TrainingSet) -> None:
    """Early stopping looks at the error of all judged rows, and the last fit has these rounds."""
    tuned = tune(XGBOOST, small, REQUEST)
    best = tuned.best
    assert best.rounds is not None
    squares = []
    for fold in small.folds["dense"]:
        settings = {**FAMILIES[XGBOOST].fixed, **best.settings}
        model = BoosterRegressor(settings, rounds=best.rounds, threads=1, random_state=42)
        model.fit(fold.train, fold.train_target)
        squares.append(np.square(model.predict(fold.validation) - fold.validation_target))
    assert tuned.validation.rmse == pytest.approx(
        float(np.sqrt(np.concatenate(squares).mean())), rel=1e-5
    )
    assert train(tuned, small, REQUEST).model[-1].rounds == best.rounds


@pytest.mark.parametrize(
    "name", [FOREST, "ensemble.GradientBoostingRegressor", XGBOOST, "linear_model.Lasso"]
)
def test_a_paused_fit_of_folds_ends_as_one_in_one_go(small: TrainingSet, name: str) -> None:
    """Cohorts pause fits, and a killed search makes them again as far as they were."""
    family = FAMILIES[name]
    settings = tune(name, small, REQUEST).best.settings
    data = prepare(family, FitData.of(small, family, REQUEST), REQUEST)
    whole, halted = (Fit(family, settings, data, REQUEST) for _ in range(2))
    whole.advance()
    for pause in (1, 3):
        halted.advance(pause_at=pause)
    halted.advance()
    assert whole.ended
    assert halted.ended
    assert halted.curve == whole.curve
    assert np.array_equal(halted.fitted().predicted, whole.fitted().predicted)


def test_columns_are_chosen_in_each_fold(small: TrainingSet) -> None:
    """By its own train rows: those that it judges say nothing about its columns."""
    selection = FeatureSelection(method="correlation", share=0.4)
    request = dataclasses.replace(REQUEST, feature_selection=selection)
    data = FitData.of(small, FAMILIES[LINE], request)
    assert {fold.train.shape[1] for fold in data.folds} == {data.train.shape[1]}
    assert data.train.shape[1] < small.folds["sparse"][0].train.shape[1]
    assert tune(LINE, small, request).validation.rmse > 0


def test_what_is_chosen_by_is_kept_and_said(small: TrainingSet, tmp_path: Path) -> None:
    """The folds are stored, stand in the card, and a model is made again by them."""
    stored = read_object(write_object(small, UPath(tmp_path), "small"))
    assert stored.digest == small.digest
    assert dataclasses.replace(small, folds={}).digest != small.digest
    tuned = tune(LINE, small, REQUEST)
    trained = train(tuned, stored, REQUEST)
    words = "cross-validation: 5 folds of 120 rows in all, each judged by a model of the rows of"
    assert words in model_card(trained, small)
    lineage = lineage_of(trained, stored, REQUEST)
    again = _refit(lineage, FitData.of(stored, FAMILIES[LINE], REQUEST))
    assert again == tuned.validation
