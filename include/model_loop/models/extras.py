"""Further models of scikit-learn, named in the conf of a run with a search space."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.utils import all_estimators
from sklearn.utils._param_validation import make_constraint

from model_loop.datasets.classes import TaskKind
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.models.catalogue import ModelFamily, families_for
from model_loop.models.spaces import Categorical, Dimension, Integer, Real, Setting
from model_loop.objects.trust import dump_estimator

_Learner = Literal["regressor", "classifier"]

#: Further keys of a range, beside its bounds.
_FURTHER = frozenset({"log"})

#: Bounds of ranges: beyond, steps of whole numbers are no numbers that libraries hold.
_FARTHEST = 2.0**53

#: Modules whose models get the sparse matrix where they read it; all others get the dense one.
_LINEAR = ("linear_model.", "svm.Linear")


def extra_families(
    spaces: Mapping[str, Mapping[str, Any]], kind: TaskKind = "regression"
) -> Mapping[str, ModelFamily]:
    """Families by name, each with a space as JSON.

    Parameters
    ----------
    spaces
        Spaces by the model's name, such as ``neighbors.KNeighborsRegressor``: for each of its
        parameters a range (``{"low": 5, "high": 50}``, whole numbers if both bounds are, and with
        ``"log": true`` drawn on a logarithmic scale), a list to choose from, or one fixed value.
        Without any range or list there is one trial.
    kind
        Kind of the target: numbers are learned by regressors, classes by classifiers.

    Raises
    ------
    InvalidInputError
        If scikit-learn has no such model for the kind of target, it has no such parameter, a range
        is not one, it says no probabilities of classes, or a model of it cannot be stored without
        pickle. Nothing is imported by name: the models are those that scikit-learn itself lists.
    """
    return MappingProxyType({name: _family(name, space, kind) for name, space in spaces.items()})


@functools.cache
def _estimators(learner: _Learner) -> Mapping[str, type[BaseEstimator]]:
    """scikit-learn's own models, by the module that they are published in and their name."""
    return MappingProxyType(
        {
            f"{found.__module__.split('.')[1]}.{name}": found
            for name, found in all_estimators(type_filter=learner)
        }
    )


def _class_of(name: str) -> type[BaseEstimator]:
    """Return a class that `_estimators` lists."""
    learner: _Learner = "classifier" if name in _estimators("classifier") else "regressor"
    return _estimators(learner)[name]


def _require_learner(name: str, kind: TaskKind) -> type[BaseEstimator]:
    """Return the class of a model that learns a kind of target."""
    wanted: _Learner = "regressor" if kind == "regression" else "classifier"
    other: _Learner = "classifier" if kind == "regression" else "regressor"
    found = _estimators(wanted).get(name)
    if found is None:
        target = "a number" if kind == "regression" else "a class"
        said = f"a {other} and " if name in _estimators(other) else ""
        raise InvalidInputError(
            f"Extra model {name!r}",
            f"is {said}not a scikit-learn {wanted}, and the target is {target}",
            f"Name it by module and class, for example tree.DecisionTree{wanted.capitalize()}.",
        )
    return found


def _family(name: str, space: Mapping[str, Any], kind: TaskKind) -> ModelFamily:
    if name in families_for(kind):
        raise InvalidInputError(
            f"Extra model {name!r}", "has a search space of its own", "Name it among the families."
        )
    parameters = _parameters(name, _require_learner(name, kind))
    unknown = sorted(set(space) - set(parameters))
    if unknown:
        raise InvalidInputError(
            f"Parameter {unknown[0]!r} of {name}",
            "is unknown",
            f"Choose among: {', '.join(parameters)}.",
        )
    _require_storable(name)
    # True for a model that learns from a sparse matrix, and can be kept then.
    reads_sparse = _failure(name, sparse=True) is None
    read = {key: _dimension(name, key, value) for key, value in space.items()}
    searched = {key: _checked(name, key, values) for key, values in read.items()}
    return ModelFamily(
        name=name,
        title=f"scikit-learn's {name.rpartition('.')[2]}",
        layout="sparse" if name.startswith(_LINEAR) and reads_sparse else "dense",
        reads_sparse=reads_sparse,
        space={key: it for key, it in searched.items() if isinstance(it, Dimension)},
        fixed={key: it for key, it in searched.items() if not isinstance(it, Dimension)},
        seeded="random_state" in parameters,
    )


def _parameters(name: str, estimator: type[BaseEstimator]) -> list[str]:
    try:
        return sorted(estimator().get_params(deep=False))
    except TypeError as error:
        raise InvalidInputError(
            f"Extra model {name!r}",
            f"is made of other models ({error})",
            "Name a model that stands by itself.",
        ) from error


