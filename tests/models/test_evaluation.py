"""How far off a model is, and where; what it needs to know."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from model_loop.datasets.dataset import Target
from model_loop.models import explanation
from model_loop.models.catalogue import XGBOOST
from model_loop.models.evaluation import Evaluation, errors_by_slice
from model_loop.models.explanation import OTHERS, SHAP_ROWS, explain, shap_values
from model_loop.models.search import SearchRequest
from model_loop.models.slices import Slicing
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS as DATASET

QUICK = SearchRequest(max_evaluations=2, threads=1)

TRIPS = pd.DataFrame(
    {
        "PULocationID": [132, 74, 74, 264],
        "DOLocationID": [74, 74, 75, 74],
        "trip_distance": [17.0, 0.5, 1.0, 3.0],
        "pickup_datetime": pd.to_datetime(
            ["2024-03-01 08:59", "2024-03-01 09:00", "2024-03-02 09:30", "2024-03-03 23:59"]
        ),
    }
)
ACTUAL = np.array([45.0, 4.0, 10.0, 12.0])
PREDICTED = np.array([40.0, 6.0, 10.0, 9.0])
SLICING = Slicing(DATASET)


@pytest.fixture(scope="module")
def trained(sample_training_set: TrainingSet) -> TrainedModel:
    """A model of the sample months."""
    return train(tune(XGBOOST, sample_training_set, QUICK), sample_training_set, QUICK)


@pytest.fixture
def evaluation(trained: TrainedModel) -> Evaluation:
    """Its evaluation."""
    assert trained.evaluation is not None
    return trained.evaluation


def test_slices_by_hand() -> None:
    """Each slice holds its own trips and their errors."""
    table = errors_by_slice(TRIPS, ACTUAL, PREDICTED, SLICING, described=True)
    rows = {(row["slice"], row["value"]): row for row in table.to_dict("records")}
    nine = rows["hour", "9"]
    assert (nine["rows"], nine["mae"], nine["bias"]) == (2, 1.0, 1.0)
    assert nine["rmse"] == pytest.approx(2.0**0.5)
    assert rows["borough", "Queens"]["bias"] == -5.0
    assert rows["borough", "Unknown"]["rows"] == 1
    assert rows["distance", "16 miles and more"]["rows"] == 1
    assert rows["distance", "1 to 2 miles"]["rows"] == 1
    assert rows["duration", "0 to 5 minutes"]["mae"] == 2.0


def test_every_kind_of_slice_holds_all_trips(evaluation: Evaluation) -> None:
    """The slices of each kind add up to all trips, and to the error of all trips."""
    for _, part in evaluation.slices.groupby("slice"):
        assert part.rows.sum() == len(evaluation.predictions)
        squared = (part.rmse**2 * part.rows).sum() / part.rows.sum()
        assert squared == pytest.approx(evaluation.metrics.mse)


def test_slices_need_their_columns() -> None:
    """What a recipe does not know is not a slice."""
    few = TRIPS[["PULocationID", "DOLocationID"]]
    assert set(errors_by_slice(few, ACTUAL, PREDICTED, SLICING)["slice"]) == {"borough"}


def test_what_is_judged_by_is_known_beforehand() -> None:
    """Slices by the actual duration describe, where that is asked for, and are else left out."""
    judged = set(errors_by_slice(TRIPS, ACTUAL, PREDICTED, SLICING)["slice"])
    assert judged == set(SLICING.slices(TRIPS)) == {"borough", "hour", "distance"}
    described = errors_by_slice(TRIPS, ACTUAL, PREDICTED, SLICING, described=True)
    assert set(described["slice"]) == {*judged, "duration"}


def test_a_model_beats_the_median(evaluation: Evaluation) -> None:
    """The naive error stands beside the model's; a constant explains nothing."""
    assert evaluation.metrics.rmse < 0.75 * evaluation.naive.rmse
    assert evaluation.naive.r2 <= 0


def test_shuffling_what_counts_hurts(
    trained: TrainedModel, sample_training_set: TrainingSet
) -> None:
    """The distance is worth more than the vendor; the same seed gives the same table."""
    assert trained.explanation is not None
    table = trained.explanation.permutation
    worth = table.set_index("column")["increase"]
    assert set(worth.index) == set(sample_training_set.recipe.columns)
    assert worth["trip_distance"] > 0.5 > abs(worth["VendorID"])
    assert list(table["increase"]) == sorted(table["increase"], reverse=True)
    again = explain(trained.model, sample_training_set, random_state=42)
    assert again is not None
    pd.testing.assert_frame_equal(table, again.permutation)


def test_nothing_to_explain(trained: TrainedModel, sample_training_set: TrainingSet) -> None:
    """Without test months there is no explanation."""
    none = sample_training_set.test_rows.iloc[:0]
    nothing = dataclasses.replace(sample_training_set, test_rows=none)
    assert explain(trained.model, nothing, random_state=42) is None


@pytest.mark.parametrize(
    "family", [XGBOOST, "ensemble.RandomForestRegressor", "ensemble.GradientBoostingRegressor"]
)
def test_shap_values_add_up(family: str, sample_training_set: TrainingSet) -> None:
    """What the columns add is what the prediction differs from the average."""
    request = SearchRequest(max_evaluations=1, threads=1)
    model = train(tune(family, sample_training_set, request), sample_training_set, request).model
    trips = sample_training_set.test_rows.drop(columns="duration")
    actual = sample_training_set.test_target
    found = shap_values(model, trips, sample_training_set.target, actual, random_state=42)
    assert found is not None
    assert len(found.added) == min(len(trips), SHAP_ROWS)
    assert found.added.shape == found.columns.shape
    total = found.base + found.added.sum(axis=1)
    sample = trips.sample(len(found.added), random_state=42)
    assert total.to_numpy() == pytest.approx(model.predict(sample), abs=1e-3)
    telling = found.added.drop(columns=OTHERS, errors="ignore").abs().mean()
    assert list(telling) == sorted(telling, reverse=True)


def test_only_trees_have_shap_values(sample_training_set: TrainingSet) -> None:
    """Linear models are explained by their permutation importance alone."""
    request = SearchRequest(max_evaluations=1, threads=1)
    tuned = tune("linear_model.LinearRegression", sample_training_set, request)
    trained = train(tuned, sample_training_set, request)
    assert trained.explanation is not None
    assert trained.explanation.shap is None


def test_large_forests_are_explained_on_fewer_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget is kept by drawing fewer trips."""
    columns = pd.DataFrame(np.eye(40), columns=[f"column {number}" for number in range(40)])
    model = Pipeline(
        [("encode", MinMaxScaler()), ("estimate", RandomForestRegressor(5, max_depth=4))]
    ).fit(columns, np.arange(40.0))
    trees = model.named_steps["estimate"].estimators_
    visits = sum(tree.get_n_leaves() * tree.get_depth() ** 2 for tree in trees)
    monkeypatch.setattr(explanation, "SHAP_VISITS", 3.5 * visits)
    found = shap_values(model, columns, Target("number"), np.arange(40.0), random_state=0)
    assert found is not None
    assert len(found.added) == 3
