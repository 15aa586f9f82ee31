"""Fitted classifiers as flat arrays: their scores, and the steps to calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.tree import DecisionTreeClassifier

from model_loop.datasets.classes import TWO, Classes, text_of_label
from model_loop.models.boosting import BoosterClassifier
from model_loop.models.outcomes import parts_of_classifier
from model_loop.serving.compiled.errors import NotCompiledError
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.forests import booster, forest, linear
from model_loop.serving.compiled.links import (
    COMPLEMENT,
    Affine,
    Isotonic,
    Logistic,
    Logits,
    Scores,
    Shares,
    Softmax,
    Step,
    Unit,
)
from model_loop.serving.compiled.shapley import Covers

_Ints = npt.NDArray[np.int64]
_OBJECTIVES = frozenset({"binary:logistic", "multi:softprob"})
#: Number that scikit-learn adds to a probability before it takes the logarithm.
_LEAST = 1e-12


@dataclass(frozen=True)
class _Flattened:
    """Flat scores, in the order of the estimator's classes: of two, that of the second.

    Parameters
    ----------
    covers
        Covers of the nodes of each column.
    steps
        Steps to the probabilities.
    decides
        Whether a calibration begins at the scores, and not at the probabilities.
    """

    columns: Sequence[Trees | Linear]
    covers: Sequence[Covers]
    steps: tuple[Step, ...] | None
    unit: Unit = "log-odds"
    decides: bool = True


def flatten_classifier(
    estimator: Any,  # noqa: ANN401 - scikit-learn has no types
    places: Sequence[int] | None,
    width: int,
    classes: Classes,
) -> tuple[Scores, Covers]:
    """Return a fitted classifier as flat arrays, and the covers of the nodes of its columns.

    Parameters
    ----------
    places, width
        See `forests.flatten`.
    classes
        Classes in the order of the probabilities.

    Raises
    ------
    NotCompiledError
        If its kind, or its calibration, has no flat form, or its classes are others.
    """
    columns = np.arange(width) if places is None else np.asarray(places, dtype=np.int64)
    made = _flatten(estimator, columns, width)
    if made.steps is None:
        raise NotCompiledError("a linear classifier without calibration has no probabilities")
    learned, steps = _learned(estimator), made.steps
    if learned != classes.texts:
        if not classes.is_binary or learned != classes.texts[::-1]:
            raise NotCompiledError(f"it has learned other classes: {', '.join(learned)}")
        steps = (*steps, COMPLEMENT)
    covers = np.concatenate([*made.covers, np.zeros(0, dtype=np.float32)])
    threshold = parts_of_classifier(estimator).threshold
    return Scores(tuple(made.columns), steps, made.unit, threshold), covers


def blend_steps(estimator: Any, classes: Classes) -> tuple[Step, ...]:  # noqa: ANN401 - as above
    """Return the steps from the mean probabilities of a blend to those that it answers with.

    Raises
    ------
    NotCompiledError
        If its calibration has no flat form.
    """
    calibrated = parts_of_classifier(estimator).calibrated
    if calibrated is None:
        return ()
    (couple,) = calibrated.calibrated_classifiers_
    steps = _calibrated(couple, (), 1 if classes.is_binary else len(classes.labels), decides=False)
    # The map is that of the class that comes second by its label.
    turned = (COMPLEMENT,) if _learned(estimator) != classes.texts else ()
    return (*turned, *steps, *turned)


def _learned(estimator: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    return tuple(map(text_of_label, np.asarray(estimator.classes_).tolist()))


def _flatten(estimator: Any, columns: _Ints, width: int) -> _Flattened:  # noqa: ANN401 - as above
    if isinstance(estimator, FixedThresholdClassifier):
        return _flatten(getattr(estimator, "estimator_", estimator.estimator), columns, width)
    if isinstance(estimator, FrozenEstimator):
        return _flatten(estimator.estimator, columns, width)
    if not isinstance(estimator, CalibratedClassifierCV):
        return _flatten_base(estimator, columns, width)
    if len(estimator.calibrated_classifiers_) != 1:
        raise NotCompiledError("several calibrated classifiers have no compiled form")
    couple = estimator.calibrated_classifiers_[0]
    made = _flatten(couple.estimator, columns, width)
    before = () if made.decides else made.steps
    assert before is not None
    steps = _calibrated(couple, before, len(made.columns), decides=made.decides)
    return _Flattened(made.columns, made.covers, steps, made.unit, decides=False)


def _flatten_base(estimator: Any, columns: _Ints, width: int) -> _Flattened:  # noqa: ANN401 - as above
    several = len(estimator.classes_) > TWO
    squash = Softmax(single=False) if several else Logistic(single=False)
    match estimator:
        case LinearClassifierMixin():
            # Others make probabilities in ways of their own; what they decide is a sum in any case.
            steps = (squash,) if isinstance(estimator, LogisticRegression) else None
            return _Flattened(linear(estimator, columns, width), (), steps)
        case RandomForestClassifier() | ExtraTreesClassifier():
            return _forest([tree.tree_ for tree in estimator.estimators_], columns, several=several)
        case DecisionTreeClassifier():
            return _forest([estimator.tree_], columns, several=several)
        case GradientBoostingClassifier():
            return _boosted(estimator, columns, squash)
        case BoosterClassifier():
            return _booster(estimator, columns, several=several)
    raise NotCompiledError(f"{type(estimator).__name__} has no compiled form")


def _booster(estimator: BoosterClassifier, columns: _Ints, *, several: bool) -> _Flattened:
    found = booster(estimator, columns, _OBJECTIVES)
    if found is None:
        raise NotCompiledError("a booster of other trees or another objective has no compiled form")
    trees, covers = zip(*found, strict=True)
    squash = Softmax(single=True) if several else Logistic(single=True)
    return _Flattened(trees, covers, (squash,), decides=False)


def _forest(trees: Sequence[Any], columns: _Ints, *, several: bool) -> _Flattened:
    """Trees whose leaves hold the share of each class: the same nodes for every class."""
    flat, covers = forest(trees, columns, outputs=slice(0 if several else 1, None))
    assert isinstance(flat, Trees)
    each = [
        flat._replace(values=np.ascontiguousarray(flat.values[:, output]))
        for output in range(flat.values.shape[1])
    ]
    return _Flattened(each, [covers] * len(each), (), "probability", decides=False)


def _boosted(
    estimator: GradientBoostingClassifier, columns: _Ints, squash: Logistic | Softmax
) -> _Flattened:
    if estimator.init_ != "zero" and not isinstance(estimator.init_, DummyClassifier):
        raise NotCompiledError("boosting that begins at another estimator has no compiled form")
    nothing = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    starts = estimator._raw_predict_init(nothing)[0].tolist()  # noqa: SLF001 - it has no public name
    found = [
        forest(
            [tree.tree_ for tree in estimator.estimators_[:, output]],
            columns,
            base=start,
            rate=estimator.learning_rate,
        )
        for output, start in enumerate(starts)
    ]
    trees, covers = zip(*found, strict=True)
    doubled = (_times(2.0, 1),) if estimator.loss == "exponential" else ()
    return _Flattened(trees, covers, (*doubled, squash))


def _calibrated(
    couple: Any,  # noqa: ANN401 - as above
    before: tuple[Step, ...],
    width: int,
    *,
    decides: bool,
) -> tuple[Step, ...]:
    """Return the steps from so many scores to the probabilities of a calibrated classifier."""
    calibrators = couple.calibrators
    shares = (Shares(),) if width > 1 else ()
    if couple.method == "sigmoid":
        factors = np.array([-one.a_ for one in calibrators], dtype=np.float64)
        shifts = np.array([-one.b_ for one in calibrators], dtype=np.float64)
        return (*before, Affine(factors, shifts), Logistic(single=False), *shares)
    if couple.method == "isotonic":
        if any(one.out_of_bounds != "clip" for one in calibrators):
            raise NotCompiledError("a calibration that ends somewhere has no compiled form")
        inputs = [np.asarray(one.X_thresholds_, dtype=np.float64) for one in calibrators]
        outputs = [np.asarray(one.y_thresholds_, dtype=np.float64) for one in calibrators]
        ends = np.cumsum([len(each) for each in inputs]).astype(np.int32)
        return (*before, Isotonic(np.concatenate(inputs), np.concatenate(outputs), ends), *shares)
    if couple.method == "temperature":
        factor = float(calibrators[0].beta_)
        if decides:
            # The score counts for one of two classes, and against the other.
            logits: tuple[Step, ...] = (_times(factor if width > 1 else 2 * factor, width),)
        else:
            logits = (Logits(_LEAST), _times(factor, width))
        squash = Softmax(single=False) if width > 1 else Logistic(single=False)
        return (*before, *logits, squash)
    raise NotCompiledError(f"a calibration by {couple.method} has no compiled form")


def _times(factor: float, width: int) -> Affine:
    return Affine(np.full(width, factor), np.zeros(width))
