"""Compiled forms of classifiers: probabilities of every family as the library computes them."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from tests.serving.flights import fitted, flights, rows
from tests.serving.test_compiled_columns import written

from model_loop.datasets.classes import Classes, TaskKind
from model_loop.datasets.dataset import Dataset
from model_loop.models.boosting import BoosterClassifier
from model_loop.models.classification.calibration import around
from model_loop.models.outcomes import predict_outcomes
from model_loop.scoring.rows import from_frame, to_frame
from model_loop.serving.compiled.compiler import compile_model
from model_loop.serving.compiled.explaining import explainer_of
from model_loop.serving.compiled.links import (
    Affine,
    Isotonic,
    Logistic,
    Logits,
    Scores,
    Shares,
    Softmax,
)
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError
from model_loop.tracking.registry import LoadedModel
from model_loop.training_set.encoders.tables import table_encoder
from model_loop.training_set.encodings import Layout

#: What is learned here need not be learned to its end.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FLIGHTS = flights()
COLUMNS = FLIGHTS.recipe("departed").columns
#: Labels by their codes; of two, the second one is the positive class.
CLASSES = {
    "numbers": Classes((0, 1), positive=1),
    "numbers, positive first": Classes((1, 0), positive=0),
    "texts": Classes(("late", "on time"), positive="on time"),
    "texts, positive first": Classes(("on time", "late"), positive="late"),
    "three texts": Classes(("early", "late", "on time")),
    "three numbers": Classes((2, 5, 10)),
}
FAMILIES: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(max_iter=300),
    "logistic L1": lambda: LogisticRegression(l1_ratio=1.0, solver="saga", max_iter=200),
    "support vectors": lambda: CalibratedClassifierCV(
        LinearSVC(C=0.1), method="sigmoid", cv=3, ensemble=False
    ),
    "extra trees": lambda: ExtraTreesClassifier(12, max_depth=8, random_state=1),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=15, random_state=1),
    "boosting, exponential": lambda: GradientBoostingClassifier(
        loss="exponential", n_estimators=9, random_state=1
    ),
    "boosting from zero": lambda: GradientBoostingClassifier(init="zero", n_estimators=9),
    "forest": lambda: RandomForestClassifier(12, max_depth=8, random_state=1),
    "tree": lambda: DecisionTreeClassifier(max_depth=6, random_state=1),
    "xgboost": lambda: BoosterClassifier(
        {"objective": "binary:logistic", "max_depth": 4, "learning_rate": 0.3}, 15, threads=1
    ),
}
METHODS = ("sigmoid", "isotonic", "temperature")


def classified(classes: Classes) -> Dataset:
    """Return the dataset of flights with a target of these classes."""
    kind: TaskKind = "binary" if classes.is_binary else "multiclass"
    target = dataclasses.replace(FLIGHTS.target, kind=kind, classes=classes)
    return dataclasses.replace(FLIGHTS, target=target)


def labels_of(delays: Any, classes: Classes) -> np.ndarray:
    """Return labels by the delays of flights."""
    labels: np.ndarray = np.array(classes.labels)
    return np.asarray(labels[np.digitize(delays, (0.0, 15.0)[: len(classes.labels) - 1])])


def calibrated(base: Any, method: str, matrix: Any, labels: np.ndarray) -> CalibratedClassifierCV:
    """Return a fitted classifier with calibrated probabilities.

    A temperature is fitted on codes, as `fit_map` does: scikit-learn 1.9 takes labels for positions
    there, and reads outside of the probabilities where they are not 0, 1, 2.
    """
    mapped = CalibratedClassifierCV(FrozenEstimator(base), method=method, ensemble=False)
    if method == "temperature":
        return around(mapped.fit(matrix, np.searchsorted(base.classes_, labels)), base)
    return mapped.fit(matrix, labels)


@functools.cache
def model_of(
    family: str,
    classes: Classes,
    *,
    layout: Layout = "dense",
    method: str = "",
    threshold: float = 0,
) -> Pipeline:
    """Return a fitted pipeline, with a calibration and a threshold where asked for."""
    encoder, estimator = _fitted(family, classes, layout)
    ahead = rows(500, seed=4)
    if method:
        matrix = encoder.transform(ahead)
        estimator = calibrated(estimator, method, matrix, labels_of(ahead["arr_delay"], classes))
    if threshold:
        estimator = FixedThresholdClassifier(
            FrozenEstimator(estimator),
            threshold=threshold,
            pos_label=classes.positive,
            response_method="predict_proba",
        ).fit(encoder.transform(ahead), labels_of(ahead["arr_delay"], classes))
    return Pipeline([("encode", encoder), ("estimate", estimator)])


@functools.cache
def _fitted(family: str, classes: Classes, layout: Layout) -> tuple[Any, Any]:
    """Return an encoder, and a classifier of its columns: calibrations change neither."""
    encoder = fitted(FLIGHTS, "departed", layout).named_steps["encode"]
    learned, estimator = rows(), FAMILIES[family]()
    if family == "xgboost" and not classes.is_binary:
        several = {"objective": "multi:softprob", "num_class": len(classes.labels)}
        estimator.set_params(settings={**estimator.settings, **several})
    return encoder, estimator.fit(
        encoder.transform(learned), labels_of(learned["arr_delay"], classes)
    )


def form_of(model: Pipeline, classes: Classes) -> CompiledModel:
    """Compile a model."""
    made = compile_model(
        classified(classes), 1, LoadedModel(model, COLUMNS, 1.0, rows(5)[list(COLUMNS)])
    )
    assert made.form is not None, made.plain
    return made.form


def asked_rows(count: int = 300) -> Any:
    """Return rows with unknown and missing values, as requests have them."""
    asked = rows(count, seed=9)
    asked.loc[:20, "carrier"] = "ZZ"
    asked.loc[10:30, "time_hour"] = np.nan
    # Those of the calibration meet the points of its curve.
    asked.loc[100:] = rows(500, seed=4)[: count - 100].to_numpy()
    return from_frame(FLIGHTS, asked.infer_objects(), COLUMNS)


def require_equal(model: Pipeline, classes: Classes, *, machine_code: bool = False) -> None:
    """Check that a stored form gives the probabilities of the model."""
    dataset, table = classified(classes), asked_rows()
    form = CompiledModel.read(written(form_of(model, classes)), dataset)
    found = form.verify(machine_code=machine_code)(table)
    expected = predict_outcomes(model, to_frame(dataset, table, COLUMNS), dataset.target)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-12


def families_of(classes: Classes) -> list[str]:
    """Return the families that learn such classes."""
    return [name for name in FAMILIES if classes.is_binary or "exponential" not in name]


CASES = [(kind, family) for kind, each in CLASSES.items() for family in families_of(each)]


@pytest.mark.parametrize(("kind", "family"), CASES)
def test_every_family_gives_the_probabilities_of_the_library(kind: str, family: str) -> None:
    """Of two and of three classes, of numbers and texts, wherever the positive one stands."""
    require_equal(model_of(family, CLASSES[kind]), CLASSES[kind])


@pytest.mark.parametrize("layout", ["sparse", "dense"])
@pytest.mark.parametrize("kind", ["texts, positive first", "three texts"])
@pytest.mark.parametrize("family", ["logistic", "support vectors", "forest", "boosting", "xgboost"])
def test_machine_code_does_too(family: str, kind: str, layout: Layout) -> None:
    """Of sparse and of dense columns."""
    model = model_of(family, CLASSES[kind], layout=layout)
    require_equal(model, CLASSES[kind], machine_code=True)


@pytest.mark.parametrize("machine_code", [True, False])
def test_categories_that_are_the_share_of_each_class_are_read(*, machine_code: bool) -> None:
    """As encoders of several classes make them: a column for each category and class."""
    classes, learned = CLASSES["three texts"], rows()
    chosen = [one for one in FLIGHTS.columns if one.name in COLUMNS]
    encoder = table_encoder(
        chosen, "dense", rows=len(learned), dated=["time_hour"], kind="multiclass"
    )
    labels = labels_of(learned["arr_delay"], classes)
    codes = np.array([classes.code(label) for label in labels], dtype=np.float64)
    matrix = encoder.fit_transform(learned[list(COLUMNS)], codes)
    names = [*encoder.get_feature_names_out()]
    assert sum("carrier" in name for name in names) >= len(classes.labels)
    estimator = FAMILIES["forest"]().fit(matrix, labels)
    model = Pipeline([("encode", encoder), ("estimate", estimator)])
    require_equal(model, classes, machine_code=machine_code)
    found = explainer_of(form_of(model, classes))(asked_rows(110))
    assert (found.added[:, FLIGHTS.columns.places["carrier"]] != 0).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["numbers", "texts, positive first", "three texts"])
@pytest.mark.parametrize(
    "family", ["logistic", "support vectors", "extra trees", "boosting", "forest", "xgboost"]
)
def test_calibrated_probabilities_are_those_of_the_library(
    family: str, kind: str, method: str
) -> None:
    """By each method, inside a threshold where there are two classes."""
    classes = CLASSES[kind]
    threshold = 0.3 if classes.is_binary else 0.0
    require_equal(model_of(family, classes, method=method, threshold=threshold), classes)


def scaled(probabilities: np.ndarray, unit: str) -> np.ndarray:
    """Return probabilities in the unit of contributions."""
    return probabilities if unit == "probability" else logit(probabilities)


@pytest.mark.parametrize("method", ["", *METHODS])
@pytest.mark.parametrize("kind", ["numbers", "texts, positive first"])
@pytest.mark.parametrize("family", ["logistic", "support vectors", "boosting", "forest", "xgboost"])
def test_reasons_of_two_classes_add_up(family: str, kind: str, method: str) -> None:
    """To the log-odds of the positive class where possible, else to what is calibrated then."""
    classes, table = CLASSES[kind], asked_rows(130)
    form = form_of(model_of(family, classes, method=method), classes)
    found = explainer_of(form)(table)
    total = found.base + found.added.sum(axis=1)
    # Where calibration begins at probabilities, a sigmoid bends their log-odds.
    bent = {("support vectors", "sigmoid"), ("xgboost", "sigmoid"), ("forest", "temperature")}
    curved = method == "isotonic" or (family, method) in bent
    assert found.answered is not curved
    shares = family == "forest" and method != "sigmoid"
    assert found.unit == ("probability" if shares else "log-odds")
    assert found.outputs is not None
    assert found.outputs.tolist() == [1] * 130
    if curved:
        before = model_of(family, classes)
        frame = to_frame(FLIGHTS, table, COLUMNS)
        probabilities = predict_outcomes(before, frame, classified(classes).target)
    else:
        probabilities = form.verify(machine_code=False)(table)
    np.testing.assert_allclose(total, scaled(probabilities, found.unit), atol=2e-4)


@pytest.mark.parametrize("family", ["logistic", "boosting", "xgboost", "forest"])
def test_reasons_of_several_classes_are_those_of_the_predicted_one(family: str) -> None:
    """Its score differs from those of the others by their relative log-odds."""
    classes, table = CLASSES["three texts"], asked_rows(130)
    form = form_of(model_of(family, classes), classes)
    found = explainer_of(form)(table)
    probabilities = form.verify(machine_code=False)(table)
    np.testing.assert_array_equal(found.outputs, probabilities.argmax(axis=1))
    total = found.base + found.added.sum(axis=1)
    if family == "forest":
        np.testing.assert_allclose(total, probabilities.max(axis=1), atol=1e-9)
        return
    scores = np.log(probabilities)
    # One constant of each row is shared by all scores; centred scores of a linear model have none.
    if family == "logistic":
        np.testing.assert_allclose(total, (scores.T - scores.mean(axis=1)).max(axis=0), atol=1e-6)
    assert found.unit == "log-odds"
    assert isinstance(form.flat, Scores)


def test_earlier_versions_refuse_a_classifier_by_its_number() -> None:
    """They know one number; regression forms have it still."""
    classes = CLASSES["texts"]
    with np.load(written(form_of(model_of("logistic", classes), classes))) as parts:
        assert int(parts["number"]) == 2
        assert str(parts["format"]) == "model_loop.compiled"


def test_classes_of_a_forest_share_their_nodes() -> None:
    """They are stored once."""
    classes = CLASSES["three texts"]
    with np.load(written(form_of(model_of("forest", classes), classes))) as parts:
        assert "flat.column0.nodes" in parts
        assert "flat.column1.nodes" not in parts
        assert "flat.column1.values" in parts


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (AdaBoostClassifier, "AdaBoost"),
        (lambda: SGDClassifier(loss="log_loss"), "without calibration"),
        (
            lambda: GradientBoostingClassifier(init=LogisticRegression(), n_estimators=3),
            "begins at another estimator",
        ),
        (lambda: CalibratedClassifierCV(LinearSVC(), cv=3), "several calibrated"),
    ],
)
def test_what_has_no_form_says_why(make: Callable[[], Any], why: str) -> None:
    """The library answers then."""
    classes = CLASSES["texts"]
    encoder, learned = fitted(FLIGHTS, "departed", "dense").named_steps["encode"], rows()
    estimator = make().fit(encoder.transform(learned), labels_of(learned["arr_delay"], classes))
    model = Pipeline([("encode", encoder), ("estimate", estimator)])
    made = compile_model(classified(classes), 1, LoadedModel(model, COLUMNS, 1.0, None))
    assert made.form is None
    assert why in made.plain


def test_other_classes_are_not_taken_for_those_of_the_dataset() -> None:
    """A version that has learned them is served by the library, if at all."""
    model = model_of("logistic", CLASSES["numbers"])
    made = compile_model(classified(CLASSES["texts"]), 1, LoadedModel(model, COLUMNS, 1.0, None))
    assert made.form is None
    assert "other classes: 0, 1" in made.plain


def test_a_form_that_differs_by_a_little_is_not_used() -> None:
    """Probabilities are held to a millionth."""
    classes = CLASSES["texts"]
    form = form_of(model_of("logistic", classes), classes)
    wrong = dataclasses.replace(form, predictions=form.predictions + 2e-6)
    with pytest.raises(NotCompiledError, match="differs by up to"):
        wrong.verify(machine_code=False)


def _scores(form: CompiledModel, **changes: Any) -> CompiledModel:
    assert isinstance(form.flat, Scores)
    return dataclasses.replace(form, flat=form.flat._replace(**changes))


def _steps(*steps: Any) -> Callable[[CompiledModel], CompiledModel]:
    return lambda form: _scores(form, steps=steps)


def _column(form: CompiledModel, **changes: Any) -> CompiledModel:
    assert isinstance(form.flat, Scores)
    first, *others = form.flat.columns
    return _scores(form, columns=(first._replace(**changes), *others))


ONES, POINTS = np.ones(3), np.linspace(0, 1, 4)
DAMAGE: dict[str, Callable[[CompiledModel], CompiledModel]] = {
    "fewer columns": lambda form: dataclasses.replace(
        _scores(form, columns=form.columns[:2]), covers=form.covers[:0]
    ),
    "more columns": lambda form: _scores(form, columns=form.columns * 2),
    "no column": lambda form: _scores(form, columns=form.columns[:1]),
    "another unit": lambda form: _scores(form, unit="minutes"),
    "too many steps": _steps(*[Shares()] * 17),
    "factors of other columns": _steps(Affine(np.ones(2), ONES)),
    "shifts of other columns": _steps(Affine(ONES, np.ones((3, 1)))),
    "integers as factors": _steps(Affine(np.ones(3, dtype=np.int64), ONES)),
    "a curve without points": _steps(Isotonic(POINTS, POINTS, np.array([0, 2, 4], np.int32))),
    "curves that go back": _steps(Isotonic(POINTS, POINTS, np.array([3, 2, 4], np.int32))),
    "a curve that is too long": _steps(Isotonic(POINTS, POINTS, np.array([1, 2, 9], np.int32))),
    "fewer outputs": _steps(Isotonic(POINTS, POINTS[1:], np.array([1, 2, 4], np.int32))),
    "a text as a number": _steps(Logits("a")),  # type: ignore[arg-type]
    "an array as a switch": _steps(Logistic(np.ones(2))),  # type: ignore[arg-type]
    "a number as a switch": _steps(Softmax(3)),  # type: ignore[arg-type]
    "a column that leads elsewhere": lambda form: _column(form, values=np.zeros(1)),
    "a root beyond the nodes": lambda form: _column(form, roots=np.array([2**30], np.int32)),
    "predictions of two classes": lambda form: dataclasses.replace(
        form, predictions=form.predictions[:, :2]
    ),
    "predictions of none": lambda form: dataclasses.replace(
        form, predictions=form.predictions[:, 0]
    ),
    "covers of one class": lambda form: dataclasses.replace(
        form, covers=form.covers[: len(form.covers) // 3]
    ),
}


@pytest.fixture(name="forest", scope="module")
def forest_of_three_classes() -> CompiledModel:
    """Return the form of a forest."""
    classes = CLASSES["three texts"]
    return form_of(model_of("forest", classes), classes)


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_leads_nowhere_is_not_run(forest: CompiledModel, damage: str) -> None:
    """A file is looked at before anything of it is run."""
    with pytest.raises(NotCompiledError):
        CompiledModel.read(written(DAMAGE[damage](forest)), forest.dataset)


def test_a_classifier_is_not_read_for_a_dataset_of_numbers(forest: CompiledModel) -> None:
    """Nor the other way round."""
    with pytest.raises(NotCompiledError, match="fit together"):
        CompiledModel.read(written(forest), FLIGHTS)
    plain = fitted(FLIGHTS, "departed", "dense")
    made = compile_model(FLIGHTS, 1, LoadedModel(plain, COLUMNS, 1.0, None)).form
    assert made is not None
    file = io.BytesIO(written(made).getvalue())
    with pytest.raises(NotCompiledError, match="fit together"):
        CompiledModel.read(file, classified(CLASSES["texts"]))
