"""Estimators as skops files, and which classes they may hold.

skops rebuilds estimators without pickle and asks which classes it may import. Everything outside
this policy is refused when it is written and when it is read.
"""

from __future__ import annotations

import warnings
from typing import Any

from trip_duration.errors import StoredObjectError

with warnings.catch_warnings():
    # skops looks for its functions in every module that is loaded, Airflow's deprecated ones too.
    warnings.simplefilter("ignore")
    import skops.io

_OWN = "trip_duration."

#: Classes that skops does not trust by itself and that our estimators are made of.
_TRUSTED = frozenset(
    {
        "sklearn.model_selection._split.KFold",
        "sklearn.tree._tree.Tree",
    }
)


def trusted_types(stored: bytes) -> list[str]:
    """The classes of a stored estimator that have to be trusted by name, all within the policy.

    Raises
    ------
    StoredObjectError
        If the estimator holds a class outside the policy.
    """
    needed = [str(name) for name in skops.io.get_untrusted_types(data=stored)]
    foreign = [name for name in needed if not name.startswith(_OWN) and name not in _TRUSTED]
    if foreign:
        raise StoredObjectError(
            "A stored estimator",
            f"holds classes that are not trusted: {', '.join(foreign)}",
            "Only this package's and scikit-learn's own estimators can be stored.",
        )
    return needed


def dump_estimator(estimator: Any) -> bytes:  # noqa: ANN401 - any scikit-learn estimator
    """An estimator as a skops file.

    Raises
    ------
    StoredObjectError
        If it holds a class outside the policy.
    """
    stored: bytes = skops.io.dumps(estimator)
    trusted_types(stored)
    return stored


def load_estimator(stored: bytes) -> Any:  # noqa: ANN401 - any scikit-learn estimator
    """An estimator from a skops file.

    Raises
    ------
    StoredObjectError
        If it holds a class outside the policy.
    """
    return skops.io.loads(stored, trusted=trusted_types(stored))
