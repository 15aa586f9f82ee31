"""Which classes a stored estimator may hold.

skops rebuilds estimators without pickle and asks which classes it may import. Everything outside
this policy is refused when it is written and when it is read.
"""

from __future__ import annotations

import skops.io

from trip_duration.errors import StoredObjectError

_OWN = "trip_duration."

#: Classes that skops does not trust by itself and that our estimators are made of.
_TRUSTED = frozenset(
    {
        "sklearn.model_selection._split.KFold",
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._gb_losses.LeastSquaresError",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss.loss.HalfSquaredError",
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
