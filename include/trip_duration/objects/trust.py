"""Estimators as skops files, and which classes they may hold.

skops rebuilds estimators without pickle and asks which classes it may import. Everything outside
this policy is refused when it is written and when it is read.
"""

from __future__ import annotations

import io
import itertools
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from trip_duration.errors import StoredObjectError
from trip_duration.objects.trees import require_sound_trees

with warnings.catch_warnings():
    # skops looks for its functions in every module that is loaded, Airflow's deprecated ones too.
    warnings.simplefilter("ignore")
    import skops.io

_SCHEMA = "schema.json"
_ID = "__id__"

#: Classes that skops does not trust by itself and that estimators are made of: this package's few,
#: and parts of scikit-learn's regressors. Whole names alone: below the name of a package is also
#: all that its modules import, such as the functions that start processes.
TRUSTED = frozenset(
    {
        "trip_duration.models.boosting.BoosterRegressor",
        "trip_duration.models.selection.ColumnSelector",
        "trip_duration.training_set.encoders.dense.DenseTripEncoder",
        "trip_duration.training_set.encoders.one_hot.OneHotTripEncoder",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.model_selection._split.KFold",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
#: Nodes that call functions or methods; no estimator needs them.
_CALLS = frozenset({"MethodNode", "OperatorFuncNode", "PartialNode"})


def trusted_types(stored: bytes) -> list[str]:
    """The classes of a stored estimator that have to be trusted by name, all within the policy.

    Raises
    ------
    StoredObjectError
        If the estimator holds a class outside the policy.
    """
    # Their nodes bear a name of the file's choice, which need not be what they call.
    _require_none({str(node.get("__loader__")) for node in _nodes(_schema(stored))} & _CALLS)
    needed = [str(name) for name in skops.io.get_untrusted_types(data=stored)]
    _require_none(set(needed) - TRUSTED)
    return needed


def _require_none(foreign: set[str]) -> None:
    if foreign:
        raise StoredObjectError(
            "A stored estimator",
            f"holds classes that are not trusted: {', '.join(sorted(foreign))}",
            "Only scikit-learn's own estimators and this package's can be stored.",
        )


def dump_estimator(estimator: Any) -> bytes:  # noqa: ANN401 - any scikit-learn estimator
    """An estimator as a skops file; the same estimator gives the same bytes in every process.

    Raises
    ------
    StoredObjectError
        If it holds a class outside the policy.
    """
    stored = _canonical(skops.io.dumps(estimator))
    trusted_types(stored)
    return stored


def load_estimator(stored: bytes) -> Any:  # noqa: ANN401 - any scikit-learn estimator
    """An estimator from a skops file.

    Raises
    ------
    StoredObjectError
        If it holds a class outside the policy, or a tree that cannot be walked.
    """
    estimator = skops.io.loads(stored, trusted=trusted_types(stored))
    require_sound_trees(estimator)
    return estimator


def _schema(stored: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The tree of a skops file."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        return json.loads(archive.read(_SCHEMA))


def _canonical(stored: bytes) -> bytes:
    """The same skops file without addresses in memory and times, which differ in every process."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema, names = json.loads(members.pop(_SCHEMA)), dict[str, str]()
    numbers, counter = dict[int, int](), itertools.count(1)
    for node in _nodes(schema):
        if _ID in node:
            node[_ID] = _number(node, numbers, counter)
        if node.get("file") in members:
            old = node["file"]
            node["file"] = names.setdefault(old, f"{len(names)}{PurePath(old).suffix}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new), _without_padding(members[old]))
        archive.writestr(zipfile.ZipInfo(_SCHEMA), json.dumps(schema, indent=1))
    return buffer.getvalue()


def _without_padding(member: bytes) -> bytes:
    """A stored array of records with zeros in the bytes between the fields, which are chance.

    The nodes of scikit-learn's trees have such bytes.
    """
    if not member.startswith(np.lib.format.MAGIC_PREFIX):
        return member
    array = np.load(io.BytesIO(member), allow_pickle=False)
    if array.dtype.names is None:
        return member
    clean = np.zeros(array.shape, dtype=array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _nodes(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    """Every JSON object of a schema, in the order of the file."""
    if isinstance(node, dict):
        yield node
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from _nodes(child)


def _number(node: dict[str, Any], numbers: dict[int, int], counter: Iterator[int]) -> int:
    """A number in place of an address: the same for the same object.

    Plain texts and numbers get one each: which of them share an address is chance.
    """
    if node.get("__loader__") == "JsonNode":
        return next(counter)
    address = node[_ID]
    if address not in numbers:
        numbers[address] = next(counter)
    return numbers[address]