def _require_storable(name: str) -> None:
    """Find out in advance whether a model can be kept: after hours of tuning it is too late."""
    error = _failure(name, sparse=False)
    if error is not None:
        raise InvalidInputError(
            f"Extra model {name!r}", f"cannot be used here ({error})", "Choose another."
        ) from error


@functools.cache
def _failure(name: str, *, sparse: bool) -> Exception | None:
    """Return why a model of a few generated rows cannot be fitted or stored; None if it can."""
    columns = np.random.default_rng(0).uniform(0, 1, (40, 3))
    try:
        with warnings.catch_warnings():
            # The quality of this fit does not matter.
            warnings.simplefilter("ignore")
            matrix = csr_matrix(columns) if sparse else columns
            actual = columns.sum(axis=1)
            if name in _estimators("classifier"):
                actual = (actual > np.median(actual)).astype(np.float64)
            fitted = _class_of(name)().fit(matrix, actual)
            if name in _estimators("classifier") and not hasattr(fitted, "predict_proba"):
                msg = "it says classes without their probabilities"
                raise TypeError(msg)  # noqa: TRY301 - one of the reasons that are caught below
            dump_estimator(fitted)
    except (ValueError, TypeError, StoredObjectError) as error:
        return error
    return None


def _dimension(model: str, parameter: str, value: Any) -> Dimension | Setting:  # noqa: ANN401 - JSON
    """Return the dimension that a JSON value stands for, or the fixed value that it is."""
    match value:
        case {"low": int() | float() as low, "high": int() | float() as high, **further} if (
            -_FARTHEST < low <= high < _FARTHEST
            and set(further) <= _FURTHER
            and isinstance(further.get("log", False), bool)
            and (not further.get("log") or low > 0)
        ):
            log = bool(further.get("log"))
            if isinstance(low, int) and isinstance(high, int):
                return Integer(low, high, log=log)
            return Real(float(low), float(high), log=log)
        case list(values) if values and all(_is_setting(one) for one in values):
            return Categorical(tuple(values))
        case float() | int() | str() | None as one:
            return one
    shown = repr(value) if not isinstance(value, Mapping) or _is_short(value) else "{…}"
    raise InvalidInputError(
        f"Space {shown} of {parameter} of {model}",
        "is not a search space",
        'Give {"low": 5, "high": 50}, a list of values, or one value; "log": true needs low > 0.',
    )


def _is_short(value: Mapping[str, Any]) -> bool:
    # Python refuses to write numbers of thousands of digits.
    return all(not isinstance(one, int) or abs(one) < _FARTHEST for one in value.values())


def _checked(model: str, parameter: str, given: Dimension | Setting) -> Dimension | Setting:
    """Return a space, or a value, whose ends scikit-learn takes, with whole numbers where it asks.

    Its own constraints say so before the search; otherwise every trial would fail.

    Raises
    ------
    InvalidInputError
        If it does not take one of them.
    """

    def taken(value: Setting) -> Setting:
        return _taken(model, parameter, value)

    match given:
        case Real(low, high, log):
            ends = taken(low), taken(high)
            if all(isinstance(end, int) for end in ends):
                return Integer(int(low), int(high), log=log)
            if any(isinstance(end, int) for end in ends):
                # For example a share up to 1, and a number from 2 on.
                raise InvalidInputError(
                    f"The range from {low:g} to {high:g} of {parameter} of {model}",
                    "has a bound that stands for a whole number, and one that does not",
                    "Give two whole numbers, or two that are not.",
                )
            return given
        case Integer(low, high, log):
            ends = taken(low), taken(high)
            if all(isinstance(end, int) for end in ends):
                return given
            return Real(float(low), float(high), log=log)
        case Categorical(values):
            return Categorical(tuple(map(taken, values)))
        case value:
            return taken(value)


def _taken(model: str, parameter: str, value: Setting) -> Setting:
    """Return a value as scikit-learn takes it: a whole number for 6.0, a real one for 1."""
    constraints = getattr(_class_of(model), "_parameter_constraints", {}).get(parameter)
    if constraints is None or isinstance(constraints, str):
        return value
    rules = [make_constraint(constraint) for constraint in constraints]
    for candidate in _spellings(value):
        if any(rule.is_satisfied_by(candidate) for rule in rules):
            return candidate
    raise InvalidInputError(
        f"Value {value!r} of {parameter} of {model}",
        "is not accepted by scikit-learn, which takes "
        f"{' or '.join(str(it) for it in rules if not it.hidden)}",
        "Give others; of a range, both bounds.",
    )


def _spellings(value: Setting) -> list[Setting]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [value]
    if isinstance(value, float):
        return [value, int(value)] if value.is_integer() else [value]
    return [value, float(value)]


def _is_setting(value: Setting | object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
