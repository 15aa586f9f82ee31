"""Compiled forms of blends: the weighted mean of their members, and its reasons."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from tests.serving import test_compiled_classifiers as classifiers
from tests.serving.flights import rows
from tests.serving.test_compiled_classifiers import CLASSES, COLUMNS, classified, labels_of
from tests.serving.test_compiled_columns import DATASET, compiled, model_of, written

from model_loop.datasets.classes import Classes
from model_loop.errors import InvalidInputError
from model_loop.models.blended import blend_models, members_of
from model_loop.models.outcomes import predict_outcomes
from model_loop.objects.trust import dump_estimator, load_estimator
from model_loop.scoring.reasons import strongest_reasons
from model_loop.scoring.rows import Rows, to_frame
from model_loop.serving.compiled import compiler
from model_loop.serving.compiled.compiler import make_predictor
from model_loop.serving.compiled.explaining import (
    as_probabilities,
    explainer_of,
    numbers_of,
    require_reasons,
)
from model_loop.serving.compiled.links import Logistic
from model_loop.serving.compiled.model import Blended, CompiledModel, NotCompiledError
from model_loop.tracking.registry import LoadedModel

#: What is learned here need not be learned to its end.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Members of numbers, of sparse and dense columns, and their weights.
NUMBERS = {"linear": 0.2, "forest dense": 0.35, "xgboost dense": 0.45}
FAMILIES = {"logistic": 0.25, "forest": 0.5, "xgboost": 0.25}


@functools.cache
def blend_of_numbers() -> Pipeline:
    """Return a blend of fitted regressors, as it is stored and read again."""
    models = [(kind.split()[0], model_of(kind), weight) for kind, weight in NUMBERS.items()]
    stored: Pipeline = load_estimator(dump_estimator(blend_models(models, DATASET.target)))
    return stored


@functools.cache
def blend_of_classes(classes: Classes, method: str = "", threshold: float = 0) -> Pipeline:
    """Return a blend of fitted classifiers, with a calibration and a threshold where asked for.

    The members bring calibrations and thresholds of their own, which the blend leaves out.
    """
    models = [
        (name, classifiers.model_of(name, classes, method="sigmoid" if method else ""), weight)
        for name, weight in FAMILIES.items()
    ]
    model, ahead = blend_models(models, classified(classes).target), rows(500, seed=4)
    estimator, labels = model.steps[-1][1], labels_of(ahead["arr_delay"], classes)
    if method:
        estimator = classifiers.calibrated(estimator, method, ahead[list(COLUMNS)], labels)
    if threshold:
        estimator = FixedThresholdClassifier(
            FrozenEstimator(estimator),
            threshold=threshold,
            pos_label=classes.positive,
            response_method="predict_proba",
        ).fit(ahead[list(COLUMNS)], labels)
    blend: Pipeline = load_estimator(
        dump_estimator(Pipeline([model.steps[0], ("estimate", estimator)]))
    )
    return blend


def asked() -> Rows:
    """Return rows with missing values and an unknown category."""
    table: Rows = classifiers.asked_rows(120)
    return table


@pytest.mark.parametrize("machine_code", [True, False])
def test_the_form_says_what_the_library_says(*, machine_code: bool) -> None:
    """Of members with sparse and with dense columns, to the rounding of their sums."""
    model, table = blend_of_numbers(), asked()
    form = CompiledModel.read(written(compiled(model)), DATASET)
    frame = to_frame(DATASET, table, COLUMNS)
    expected = model.predict(frame)
    by_hand = sum(weight * model_of(kind).predict(frame) for kind, weight in NUMBERS.items())
    np.testing.assert_allclose(expected, by_hand, rtol=1e-9)
    found = form.verify(machine_code=machine_code)(table)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-5)
    assert isinstance(form.flat, Blended)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("numbers", ""),
        ("texts, positive first", "isotonic"),
        ("texts", "sigmoid"),
        ("three texts", ""),
        ("three numbers", "temperature"),
    ],
)
def test_probabilities_are_those_of_the_library(kind: str, method: str) -> None:
    """With each calibration, and each position of the positive class."""
    classes, table = CLASSES[kind], asked()
    model = blend_of_classes(classes, method, 0.3 if classes.is_binary else 0)
    classifiers.require_equal(model, classes)
    frame, target = to_frame(DATASET, table, COLUMNS), classified(classes).target
    bare = blend_of_classes(classes)
    by_hand = sum(
        weight * predict_outcomes(classifiers.model_of(name, classes), frame, target)
        for name, weight in FAMILIES.items()
    )
    np.testing.assert_allclose(predict_outcomes(bare, frame, target), by_hand, atol=1e-12)
    assert classifiers.form_of(model, classes).threshold == (0.3 if classes.is_binary else 0.5)


def test_reasons_add_up_to_the_prediction() -> None:
    """They are weighted means of those of the members."""
    form, table = compiled(blend_of_numbers()), asked()
    found = explainer_of(require_reasons(form, "Version 1"))(table)
    predicted = form.verify(machine_code=False)(table)
    np.testing.assert_allclose(found.base + found.added.sum(axis=1), predicted, atol=1e-3)
    each = [explainer_of(compiled(model_of(kind)))(table).added for kind in NUMBERS]
    mean = np.tensordot([*NUMBERS.values()], np.stack(each), 1)
    np.testing.assert_allclose(found.added, mean, atol=1e-9)
    told = strongest_reasons(DATASET, table[0].tolist(), float(predicted[0]), found, 0)
    total = told.base + told.others + sum(one.added for one in told.strongest)
    assert total == pytest.approx(predicted[0])
    assert "weighted mean" in found.method


@pytest.mark.parametrize(("kind", "method"), [("texts", ""), ("texts, positive first", "isotonic")])
def test_reasons_of_two_classes_add_up_to_the_probability(kind: str, method: str) -> None:
    """Of the positive class, before it is mended; members of log-odds keep signs and shares."""
    classes, table = CLASSES[kind], asked()
    form = classifiers.form_of(blend_of_classes(classes, method), classes)
    found = explainer_of(require_reasons(form, "Version 1"))(table)
    bare = classifiers.form_of(blend_of_classes(classes), classes)
    expected = bare.verify(machine_code=False)(table)
    np.testing.assert_allclose(found.base + found.added.sum(axis=1), expected, atol=1e-5)
    assert found.unit == "probability"
    assert found.answered is (method == "")
    assert found.outputs is not None
    assert found.outputs.tolist() == [1] * len(table)
    logistic = explainer_of(
        classifiers.form_of(classifiers.model_of("logistic", classes), classes)
    )(table)
    shares = [
        one.added / np.abs(one.added).sum(axis=1, keepdims=True)
        for one in (logistic, as_probabilities(logistic))
    ]
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-9)


def test_reasons_of_several_classes_are_refused_in_words() -> None:
    """Log-odds that are relative to each other have no mean."""
    form = classifiers.form_of(blend_of_classes(CLASSES["three texts"]), CLASSES["three texts"])
    with pytest.raises(InvalidInputError, match="probabilities of several classes"):
        require_reasons(form, "Version 1")


def test_members_cost_together_what_a_request_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of other models: each member is below it, and all together are not."""
    model = blend_of_numbers()
    each = [numbers_of(compiled(model_of(kind)).flat) for kind in NUMBERS]
    monkeypatch.setattr(compiler, "MOST_NUMBERS", max(each) + 1)
    served = make_predictor(DATASET, 7, LoadedModel(model, COLUMNS, 1.0, rows(5)[list(COLUMNS)]))
    assert served.form is not None
    with pytest.raises(InvalidInputError, match=r"files only.* nodes"):
        _ = served.explain


