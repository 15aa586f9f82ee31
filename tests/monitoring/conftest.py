"""A small model of trees with its profile, and generated windows to compare with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.conftest import sample_request

from model_loop.models.catalogue import get_family
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.monitoring.drift import Inputs, drift_findings, shap_of_window
from model_loop.monitoring.levels import WindowFinding, thresholds_of
from model_loop.monitoring.profile import ReferenceProfile, make_reference
from model_loop.settings import Settings
from model_loop.training_set.types import TrainingSet
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month
from trip_duration.sample_options import Drift, SampleOptions
from trip_duration.services import get_service
from trip_duration.source.fetching import fetch_month

LEAST = 500

Look = Callable[..., list[WindowFinding]]


@pytest.fixture(scope="session")
def trained(sample_training_set: TrainingSet) -> TrainedModel:
    """A model of trees, found in two trials."""
    request = SearchRequest(max_evaluations=2, threads=1)
    tuned = tune(get_family("xgboost"), sample_training_set, request)
    return train(tuned, sample_training_set, request)


@pytest.fixture(scope="session")
def reference(trained: TrainedModel, sample_training_set: TrainingSet) -> ReferenceProfile:
    """Rows of training."""
    assert trained.explanation
    assert trained.explanation.shap
    return make_reference(trained.model, sample_training_set, trained.explanation.shap.features)


@pytest.fixture(scope="session")
def look(
    trained: TrainedModel, reference: ReferenceProfile, tmp_path_factory: pytest.TempPathFactory
) -> Look:
    """Findings about a generated month of the same city."""
    root = str(tmp_path_factory.mktemp("windows"))

    def found(
        drift: Drift | None = None, month: str = "2024-06", trips: int = 3_000
    ) -> list[WindowFinding]:
        seed, green = sample_request().sample.seed, get_service("green")
        options = SampleOptions(trips=trips, seed=seed, drift=drift or Drift())
        known = Month.parse(month)
        raw = fetch_month("sample", green, known, root, sample=options, timeout_seconds=1)
        checked = CheckedMonthStore(root).check(raw, green, ContractLimits(missing_share=1.0))
        columns = reference.profile.columns
        asked = clean_month(checked, green, Selection(columns, CleaningRules()))[list(columns)]
        predicted = np.asarray(trained.model.predict(asked), dtype=np.float64)
        # As many as the profile has: of more, each look would take three seconds longer.
        shap = shap_of_window(trained.model, asked, 0, most=500)
        thresholds = thresholds_of(Settings())
        return drift_findings(reference.profile, Inputs(asked, predicted, shap), thresholds, LEAST)

    return found
