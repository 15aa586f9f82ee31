"""Steps that are named: what Airflow learns of them without their modules, and when they come."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from model_loop.errors import InvalidInputError
from model_loop.orchestration import names
from model_loop.orchestration.conventions import step
from model_loop.orchestration.lazy import lazy_function
from model_loop.orchestration.steps import training

MODULE = "model_loop.orchestration.steps.training"

STEP = '''"""A module of a step."""
import decimal
from collections.abc import Mapping
from typing import Any

RAN = []

def work(month: str, params: Mapping[str, Any], *, ti: Any = None, most: float = -1.5) -> Any:
    """Say what was given."""
    # Only at run time is this seen.
    return month, params, ti, most

async def wait(seconds: int) -> int:
    return seconds

def bound(most: int = len("abc")) -> int:
    return most

def with_default_of_the_module(kind: type = decimal.Decimal) -> None:
    """Take a default that has to be imported."""
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that nobody has imported."""
    name = f"lazy_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(STEP)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize("name", ["tune_family", "register_family", "collect_results"])
def test_a_named_function_looks_like_the_real_one(name: str) -> None:
    """Name, parameters, annotations, docstring and source are those that an import would show."""
    named, real = lazy_function(MODULE, name), getattr(training, name)
    assert inspect.signature(named) == inspect.signature(real)
    assert inspect.getsource(named) == inspect.getsource(real)
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(named, attribute) == getattr(real, attribute), attribute


def test_a_module_is_imported_when_its_function_is_called(module: str) -> None:
    """Until then nothing of it runs; arguments and defaults go through."""
    work = lazy_function(module, "work")
    assert str(inspect.signature(work)) == (
        "(month: 'str', params: 'Mapping[str, Any]', *, ti: 'Any' = None, most: 'float' = -1.5)"
        " -> 'Any'"
    )
    assert module not in sys.modules
    assert work("2024-01", params={}) == ("2024-01", {}, None, -1.5)
    assert module in sys.modules


async def _ten(module: str) -> int:
    found: int = await lazy_function(module, "wait")(10)
    return found


def test_a_coroutine_is_awaited(module: str) -> None:
    """A named function may be asynchronous."""
    coroutine = _ten(module)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == 10


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("wrok", "Did you mean work?"),
        ("RAN", "It has: bound, wait, with_default_of_the_module, work."),
        ("", "names no function"),
        ("with_default_of_the_module", "a default that is not a literal (name 'decimal'"),
    ],
)
def test_what_is_no_function_is_refused(module: str, function: str, said: str) -> None:
    """The message says which name is wrong, and which ones there are."""
    with pytest.raises(InvalidInputError) as error:
        lazy_function(module, function)
    assert f"{module}:{function}" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("missing", ["model_loop.orchestration.nothing", "nothing.at.all"])
def test_a_module_that_is_missing_is_refused(missing: str) -> None:
    """The message names it."""
    with pytest.raises(InvalidInputError, match=missing):
        lazy_function(missing, "work")


def test_airflow_spreads_a_mapping_and_nothing_else() -> None:
    """As of functions that it can import: a step that returns a dict has a result for each key."""
    with DAG("a", schedule=None):
        spread = {
            name: step(f"training:{name}").multiple_outputs
            for name in ("collect_results", "open_run", "tune_family", "missing_training_set")
        }
    assert spread == {
        "collect_results": True,
        "open_run": False,
        "tune_family": False,
        "missing_training_set": False,
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [("training:tune_famly", "tune_family"), ("trainings:tune_family", "trainings")],
)
def test_a_dag_that_names_a_missing_step_is_not_read(name: str, said: str, tmp_path: Path) -> None:
    """It is an error of the file, which names the step, and no failure of a run."""
    file = tmp_path / "misspelt.py"
    file.write_text(
        "from airflow.sdk import DAG\n"
        "from model_loop.orchestration.conventions import step\n"
        f"with DAG('misspelt'):\n    step({name!r})()\n"
    )
    bag = DagBag(dag_folder=str(file), bundle_path=tmp_path, bundle_name="misspelt")
    assert not bag.dags
    (error,) = bag.import_errors.values()
    assert said in error
    assert "InvalidInputError" in error


def test_arguments_are_checked_when_a_dag_is_read() -> None:
    """A mapped step has only the parameters of its function."""
    with DAG("a", schedule=None), pytest.raises(TypeError, match="partitoins"):
        step("preparation:fetch_partitions").expand(partitoins=["2024-01"])


def test_names_are_those_of_the_steps() -> None:
    """The branches of `promotion` lead to tasks that are called like their functions."""
    program = (
        "import sys; from model_loop.orchestration.conventions import step;"
        f"tasks = [step('promotion:' + name) for name in {[names.MOVE, names.REJECT]}];"
        "print([task.kwargs['task_id'] for task in tasks],"
        "'model_loop.orchestration.steps.promotion' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"{[names.MOVE, names.REJECT]} False"
