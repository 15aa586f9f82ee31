"""The numbers of a training and the profile of a month that charts are made of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.trip_duration.conftest import GREEN, fetch

from model_loop.charts.numbers import numbers_of
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.training_set.types import TrainingSet
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.sample_options import SampleOptions


@pytest.fixture(scope="package")
def numbers(sample_training_set: TrainingSet) -> dict[str, Any]:
    """The numbers of a model with curves and SHAP values, as they are stored."""
    search = SearchRequest(max_evaluations=3, threads=1)
    trained = train(tune("xgboost", sample_training_set, search), sample_training_set, search)
    stored: dict[str, Any] = json.loads(
        json.dumps(numbers_of(trained, sample_training_set), allow_nan=False)
    )
    return stored


@pytest.fixture(scope="package")
def profile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The profile of a small month, as it is stored."""
    folder = tmp_path_factory.mktemp("month")
    raw = fetch("sample", folder, SampleOptions(trips=2_000))
    month = CheckedMonthStore(str(folder)).check(raw, GREEN, ContractLimits())
    stored: dict[str, Any] = json.loads(json.dumps(month.load_profile().to_json()))
    return stored
