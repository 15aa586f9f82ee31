"""Bins of XGBoost's histograms, as many as a table needs."""

from __future__ import annotations

import numpy as np
import pytest

from model_loop.models.boosting import BoosterRegressor
from model_loop.models.catalogue import FAMILIES, XGBOOST, get_family, suited
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.tracking.lineage import lineage_of
from model_loop.training_set.types import TrainingSet

ROWS, TAIL = 2**18, 512


@pytest.mark.parametrize(
    ("rows", "bins"), [(65_536, None), (100_000, 390), (262_144, 1_024), (10**7, 1_024)]
)
def test_large_tables_get_more_bins(rows: int, bins: int | None) -> None:
    """No bin holds more than 256 rows, as far as 1,024 bins allow; other families have none."""
    assert suited(get_family(XGBOOST), rows, 10.0).fixed.get("max_bin") == bins
    others = [family for name, family in FAMILIES.items() if name != XGBOOST]
    assert all(suited(family, rows, 10.0).fixed == family.fixed for family in others)


def test_a_long_tail_is_told_apart() -> None:
    """The largest values of a skewed column are in several bins, where the errors lie."""
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.random(ROWS - TAIL), np.linspace(10.0, 1_000.0, TAIL)])
    matrix = values[:, None].astype(np.float32)
    errors = {}
    for bins in (None, suited(get_family(XGBOOST), ROWS, 10.0).fixed["max_bin"]):
        settings = {} if bins is None else {"max_bin": bins}
        model = BoosterRegressor({"learning_rate": 0.5, **settings}, rounds=15).fit(matrix, values)
        errors[bins] = float(np.sqrt(np.square(model.predict(matrix) - values).mean()))
    assert errors[1_024] < 0.7 * errors[None]


def test_the_last_fit_and_the_lineage_have_what_the_search_had(
    sample_training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed settings of a search are those of its model, and stand in what it is made again by."""
    monkeypatch.setattr("model_loop.models.catalogue._ROWS_OF_A_BIN", 1)
    request = SearchRequest(max_evaluations=1, threads=1)
    tuned = tune(XGBOOST, sample_training_set, request)
    bins = min(len(sample_training_set.train_target), 1_024)
    assert tuned.fixed == {**get_family(XGBOOST).fixed, "max_bin": bins}
    # With fewer rows than the last fit has.
    trained = train(tuned, sample_training_set, request)
    assert trained.model[-1].settings["max_bin"] == bins
    lineage = lineage_of(trained, sample_training_set, request)
    assert lineage.family.fixed["max_bin"] == bins