def _with(form: CompiledModel, **changes: Any) -> CompiledModel:
    assert isinstance(form.flat, Blended)
    return dataclasses.replace(form, flat=dataclasses.replace(form.flat, **changes))


_FAULTS: dict[str, Callable[[CompiledModel], CompiledModel]] = {
    "a weight too few": lambda form: _with(form, weights=form.flat.weights[:2]),  # type: ignore[union-attr]
    "weights beyond 1": lambda form: _with(form, weights=form.flat.weights * 2),  # type: ignore[union-attr]
    "a negative weight": lambda form: _with(form, weights=np.array([-0.5, 1.0, 0.5])),
    "weights of another type": lambda form: _with(
        form, weights=np.array([0.5, 0.25, 0.25], dtype=np.float32)
    ),
    "a step of classes": lambda form: _with(form, steps=(Logistic(single=False),)),
    "a threshold beyond 1": lambda form: _with(form, threshold=2.0),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_what_does_not_fit_is_not_read(fault: str) -> None:
    """A stored blend that would not give a mean of its members."""
    with pytest.raises(NotCompiledError, match="do not fit"):
        CompiledModel.read(written(_FAULTS[fault](compiled(blend_of_numbers()))), DATASET)


def test_earlier_versions_refuse_a_blend_by_its_number() -> None:
    """They know one number of numbers, and one of classes."""
    with np.load(written(compiled(blend_of_numbers()))) as parts:
        assert int(parts["number"]) == 3


def test_members_of_other_classes_are_not_blended() -> None:
    """Their probabilities are of something else."""
    models = [
        ("one", classifiers.model_of("logistic", CLASSES["texts"]), 0.5),
        ("other", classifiers.model_of("logistic", CLASSES["three texts"]), 0.5),
    ]
    with pytest.raises(InvalidInputError, match="learned different classes"):
        blend_models(models, classified(CLASSES["texts"]).target)


def test_a_model_of_one_family_has_no_members() -> None:
    """Nor has a pipeline whose calibrated classifier is no blend."""
    assert members_of(model_of("linear")) is None
    classes = CLASSES["texts"]
    assert members_of(classifiers.model_of("forest", classes, method="sigmoid")) is None
    found = members_of(blend_of_classes(classes, "sigmoid", 0.4))
    assert found is not None
    assert [weight for _, weight in found] == [*FAMILIES.values()]
    assert not any(isinstance(one.steps[-1][1], CalibratedClassifierCV) for one, _ in found)
