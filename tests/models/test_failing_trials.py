"""Trials that go wrong: each is marked with its error, and the search goes on."""

from __future__ import annotations

import multiprocessing
import resource
from pathlib import Path

import pytest
from upath import UPath

from model_loop.models.extras import extra_families
from model_loop.models.search import SearchRequest, TuningResult
from model_loop.models.tuning import tune
from model_loop.objects.reference import ObjectReference
from model_loop.objects.store import read_object, write_object
from model_loop.training_set.types import TrainingSet

QUICK = SearchRequest(max_evaluations=8, threads=1)
GIB = 2**30


def errors(tuned: TuningResult) -> list[str]:
    """What the failed trials failed with."""
    return [trial.error for trial in tuned.trials if trial.error]


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        (
            "linear_model.SGDRegressor",
            {"eta0": [1e300, 1e-6], "learning_rate": "constant"},
            "float",
        ),
        # Each value alone is one that scikit-learn takes.
        ("linear_model.Ridge", {"solver": ["svd", "lbfgs"], "positive": True}, "positive"),
        ("neighbors.KNeighborsRegressor", {"n_neighbors": [50_000, 5]}, "n_neighbors"),
    ],
)
def test_settings_that_cannot_be_fitted(
    name: str,
    space: dict[str, object],
    message: str,
    sample_training_set: TrainingSet,
) -> None:
    """Losses that are not numbers and settings that an estimator refuses cost one trial each."""
    family = extra_families({name: space})[name]
    tuned = tune(family, sample_training_set, QUICK)
    assert len(tuned.trials) == 2
    (error,) = errors(tuned)
    assert message in error.lower()
    assert tuned.best.finished


def test_memory_that_is_not_there(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """A network that does not fit into memory fails by itself; the small one is found."""
    stored = write_object(sample_training_set, UPath(tmp_path), "training_set")
    spawning = multiprocessing.get_context("spawn")
    with spawning.Pool(1) as pool:
        found, best = pool.apply(search_with_little_memory, (stored,))
    assert len(found) == 1
    assert "MemoryError" in found[0]
    assert best == 4


def search_with_little_memory(training_set: ObjectReference) -> tuple[list[str], object]:
    """Search in a process that may not have more than some gibibytes."""
    name = "neural_network.MLPRegressor"
    space = {"hidden_layer_sizes": [4, 50_000_000], "max_iter": 3}
    family = extra_families({name: space})[name]
    trips: TrainingSet = read_object(training_set)
    resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))
    tuned = tune(family, trips, QUICK)
    return errors(tuned), tuned.best.settings["hidden_layer_sizes"]
