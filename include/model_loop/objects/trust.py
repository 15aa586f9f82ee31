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

from model_loop.errors import StoredObjectError
from model_loop.objects.allowed import TRUSTED
from model_loop.objects.limits import bounded_archive
from model_loop.objects.rules import require_sound
from model_loop.objects.schema import SCHEMA, WHAT, nodes, refuse_unknown_classes, require_none

with warnings.catch_warnings():
    # skops looks for its functions in every module that is loaded, Airflow's deprecated ones too.
    warnings.simplefilter("ignore")
    import skops.io

_ID = "__id__"
#: Errors of reading what is of another form than is expected.
_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError)


def trusted_types(stored: bytes) -> list[str]:
    """The classes of a stored estimator that have to be trusted by name, all within the policy.

    Raises
    ------
    StoredObjectError
        If the estimator holds a class outside the policy, or is not within the bounds of `limits`.
    """
    return _trusted(bounded_archive(stored, WHAT))


def _trusted(plain: bytes) -> list[str]:
    # Their nodes bear a name of the file's choice, which need not be what they call.
    refuse_unknown_classes(plain)
    needed = [str(name) for name in skops.io.get_untrusted_types(data=plain)]
    require_none(set(needed) - TRUSTED)
    return needed


def dump_estimator(estimator: Any) -> bytes:  # noqa: ANN401 - any scikit-learn estimator
    """An estimator as a skops file; the same estimator gives the same bytes in every process.

    Raises
    ------
    StoredObjectError
        If it could not be loaded again: it holds a class outside the policy, or parts that do not
        go together.
    """
    stored = _canonical(skops.io.dumps(estimator))
    # Refused here, where it can still be mended, and not when it is read.
    load_estimator(stored)
    return stored


def load_estimator(stored: bytes) -> Any:  # noqa: ANN401 - any scikit-learn estimator
    """An estimator from a skops file.

    Raises
    ------
    StoredObjectError
        If it holds a class outside the policy, or parts that do not go together.
    """
    plain = bounded_archive(stored, WHAT)
    trusted = _trusted(plain)
    try:
        estimator = skops.io.loads(plain, trusted=trusted)
    except _DAMAGED as error:
        raise StoredObjectError(
            WHAT, f"is incomplete ({type(error).__name__}: {error})", "Train or store it anew."
        ) from error
    require_sound(estimator)
    return estimator


def _canonical(stored: bytes) -> bytes:
    """Return the skops file without memory addresses and times, which differ in every process."""
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema, names = json.loads(members.pop(SCHEMA)), dict[str, str]()
    numbers, counter = dict[int, int](), itertools.count(1)
    for node in nodes(schema):
        if _ID in node:
            node[_ID] = _number(node, numbers, counter)
        if node.get("file") in members:
            old = node["file"]
            node["file"] = names.setdefault(old, f"{len(names)}{PurePath(old).suffix}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new), _without_padding(members[old]))
        archive.writestr(zipfile.ZipInfo(SCHEMA), json.dumps(schema, indent=1))
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
