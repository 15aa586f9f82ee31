"""Further regressors of scikit-learn, named in the run's conf with a search space."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.utils import all_estimators

from trip_duration.errors import InvalidInputError, StoredObjectError
from trip_duration.models.catalogue import FAMILIES, ModelFamily
from trip_duration.models.spaces import Choice, Dimension, Integer, Real, Setting
from trip_duration.objects.trust import dump_estimator

#: What may stand in a range beside its bounds.
_FURTHER = frozenset({"log"})

#: Modules whose regressors get the sparse matrix where they read it; all others get the dense one.
_LINEAR = ("linear_model.", "svm.Linear")


def extra_families(spaces: Mapping[str, Mapping[str, Any]]) -> Mapping[str, ModelFamily]:
    """Families by name, each with a space as JSON.

    Parameters
    ----------
    spaces
        By the regressor's name, such as ``neighbors.KNeighborsRegressor``: for each of its
        parameters a range (``{"low": 5, "high": 50}``, whole numbers if both bounds are, and with
        ``"log": true`` drawn on a logarithmic scale), a list to choose from, or one fixed value.
        Without any range or list there is one trial.

    Raises
    ------
    InvalidInputError
        If scikit-learn has no such regressor, it has no such parameter, a range is not one, or a
        model of it cannot be stored without pickle. Nothing is imported by name: the regressors
        are those that scikit-learn itself lists.
    """
    return MappingProxyType({name: _family(name, space) for name, space in spaces.items()})


@functools.cache
def _regressors() -> Mapping[str, type[BaseEstimator]]:
    """scikit-learn's own regressors, by the module that they are published in and their name."""
    return MappingProxyType(
        {
            f"{found.__module__.split('.')[1]}.{name}": found
            for name, found in all_estimators(type_filter="regressor")
        }
    )


def _family(name: str, space: Mapping[str, Any]) -> ModelFamily:
    if name in FAMILIES:
        raise InvalidInputError(
            f"Extra model {name!r}", "has a search space of its own", "Name it among the families."
        )
    regressor = _regressors().get(name)
    if regressor is None:
        raise InvalidInputError(
            f"Extra model {name!r}",
            "is none of scikit-learn's regressors",
            "Name it by module and class, for example neighbors.KNeighborsRegressor.",
        )
    known = _parameters(name, regressor)
    unknown = sorted(set(space) - set(known))
    if unknown:
        raise InvalidInputError(
            f"Parameter {unknown[0]!r} of {name}",
            "is unknown",
            f"Choose among: {', '.join(known)}.",
        )
    _require_storable(name)
    # Whether it learns from a sparse matrix, and can be kept then.
    reads_sparse = _failure(name, sparse=True) is None
    searched = {key: _dimension(name, key, value) for key, value in space.items()}
    return ModelFamily(
        name=name,
        title=f"scikit-learn's {name.rpartition('.')[2]}",
        layout="sparse" if name.startswith(_LINEAR) and reads_sparse else "dense",
        reads_sparse=reads_sparse,
        space={key: found for key, found in searched.items() if found is not None},
        fixed={key: space[key] for key, found in searched.items() if found is None},
        seeded="random_state" in known,
    )


def _parameters(name: str, regressor: type[BaseEstimator]) -> list[str]:
    try:
        return sorted(regressor().get_params(deep=False))
    except TypeError as error:
        raise InvalidInputError(
            f"Extra model {name!r}",
            f"is made of other models ({error})",
            "Name a regressor that stands by itself.",
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
    """Why a model of a few generated rows cannot be made or kept; None if it can."""
    columns = np.random.default_rng(0).uniform(0, 1, (40, 3))
    try:
        with warnings.catch_warnings():
            # What is learned of three columns does not matter.
            warnings.simplefilter("ignore")
            matrix = csr_matrix(columns) if sparse else columns
            dump_estimator(_regressors()[name]().fit(matrix, columns.sum(axis=1)))
    except (ValueError, TypeError, StoredObjectError) as error:
        return error
    return None


def _dimension(model: str, parameter: str, value: Any) -> Dimension | None:  # noqa: ANN401 - JSON
    """The dimension that a JSON value stands for; None for a fixed value."""
    match value:
        case {"low": int() | float() as low, "high": int() | float() as high, **further} if (
            -math.inf < low <= high < math.inf
            and set(further) <= _FURTHER
            and (not further.get("log") or low > 0)
        ):
            log = bool(further.get("log"))
            if isinstance(low, int) and isinstance(high, int):
                return Integer(low, high, log=log)
            return Real(float(low), float(high), log=log)
        case list(values) if values and all(_is_setting(one) for one in values):
            return Choice(tuple(values))
        case one if _is_setting(one):
            return None
    raise InvalidInputError(
        f"Space {value!r} of {parameter} of {model}",
        "is no search space",
        'Give {"low": 5, "high": 50}, a list of values, or one value; "log": true needs low > 0.',
    )


def _is_setting(value: Setting | object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
