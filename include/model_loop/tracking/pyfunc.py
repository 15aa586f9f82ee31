"""The pyfunc flavor of models with intervals: limits beside predictions, where `level` asks them.

MLflow's own pyfunc of scikit-learn passes no parameters on. This one answers the same without
`level`. It lies in the code beside the model, see `shipped`; the sklearn flavor needs none of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import mlflow.sklearn
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.pyfunc import FLAVOR_NAME, MAIN
from mlflow.types import DataType, ParamSchema, ParamSpec

from model_loop.errors import StoredObjectError
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.grid import LEVEL, LOWER, UPPER, check_level
from model_loop.tracking.beside import intervals_of
from model_loop.training_set.frames import as_numbers

#: Name of predictions beside limits.
PREDICTION = "prediction"
#: Names of the metadata with the column of a row's time, and with the clocks of the table.
TIME, TIME_ZONE = "model_loop.time", "model_loop.time_zone"
#: The parameter that a signature names.
LEVEL_PARAMETER = ParamSchema([ParamSpec(LEVEL, DataType.double, None)])


def save_model(path: str, mlflow_model: Model | None = None, **described: Any) -> None:  # noqa: ANN401 - MLflow's
    """Save a model as `mlflow.sklearn.save_model` does, whose pyfunc is the one of this module."""
    saved = Model() if mlflow_model is None else mlflow_model
    mlflow.sklearn.save_model(path=path, mlflow_model=saved, **described)
    saved.flavors[FLAVOR_NAME][MAIN] = __name__
    saved.save(str(Path(path) / MLMODEL_FILE_NAME))


def _load_pyfunc(path: str) -> PredictorWithLimits:
    """Load a model for MLflow, which gives the path of its folder."""
    folder = Path(path)
    intervals = intervals_of(folder)
    if intervals is None:
        raise StoredObjectError(
            f"The model in {folder}",
            "has no intervals that can be read",
            "Load it with mlflow.sklearn.load_model, or train it again.",
        )
    metadata = Model.load(str(folder)).metadata or {}
    loaded = mlflow.sklearn._load_pyfunc(path)  # noqa: SLF001 - the loader that MLflow itself names
    return PredictorWithLimits(loaded, intervals, metadata.get(TIME), metadata.get(TIME_ZONE))


class _Loaded(Protocol):
    """MLflow's own predictor."""

    def predict(self, data: pd.DataFrame) -> Any:  # noqa: ANN401 - MLflow's
        """Predict rows."""

    def get_raw_model(self) -> Any:  # noqa: ANN401 - MLflow's
        """Return the pipeline."""


class PredictorWithLimits:
    """Predictor behind MLflow's pyfunc.

    Parameters
    ----------
    loaded
        MLflow's own predictor of the same model.
    intervals
        Intervals around its predictions, as they were registered: without the corrections that
        servers make by day.
    time, time_zone
        Name of the column with the time of a row, and the clocks of the table; None if there is
        none.
    """

    def __init__(
        self, loaded: _Loaded, intervals: Intervals, time: str | None, time_zone: str | None
    ) -> None:
        self._loaded, self._intervals = loaded, intervals
        self._time, self._time_zone = time, time_zone

    def predict(self, data: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - MLflow's
        """Predict rows.

        Parameters
        ----------
        data
            Raw rows.
        params
            With ``level``, a number from 50 to 99, limits stand beside predictions.

        Returns
        -------
        Predictions, shape (rows,); with a level, a frame with the columns ``prediction``,
        ``lower``, ``upper`` and ``level``. Limits are NaN where calibration had too few rows.

        Raises
        ------
        InvalidInputError
            If the level is not from 50 to 99.
        """
        level = (params or {}).get(LEVEL)
        band = None if level is None else self._intervals.at(check_level(level))
        predicted = self._loaded.predict(data)
        if band is None:
            return predicted
        times = _seconds(data[self._time], self._time_zone) if self._time in data else None
        numbers = np.asarray(predicted, dtype=np.float64)
        limits = band.limits_of(numbers, times, self._intervals.sizes(numbers, times, data))
        lower, upper = (np.where(np.isfinite(each), each, np.nan) for each in limits)
        answers = {PREDICTION: predicted, LOWER: lower, UPPER: upper, LEVEL: level}
        return pd.DataFrame(answers, index=data.index)

    def get_raw_model(self) -> Any:  # noqa: ANN401 - MLflow's
        """Return the pipeline."""
        return self._loaded.get_raw_model()


def _seconds(values: pd.Series[Any], time_zone: str | None) -> npt.NDArray[np.float64]:
    """Return times as seconds since 1970 on the clocks of the table, whose time zone is given."""
    if values.dtype.kind not in "Mf":
        moments = map(pd.Timestamp, values)
        local = [
            moment if moment.tzinfo is None else moment.tz_convert(time_zone).tz_localize(None)
            for moment in moments
        ]
        values = pd.Series(local, index=values.index, dtype="datetime64[us]")
    elif isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert(time_zone).dt.tz_localize(None)
    return as_numbers(values)
