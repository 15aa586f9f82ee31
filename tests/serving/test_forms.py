"""Compiled forms pass from one process to another, and are used only if they are right."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.serving.conftest import fit, loaded

from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.model import Blended, CompiledModel, NotCompiledError
from model_loop.training_set.types import TrainingSet
from trip_duration.compiled.flat import DenseTables, SparseTables
from trip_duration.compiled.forms import odd_rows
from trip_duration.dataset import TRIPS


def form_of(family: str, training_set: TrainingSet) -> CompiledModel:
    """The compiled form of a small model."""
    form = compile_model(TRIPS, 1, loaded(fit(family, training_set), training_set)).form
    assert form is not None
    return form


@pytest.mark.parametrize(
    "family", ["xgboost", "ensemble.RandomForestRegressor", "linear_model.LinearRegression"]
)
def test_a_form_survives_its_way(sample_training_set: TrainingSet, family: str) -> None:
    """A form that is written and read is the same, at any place of a file."""
    form = form_of(family, sample_training_set)
    file = io.BytesIO()
    file.write(b"a line before it\n")
    form.write(file)
    file.seek(0)
    file.readline()
    again = CompiledModel.read(file, TRIPS)
    rows = odd_rows(200, seed=2)
    np.testing.assert_array_equal(again.verify()(rows), form.verify()(rows))
    for before, after in ((form.tables, again.tables), (form.flat, again.flat)):
        assert type(before) is type(after)
        assert not isinstance(before, Blended)
        assert not isinstance(after, Blended)
        for one, other in zip(before, after, strict=True):
            assert type(one) is type(other)
            np.testing.assert_array_equal(one, other)


def test_what_differs_is_not_used(sample_training_set: TrainingSet) -> None:
    """A form that was changed on its way says something else than the model."""
    form = form_of("xgboost", sample_training_set)
    assert isinstance(form.flat, Trees)
    values = form.flat.values.copy()
    values[form.flat.nodes["left"] == np.arange(len(values))] += 1e-3
    wrong = CompiledModel(
        TRIPS, form.tables, form.flat._replace(values=values), form.sample, form.predictions
    )
    with pytest.raises(NotCompiledError, match="differs by up to"):
        wrong.verify()
    without_number = np.full_like(form.predictions, np.nan)
    with pytest.raises(NotCompiledError, match="nan"):
        CompiledModel(TRIPS, form.tables, form.flat, form.sample, without_number).verify()


def test_there_is_no_code_for_linear_models_of_dense_columns(
    sample_training_set: TrainingSet,
) -> None:
    """Nobody searches them, and they answer by themselves."""
    form = form_of("xgboost", sample_training_set)
    flat = Linear(np.zeros(3), 0.0)
    with pytest.raises(NotCompiledError, match="linear models of dense columns"):
        CompiledModel(TRIPS, form.tables, flat, form.sample, form.predictions).verify()


def test_pickles_are_not_read(sample_training_set: TrainingSet) -> None:
    """A file that holds objects is refused."""
    form = form_of("xgboost", sample_training_set)
    file = io.BytesIO()
    strange = np.array([{"a": 1}], dtype=object)
    CompiledModel(TRIPS, form.tables, form.flat, strange, form.predictions).write(file)
    file.seek(0)
    with pytest.raises(NotCompiledError, match="does not match its header"):
        CompiledModel.read(file, TRIPS)


def _nodes(form: CompiledModel, field: str, place: int, value: float) -> CompiledModel:
    assert isinstance(form.flat, Trees)
    nodes = form.flat.nodes.copy()
    nodes[field][place] = value
    return dataclasses.replace(form, flat=form.flat._replace(nodes=nodes))


def _flat(form: CompiledModel, **values: Any) -> CompiledModel:
    assert isinstance(form.flat, Trees | Linear)
    return dataclasses.replace(form, flat=form.flat._replace(**values))


def _tables(form: CompiledModel, **values: Any) -> CompiledModel:
    return dataclasses.replace(form, tables=form.tables._replace(**values))


DAMAGE: dict[str, Callable[[CompiledModel], CompiledModel]] = {
    "a child beyond the nodes": lambda form: _nodes(form, "left", 0, 2**30),
    "a child before its parent": lambda form: _nodes(form, "left", 1, 0),
    "a last node with children": lambda form: _nodes(form, "threshold", -1, 0.0),
    "a column beyond the last": lambda form: _nodes(form, "feature", 0, 2**30),
    "a column beyond the last, missing to the left": lambda form: _nodes(
        form, "feature", 0, -(2**30)
    ),
    "a root beyond the nodes": lambda form: _flat(form, roots=np.array([2**30], dtype=np.int32)),
    "fewer values": lambda form: _flat(form, values=np.zeros(1)),
    "no end of levels": lambda form: _flat(form, depths=np.array([2**30], dtype=np.int32)),
    "fewer facts": lambda form: _tables(form, sides=np.zeros((1, 5))),
    "fewer means": lambda form: _tables(form, learned=np.zeros((1, 3))),
    "fewer columns": lambda form: _tables(form, width=1),
    "more attributes": lambda form: _tables(form, attributes=1_000),
    "fewer minutes": lambda form: dataclasses.replace(form, predictions=np.zeros(1)),
    "other rows": lambda form: dataclasses.replace(form, sample=form.sample[:, :2]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_leads_nowhere_is_not_run(sample_training_set: TrainingSet, damage: str) -> None:
    """Machine code looks at no number that it follows, so a file is looked at before."""
    form = form_of("xgboost", sample_training_set)
    assert isinstance(form.tables, DenseTables)
    _refused(DAMAGE[damage](form))


@pytest.mark.parametrize("damage", ["pairs", "first", "weights"])
def test_a_linear_form_that_leads_nowhere_is_not_run(
    sample_training_set: TrainingSet, damage: str
) -> None:
    """The same of one-hot columns."""
    form = form_of("linear_model.LinearRegression", sample_training_set)
    assert isinstance(form.tables, SparseTables)
    pairs = np.full_like(form.tables.pairs, 2**30)
    _refused(
        {
            "pairs": _tables(form, pairs=pairs),
            "first": _tables(form, first=2**40),
            "weights": _flat(form, weights=np.zeros(1)),
        }[damage]
    )


def _refused(form: CompiledModel) -> None:
    file = io.BytesIO()
    form.write(file)
    file.seek(0)
    with pytest.raises(NotCompiledError, match="do not fit together"):
        CompiledModel.read(file, TRIPS)
