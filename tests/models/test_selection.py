"""Which columns a family gets to see."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import XGBOOST
from model_loop.models.search import FeatureSelection, SearchRequest, SelectionMethod
from model_loop.models.selection import score_columns, selector
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects.trust import dump_estimator, load_estimator
from model_loop.training_set.types import TrainingSet

METHODS = [method for method in get_args(SelectionMethod) if method != "none"]
RANDOM = np.random.default_rng(0)
TELLING = RANDOM.uniform(0, 1, (2_000, 1)).astype(np.float32)
NOISE = RANDOM.uniform(0, 1, (2_000, 3)).astype(np.float32)
MINUTES = 5 + 30 * TELLING[:, 0].astype(np.float64) + RANDOM.normal(0, 1, 2_000)
NAMES = ("noise", "telling", "more noise", "further noise")
MATRIX = np.column_stack([NOISE[:, 0], TELLING, NOISE[:, 1:]])
QUICK = SearchRequest(max_evaluations=2, threads=1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sparse", [False, True])
def test_the_telling_column_is_found(method: str, sparse: bool) -> None:  # noqa: FBT001 - a case
    """Every method keeps the one column that the minutes follow, whatever the matrix."""
    matrix = csr_matrix(MATRIX) if sparse else MATRIX
    rule = FeatureSelection(method, 0.25)  # type: ignore[arg-type]  # by name
    if sparse and method == "mutual_information":
        # Of sparse columns every value is a category of its own.
        matrix = csr_matrix((MATRIX > 0.5).astype(np.float32))
    table = score_columns(rule, matrix, MINUTES, NAMES, 42)
    assert table is not None
    assert list(table.loc[table.kept, "column"]) == ["telling"]
    assert list(selector(table, NAMES).transform(matrix).shape) == [2_000, 1]


def test_all_columns_are_kept_as_a_rule() -> None:
    """Without a method there is no table."""
    assert score_columns(FeatureSelection(), MATRIX, MINUTES, NAMES, 42) is None


def test_columns_that_never_change_tell_nothing() -> None:
    """A constant column has no correlation, rather than one that is not a number."""
    matrix = np.column_stack([np.ones(2_000, dtype=np.float32), TELLING])
    table = score_columns(FeatureSelection("correlation"), matrix, MINUTES, ("same", "telling"), 42)
    assert table is not None
    assert list(table.kept) == [False, True]


@pytest.mark.parametrize("family", [XGBOOST, "linear_model.Lasso"])
def test_models_take_what_was_selected(family: str, sample_training_set: TrainingSet) -> None:
    """Search, final fit and stored model use the same share of the columns, from raw trips on."""
    request = dataclasses.replace(QUICK, feature_selection=FeatureSelection("correlation", 0.3))
    tuned = tune(family, sample_training_set, request)
    trained = train(tuned, sample_training_set, request)
    assert tuned.columns is not None
    names = trained.model[:-1].get_feature_names_out()
    assert len(names) == tuned.columns.kept.sum() == round(0.3 * len(tuned.columns))
    trips = sample_training_set.example_rows
    again = load_estimator(dump_estimator(trained.model))
    assert again.predict(trips) == pytest.approx(trained.model.predict(trips))


def test_bounds() -> None:
    """Unknown methods and shares are refused by name."""
    with pytest.raises(InvalidInputError, match=r"'best'.*correlation"):
        FeatureSelection("best")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidInputError, match="selected_share"):
        FeatureSelection("chi2", 1.5)
