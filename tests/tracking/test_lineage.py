"""From a model back to its data, and forth again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from model_loop.errors import ContractError, InvalidInputError
from model_loop.models.catalogue import XGBOOST
from model_loop.models.search import SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects.tree import from_tree, to_tree
from model_loop.tracking.lineage import (
    Lineage,
    find_lineage,
    lineage_of,
    log_lineage,
    reproduce,
)
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.types import TrainingSet

pytestmark = pytest.mark.integration

SEARCH = SearchRequest(
    max_evaluations=3, threads=1, early_termination=EarlyTermination("truncation")
)


def lineage(family: str, training_set: TrainingSet) -> Lineage:
    """The lineage of a model that was just trained."""
    return lineage_of(
        train(tune(family, training_set, SEARCH), training_set, SEARCH), training_set, SEARCH
    )


def again(found: Lineage, folder: Path) -> bool:
    """Whether a model comes out the same."""
    return reproduce(found, storage_root=str(folder), timeout_seconds=10).agrees


def test_a_version_leads_back(tracker: Tracker, sample_training_set: TrainingSet) -> None:
    """A version names the URL, size and digest of every month, the settings and the packages."""
    trained = train(
        tune("linear_model.Lasso", sample_training_set, SEARCH), sample_training_set, SEARCH
    )
    run_id = tracker.open_run("lineage of a version", "lineage", {})
    registered = register_model(
        tracker,
        run_id,
        trained.model,
        name="reproducible",
        example=sample_training_set.example_rows,
        tags={},
    )
    log_lineage(tracker, run_id, lineage_of(trained, sample_training_set, SEARCH))
    found = find_lineage(tracker, "reproducible", registered.version)
    assert found.files == sample_training_set.files
    assert found.training_set == sample_training_set.digest
    assert found.best == trained.tuned.best
    assert found.search == SEARCH
    assert {"python", "numpy", "scikit-learn"} <= set(found.packages)


def test_no_such_version(tracker: Tracker) -> None:
    """A version that does not exist is named."""
    with pytest.raises(InvalidInputError, match="Version 7 of nothing is not in the model reg"):
        find_lineage(tracker, "nothing", 7)


def test_a_version_from_elsewhere_is_told_in_plain_words(tracker: Tracker) -> None:
    """What is not known, what cannot be done therefore, and what can; no name of a file."""
    run_id = tracker.open_run("a foreign run", "foreign", {})
    tracker.client.create_registered_model("foreign")
    for number, run in ((1, run_id), (2, None)):
        tracker.client.create_model_version("foreign", "s3://elsewhere/model", run_id=run)
        with pytest.raises(InvalidInputError) as refused:
            find_lineage(tracker, "foreign", number)
        said = str(refused.value)
        assert said.startswith(f"Version {number} of foreign was not trained by this project")
        assert "no test rows to judge it by" in said
        assert "the field `model` of the DAG promotion" in said
        assert "lineage.json" not in said


@pytest.mark.parametrize("family", [XGBOOST, "ensemble.RandomForestRegressor", "svm.LinearSVR"])
def test_models_are_reproduced(
    family: str, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """From its lineage, as it is stored, a model comes out with the same errors."""
    stored = from_tree(to_tree(lineage(family, sample_training_set))[0], {})
    reproduction = reproduce(stored, storage_root=str(tmp_path), timeout_seconds=10)
    assert reproduction.agrees
    assert {name for name, _, _ in reproduction.metrics} >= {"validation_rmse", "test_mae"}
    assert reproduction.changed == ()


def test_differences_are_seen(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """Other settings give other errors, and another package is named."""
    found = lineage("linear_model.Lasso", sample_training_set)
    best = dataclasses.replace(found.best, settings={"alpha": 0.09, "max_iter": 100})
    other = dataclasses.replace(found, best=best, packages={**found.packages, "numpy": "1.0"})
    reproduction = reproduce(other, storage_root=str(tmp_path), timeout_seconds=10)
    assert not reproduction.agrees
    assert [name for name, _, _ in reproduction.changed] == ["numpy"]


def test_changed_months_are_refused(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """A month that is no longer what it was is named with both digests."""
    found = lineage("linear_model.LinearRegression", sample_training_set)
    sample = dataclasses.replace(found.data.sample, seed=found.data.sample.seed + 1)
    other = dataclasses.replace(found, data=dataclasses.replace(found.data, sample=sample))
    with pytest.raises(ContractError, match=r"2024-01 of green.*sha256 was \w{64} and is"):
        again(other, tmp_path)
