"""The code of the model: MLflow stores this file, and pickles nothing."""

from __future__ import annotations

from typing import Any

import lightgbm
import mlflow
import pandas as pd


class Trips(mlflow.pyfunc.PythonModel):
    """How many minutes a trip takes."""

    def load_context(self, context: Any) -> None:
        """Read the trees, which are a text."""
        self.booster = lightgbm.Booster(model_file=context.artifacts["booster"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Predict rows."""
        return pd.DataFrame({"minutes": self.booster.predict(model_input)})


mlflow.models.set_model(Trips())
