"""A small model, and files to score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from tests.servers import mlflow_server
from upath import UPath

from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.scoring.batch.planning import BatchRequest
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.training_set.types import TrainingSet
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service

ROWS = 3_000


@pytest.fixture(scope="session")
def predictor(sample_training_set: TrainingSet) -> Predictor:
    """Version 7 of a model that knows everything of a trip."""
    request = SearchRequest(max_evaluations=1, threads=1)
    tuned = tune("xgboost", sample_training_set, request)
    model = train(tuned, sample_training_set, request).model
    return Predictor(
        RegisteredVersion("green", 7), model, tuple(sample_training_set.recipe.columns)
    )


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published month, in which some zones and distances are wrong."""
    path = tmp_path_factory.mktemp("months") / "green_tripdata_2024-04.parquet"
    options = SampleOptions(trips=ROWS, seed=3)
    write_month(path, get_service("green"), Month(2024, 4), options)
    rows = pd.read_parquet(path)
    rows.loc[rows.index[[5, 2_999]], "PULocationID"] = 999
    rows.loc[rows.index[7], "trip_distance"] = -1.0
    rows.to_parquet(path, row_group_size=1_000)
    return path


def request_for(
    predictor: Predictor, source: Path | UPath, output: Path | UPath, **options: object
) -> BatchRequest:
    """A request for one file, in small chunks."""
    return BatchRequest(
        files=[(UPath(source), UPath(output))],
        version=predictor.version,
        columns=predictor.columns,
        **{"chunk_rows": 1_000, **options},  # type: ignore[arg-type]  # by name
    )


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url
