"""Fit a LightGBM model of trips, and save it as an MLflow model from code.

Usage: python examples/trips_lightgbm/fit.py
"""

from __future__ import annotations

from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from model_loop.training_set.preparation import build_training_set
from trip_duration.months import MonthSplit
from trip_duration.sample_options import SampleOptions
from trip_duration.training_set.request import TrainingSetRequest

HERE = Path(__file__).parent
COLUMNS = ["PULocationID", "DOLocationID", "trip_distance"]

# The rows that judge one training set are those that this model learns from.
request = TrainingSetRequest(
    source="sample",  # generated months; "tlc" for published ones
    service="green",
    split=MonthSplit.parse(train="2023-11", validation="2023-12", test="2024-01"),
    recipe="pair_distance",
    sample=SampleOptions(trips=5_000),
)
training_set = build_training_set(request, storage_root="storage")
rows = training_set.test_rows[COLUMNS].astype(float)
minutes = np.asarray(training_set.test_target)

data = lightgbm.Dataset(rows, minutes, categorical_feature=COLUMNS[:2], free_raw_data=False)
booster = lightgbm.train({"objective": "regression_l1", "verbosity": -1}, data, 100)
booster.save_model(HERE / "booster.txt")

mlflow.pyfunc.save_model(
    str(HERE / "model"),
    python_model=str(HERE / "model.py"),
    artifacts={"booster": str(HERE / "booster.txt")},
    signature=ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in COLUMNS]),
        outputs=Schema([ColSpec("double", "minutes")]),
    ),
    pip_requirements=[
        f"mlflow-skinny=={mlflow.__version__}",
        f"lightgbm=={lightgbm.__version__}",
        f"numpy=={np.__version__}",
        f"pandas=={pd.__version__}",
    ],
)
print(f"{len(rows)} trips, saved in {HERE / 'model'}")
