"""Stored models as other programs load them: MLflow's flavours, other machines, other libraries."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from tests.serving.conftest import fit, require

from model_loop.errors import ContractError
from model_loop.models.boosting import BoosterClassifier
from model_loop.tracking.lines import OtherLineError, installed_versions, line_of
from model_loop.tracking.registry import read_model, save_model
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS

#: What the requirements of a model do not bring, so that it may be missing where it is loaded.
ABSENT = ("airflow", "evidently", "hyperopt", "pydantic_settings", "shap")

LOADER = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.path[:] = [path for path in sys.path if not path.endswith("include")]
try:
    import model_loop
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package is still there")
import json, mlflow, pandas as pd
trips = pd.read_json(sys.argv[2], orient="records")
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(trips).tolist()))
"""


@pytest.fixture(scope="module")
def model(sample_training_set: TrainingSet) -> Pipeline:
    """A model of XGBoost's."""
    return fit("xgboost", sample_training_set)


@pytest.fixture(scope="module")
def stored(
    model: Pipeline, sample_training_set: TrainingSet, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder that it is saved in."""
    folder = tmp_path_factory.mktemp("stored") / "model"
    save_model(model, folder, sample_training_set.example_rows, TRIPS.optional)
    return folder


@pytest.fixture
def trips(sample_training_set: TrainingSet) -> pd.DataFrame:
    """Raw trips in the types of prepared months, with whole miles."""
    found = sample_training_set.test_rows.drop(columns="duration").head(20)
    return found.assign(trip_distance=found.trip_distance.round()).reset_index(drop=True)


FRAMES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "zones of 64 bits": lambda trips: trips.astype({"PULocationID": "int64"}),
    "nullable zones": lambda trips: trips.astype({"DOLocationID": "Int64"}),
    "whole miles": lambda trips: trips.astype({"trip_distance": "int64"}),
    "nullable miles": lambda trips: trips.astype({"trip_distance": "Int64"}),
    "nullable passengers": lambda trips: trips.assign(
        passenger_count=trips.passenger_count.astype("Int64")
    ),
    "times as text": lambda trips: trips.assign(
        pickup_datetime=trips.pickup_datetime.dt.strftime("%Y-%m-%dT%H:%M:%S")
    ),
    "times of New York": lambda trips: trips.assign(
        pickup_datetime=trips.pickup_datetime.dt.tz_localize("America/New_York")
    ),
    "types of pandas' own": lambda trips: trips.convert_dtypes(),
    "one column more": lambda trips: trips.assign(note="to the airport"),
}


@pytest.mark.parametrize("change", FRAMES.values(), ids=FRAMES)
def test_plain_frames_are_read_by_both_flavours(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    model: Pipeline,
    stored: Path,
    trips: pd.DataFrame,
) -> None:
    """Whatever types people's frames have, both flavours say the same minutes, as plain numbers."""
    expected = model.predict(trips)
    found = mlflow.pyfunc.load_model(str(stored)).predict(change(trips))
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (np.float64, (len(trips),))
    np.testing.assert_array_equal(found, expected)
    flavour = mlflow.sklearn.load_model(str(stored))
    np.testing.assert_array_equal(flavour.predict(change(trips)), expected)


IMPOSSIBLE: dict[str, tuple[str, Any, str]] = {
    "a part of a zone": (
        "PULocationID",
        74.5,
        "PULocationID holds 74.5 in row 3, which is not a zone",
    ),
    "zone 0": ("PULocationID", 0, "not a zone, a whole number from 1 to 265"),
    "zone 999": ("DOLocationID", 999, "DOLocationID holds 999"),
    "zone -1": ("DOLocationID", -1, "DOLocationID holds -1"),
    "no zone": ("PULocationID", np.nan, "PULocationID holds nan"),
    "no distance": ("trip_distance", np.nan, "not a distance of 0 miles or more"),
    "an endless distance": ("trip_distance", np.inf, "trip_distance holds inf"),
    "a negative distance": ("trip_distance", -1.0, "trip_distance holds -1.0"),
    "a word": ("trip_distance", "far", "trip_distance holds a value that is not a number"),
    "no time": ("pickup_datetime", pd.NaT, "NaT in row 3, which is not a time in the years"),
    "a far year": ("pickup_datetime", pd.Timestamp("2261-01-01"), "not a time in the years"),
    "a day": ("pickup_datetime", dt.date(2024, 1, 15), "time that cannot be read (2024-01-15 is"),
    "nanoseconds": ("pickup_datetime", 1_705_307_400 * 10**9, "holds a time that cannot be read"),
    "a truth": (
        "trip_distance",
        True,
        "trip_distance holds a value that is not a number (true or false)",
    ),
    "a crowd": ("passenger_count", 1e9, "in row 3, which is not a number from 0 to 1,000"),
    "fewer than none": ("passenger_count", -1, "passenger_count holds -1.0 in row 3"),
    "endless passengers": ("passenger_count", np.inf, "passenger_count holds inf in row 3"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_no_trip_has_is_refused_by_both_flavours(
    name: str, stored: Path, trips: pd.DataFrame
) -> None:
    """A wrong number without a word would be the worst; the message names column, row and rule."""
    column, value, message = IMPOSSIBLE[name]
    values = trips[column].tolist()
    values[2] = value
    frame = trips.assign(**{column: values})
    for flavour in (mlflow.pyfunc, mlflow.sklearn):
        with pytest.raises(ContractError, match=re.escape(message)):
            flavour.load_model(str(stored)).predict(frame)


def test_a_column_that_is_there_twice_is_refused(stored: Path, trips: pd.DataFrame) -> None:
    """Nothing says which one counts."""
    twice = pd.concat([trips, trips[["PULocationID"]]], axis=1)
    with pytest.raises(ContractError, match="The column PULocationID is there more than once"):
        mlflow.sklearn.load_model(str(stored)).predict(twice)


def test_optional_columns_may_be_absent(model: Pipeline, stored: Path, trips: pd.DataFrame) -> None:
    """Without passengers, vendor and trip type a trip is predicted as if they were not known."""
    optional = ["passenger_count", "VendorID", "trip_type"]
    optional = [name for name in optional if name in trips.columns]
    expected = model.predict(trips.assign(**dict.fromkeys(optional, np.nan)))
    fewer = trips.drop(columns=optional)
    loaded = mlflow.pyfunc.load_model(str(stored))
    np.testing.assert_array_equal(loaded.predict(fewer), expected)
    np.testing.assert_array_equal(model.predict(fewer), expected)
    assert loaded.metadata.signature is not None
    assert loaded.metadata.signature.inputs.optional_input_names() == optional
    with pytest.raises(mlflow.MlflowException, match="PULocationID"):
        loaded.predict(trips.drop(columns="PULocationID"))


def test_it_loads_where_this_package_is_not_installed(
    model: Pipeline, stored: Path, trips: pd.DataFrame, tmp_path: Path
) -> None:
    """MLflow and what the requirements name are enough; the package comes with the model."""
    (tmp_path / "load.py").write_text(textwrap.dedent(LOADER.format(absent=ABSENT)))
    trips.to_json(tmp_path / "trips.json", orient="records", date_format="iso", date_unit="s")
    found = subprocess.run(
        [sys.executable, "load.py", str(stored), "trips.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == pytest.approx(model.predict(trips).tolist())
    requirements = (stored / "requirements.txt").read_text()
    assert "model-loop" not in requirements
    assert "universal-pathlib" in requirements


def test_the_same_model_is_shipped_with_the_same_code(
    model: Pipeline, stored: Path, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """The archive of modules holds no times."""
    save_model(model, tmp_path / "again", sample_training_set.example_rows, TRIPS.optional)
    first, second = (
        (folder / "code" / "model_loop" / "modules.zip").read_bytes()
        for folder in (stored, tmp_path / "again")
    )
    assert first == second


@pytest.mark.parametrize(
    ("library", "becomes", "message"),
    [
        ("xgboost", "xgboost-cpu==9.4.1", r"xgboost 9\.4\.1, and \d.*DAG retraining"),
        ("xgboost", "xgboost==9.4.1", r"install xgboost 9\.4"),
        ("scikit-learn", "scikit-learn==0.8.2", r"scikit-learn 0\.8\.2, and \d"),
    ],
)
def test_a_model_of_another_line_is_refused(
    library: str, becomes: str, message: str, stored: Path, tmp_path: Path
) -> None:
    """What another line of a library has made is not read, and the error says what to do."""
    folder = changed(stored, tmp_path, library, becomes)
    with pytest.raises(OtherLineError, match=message):
        read_model(folder, "Version 3")


def test_classifiers_are_held_to_the_line_too(tmp_path: Path) -> None:
    """Trees of classes are in the form of their library like those of numbers."""
    rows = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 3})
    booster = BoosterClassifier({"objective": "binary:logistic"}, rounds=2, threads=1)
    model = Pipeline([("encode", StandardScaler()), ("estimate", booster)])
    model.fit(rows, np.where(rows.a > 9, "yes", "no"))
    save_model(model, tmp_path / "classes", rows, ())
    folder = changed(tmp_path / "classes", tmp_path, "xgboost", "xgboost==9.4.1")
    with pytest.raises(OtherLineError, match=r"install xgboost 9\.4"):
        read_model(folder, "Version 5")


def test_a_model_of_the_same_line_is_read(
    stored: Path, sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """A repair of a library makes no other model, nor does a library that it does not use."""
    repaired = f"xgboost=={line_of(installed_versions()['xgboost'])}.99"
    folder = changed(stored, tmp_path / "same", "xgboost", repaired)
    assert read_model(folder, "Version 3").inputs
    linear = fit("linear_model.LinearRegression", sample_training_set)
    save_model(linear, tmp_path / "linear", sample_training_set.example_rows, TRIPS.optional)
    folder = changed(tmp_path / "linear", tmp_path, "xgboost", "xgboost-cpu==9.4.1")
    assert read_model(folder, "Version 4").inputs


def changed(stored: Path, where: Path, library: str, becomes: str) -> Path:
    """A copy of a stored model with another requirement for a library."""
    folder = where / "changed"
    folder.mkdir(parents=True)
    for path in stored.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    require(folder, library, becomes)
    return folder
