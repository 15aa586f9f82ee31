"""The script of a version's process, in this process: MLflow's models, and types of NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_loop.runner import child

CODE = """
import mlflow
import pandas as pd

class Rules(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        hours = model_input["when"].dt.hour.to_numpy()
        if (model_input["x"] < 0).any():
            return model_input["x"].head(1)
        if (model_input["x"] > 9).any():
            return pd.DataFrame({"y": model_input["x"], "hour": hours})
        return model_input["x"].to_numpy() + hours

mlflow.models.set_model(Rules())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the configuration of a model that MLflow has saved from code."""
    import mlflow

    folder = tmp_path_factory.mktemp("model")
    (folder / "rules.py").write_text(CODE)
    mlflow.pyfunc.save_model(
        folder / "saved", python_model=str(folder / "rules.py"), pip_requirements=["mlflow"]
    )
    return {
        "form": "mlflow",
        "folder": str(folder),
        "entry": "saved/MLmodel",
        "times": ["when"],
        "outputs": ["y"],
    }


@pytest.mark.parametrize(
    ("x", "answer"),
    [(1, '[{"y": 9}, {"y": 9}]'), (10.5, '[{"y": 10.5, "hour": 8}, {"y": 10.5, "hour": 8}]')],
)
def test_a_model_of_mlflow_answers_by_frames(model: dict[str, Any], x: float, answer: str) -> None:
    """It gets times, and its arrays and frames become plain values."""
    functions = child.load_functions(model)
    # Times with fractions and without come together.
    times = ("2024-01-01T08:30:00", "2024-01-01T08:59:00.25")
    rows = json.dumps([{"x": x, "when": time} for time in times])
    assert child.score_rows(rows.encode(), functions, model).decode() == answer


def test_a_model_of_mlflow_has_to_answer_every_row(model: dict[str, Any]) -> None:
    """Fewer answers would be those of other rows."""
    rows = b'[{"x": -1, "when": "2024-01-01T08:30:00"}, {"x": 1, "when": "2024-01-01T08:30:00"}]'
    with pytest.raises(child.RefusedAnswerError, match="1 answers were returned for 2 rows"):
        child.score_rows(rows, child.load_functions(model), model)


def test_a_model_of_mlflow_gets_the_numbers_of_its_signature(tmp_path: Path) -> None:
    """JSON has one kind of number; MLflow refuses a whole one for another, and the reverse."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    code = (
        "import mlflow\n\nclass Sums(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return (model_input['zone'] + model_input['miles']).to_numpy()\n\n"
        "mlflow.models.set_model(Sums())\n"
    )
    (tmp_path / "sums.py").write_text(code)
    signature = ModelSignature(Schema([ColSpec("long", "zone"), ColSpec("double", "miles")]))
    mlflow.pyfunc.save_model(
        tmp_path / "saved",
        python_model=str(tmp_path / "sums.py"),
        signature=signature,
        pip_requirements=["mlflow"],
    )
    configuration = {
        "form": "mlflow",
        "folder": str(tmp_path),
        "entry": "saved/MLmodel",
        "times": [],
        "outputs": ["y"],
    }
    functions = child.load_functions(configuration)
    answer = child.score_rows(b'[{"zone": 74.0, "miles": 2}]', functions, configuration)
    assert json.loads(answer) == [{"y": 76.0}]
    with pytest.raises(Exception, match="safely convert"):
        child.score_rows(b'[{"zone": 7.5, "miles": 2}]', functions, configuration)


@pytest.mark.parametrize(
    "value",
    [np.int64(1), np.float32(1), np.float64(1), np.True_, np.array([1]), pd.NaT, [1], {}],
)
def test_types_of_numpy_are_named(value: object) -> None:
    """With the way out; none of them is guessed at."""
    kind = type(value).__qualname__
    with pytest.raises(child.RefusedAnswerError, match=f"{kind}: return bool, int, float, str"):
        child.plain_answers([{"y": value}], 1, ["y"], single=False)


def test_scripts_name_their_outputs() -> None:
    """A bare value is an answer of MLflow's models alone."""
    assert child.plain_answers([1.5], 1, ["y"], single=True) == b'[{"y": 1.5}]'
    with pytest.raises(child.RefusedAnswerError, match="float was returned for a row"):
        child.plain_answers([1.5], 1, ["y"], single=False)


def test_a_script_has_its_function(tmp_path: Path) -> None:
    """Else it says which one is missing."""
    (tmp_path / "score.py").write_text("def other(): pass\n")
    configuration = {
        "form": "script",
        "folder": str(tmp_path),
        "entry": "score.py",
        "function": "f",
    }
    with pytest.raises(child.RefusedAnswerError, match=r"score\.py has no function f"):
        child.load_functions(configuration)
