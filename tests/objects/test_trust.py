"""What a stored estimator may hold: a few classes by their whole names, and nothing else."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from tests.objects.crafted import PROCESS, called, command, file_of, node, plain, sequence

from model_loop.errors import StoredObjectError
from model_loop.models.catalogue import FAMILIES
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.objects.allowed import TRUSTED
from model_loop.objects.trust import dump_estimator, load_estimator
from model_loop.tracking.registry import read_model
from model_loop.training_set.encodings import ENCODINGS
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.recipes import RECIPES
from trip_duration.training_set.request import TrainingSetRequest

PACKAGE = Path(__file__).parents[2] / "include" / "model_loop"
#: Nodes by which a file names something: made, called, or handed on as it is.
LOADERS = ("ObjectNode", "FunctionNode", "TypeNode")
#: Modules whose functions do harm, as attributes of what imports them.
HARM = {"os": "system", "subprocess": "Popen", "shutil": "rmtree", "sys": "exit"}


def names() -> Iterator[str]:
    """Every name in every module of the package: defined, assigned, or imported from elsewhere."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield module
        for statement in ast.walk(ast.parse(file.read_text())):
            for name in _bound(statement):
                yield f"{module}.{name}"
                if name in HARM:
                    yield f"{module}.{name}.{HARM[name]}"


def _bound(statement: ast.AST) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Import(names=found) | ast.ImportFrom(names=found):
            yield from (one.asname or one.name.split(".")[0] for one in found)
        case ast.Name(id=name, ctx=ast.Store()):
            yield name


def test_no_other_name_of_the_package_is_trusted() -> None:
    """A file for each name of each module is refused, whichever way it names it."""
    found = set(names())
    assert len(found) > 5_000
    assert found >= {PROCESS, "model_loop.objects.trust.io"}
    for name in found - TRUSTED:
        nodes = [node(loader, name) for loader in LOADERS]
        stored = file_of(sequence("list", *nodes, called(name, "x")))
        with pytest.raises(StoredObjectError, match="holds classes that are not trusted"):
            load_estimator(stored)


def test_what_is_trusted_is_a_class_by_its_own_name() -> None:
    """Of this package estimators alone, and of others classes: no function, no second name."""
    for name in TRUSTED:
        module, _, own = name.rpartition(".")
        found = getattr(importlib.import_module(module), own)
        assert isinstance(found, type), name
        assert found.__qualname__ == own
        if name.startswith("model_loop."):
            assert (found.__module__, issubclass(found, BaseEstimator)) == (module, True)


@pytest.mark.parametrize("loader", ["MethodNode", "PartialNode", "OperatorFuncNode"])
def test_methods_of_trusted_classes_are_not_called(loader: str) -> None:
    """A trusted class opens no way to its methods, nor to functions with arguments of the file."""
    trusted = "model_loop.models.boosting.BoosterRegressor"
    made = node("ObjectNode", trusted, content=node("DictNode", "builtins.dict", content={}))
    made["content"]["key_types"] = sequence("list")
    none = plain({})
    content: dict[str, Any] = {"func": "fit", "obj": made}
    if loader == "PartialNode":
        content = {"func": node("TypeNode", trusted), "args": sequence("tuple"), "kwds": none}
        content["namespace"] = none
    stored = file_of(node(loader, trusted, content=content, attrs=sequence("tuple")))
    with pytest.raises(StoredObjectError, match=f"not trusted: .*{loader}"):
        load_estimator(stored)


def test_a_model_folder_that_runs_a_command_is_refused(tmp_path: Path) -> None:
    """An MLflow model whose file would start a process is refused before it does."""
    frame = pd.DataFrame({"trip_distance": [1.0, 2.0]})
    model = Pipeline([("estimate", DummyRegressor().fit(frame, [5.0, 9.0]))])
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "model"),
        signature=infer_signature(frame, np.array([5.0, 9.0])),
        serialization_format="skops",
        pip_requirements=["scikit-learn"],
    )
    (tmp_path / "model" / "model.skops").write_bytes(command(tmp_path / "marker"))
    with pytest.raises(StoredObjectError, match=r"^The model holds .*not trusted: .*_run"):
        read_model(tmp_path / "model", "The model")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_every_encoding_is_read_back(
    sample_root: Path, recipe: str, encoding: Any, layout: Any
) -> None:
    """The encoder of every recipe and form gives the same columns after its way through a file."""
    split = MonthSplit.parse("2024-01", "2024-02")
    request = TrainingSetRequest("sample", "green", split, recipe=recipe, encoding=encoding)
    made = build_training_set(request, storage_root=str(sample_root))
    trips, encoder = made.example_rows, made.layout_for(layout).encoder
    again = load_estimator(dump_estimator(encoder))
    assert abs(again.transform(trips) - encoder.transform(trips)).max() == 0


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_read_back(name: str, sample_training_set: TrainingSet) -> None:
    """A trained model of every family predicts the same after its way through a file."""
    quick = SearchRequest(max_evaluations=1, threads=1)
    model = train(
        tune(FAMILIES[name], sample_training_set, quick), sample_training_set, quick
    ).model
    trips = sample_training_set.example_rows
    again = load_estimator(dump_estimator(model))
    np.testing.assert_array_equal(again.predict(trips), model.predict(trips))


def test_scikit_learns_own_is_read_back() -> None:
    """A model of somebody else's is read, as long as it is scikit-learn's alone."""
    model = LinearRegression().fit([[1.0], [2.0]], [3.0, 5.0])
    assert load_estimator(dump_estimator(model)).predict([[3.0]]) == pytest.approx([7.0])
