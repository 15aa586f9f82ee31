"""The identity whose rows are looked for: values of columns, and ids of predictions."""

from __future__ import annotations

import decimal
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError
from model_loop.scoring.answers import IDENTIFIER

Mask = npt.NDArray[np.bool_]

_YES_NO: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "0", "0.0"), False),
}


@dataclass(frozen=True)
class KeyColumn:
    """One condition on the rows of an identity.

    Parameters
    ----------
    names
        Names that the column has in files, requests and frames, the first of which it is given by.
    kind
        Type of its values: ``text``, ``number``, ``time`` or ``yes_no``.
    value
        Its value, as text.
    """

    names: tuple[str, ...]
    kind: str
    value: str

    def name_in(self, names: Collection[str]) -> str | None:
        """Return the name that it has among those of a table; None if it is not there."""
        return next((name for name in self.names if name in names), None)

    def mask(self, values: pd.Series[Any]) -> Mask:
        """Return which values are this one, shape (rows,)."""
        if self.kind == "text":
            return self._texts(values)
        if self.kind == "time":
            return self._times(values)
        if self.kind == "yes_no":
            texts = values.astype("string").str.strip().str.lower()
            wanted = _YES_NO.get(self.value.strip().lower())
            return np.array([_YES_NO.get(str(text)) is wanted for text in texts], dtype=bool)
        return _equals(values, self.value)

    def _texts(self, values: pd.Series[Any]) -> Mask:
        if pd.api.types.is_numeric_dtype(values):
            # A column that no declaration knows: a text in one file is a number in another.
            return _equals(values, self.value)
        texts = values.astype("string").str.strip()
        return np.asarray(texts.eq(self.value.strip()).fillna(value=False), dtype=bool)

    def _times(self, values: pd.Series[Any]) -> Mask:
        wanted = pd.to_datetime(self.value, errors="coerce", utc=True)
        if pd.api.types.is_numeric_dtype(values):
            # The request log keeps seconds.
            times = pd.to_datetime(values, unit="s", errors="coerce", utc=True)
        else:
            times = pd.to_datetime(values, errors="coerce", utc=True, format="mixed")
        return np.asarray(times == wanted)


#: Floating-point numbers cannot represent all whole numbers from here on.
_EXACT = 2**53


def _equals(values: pd.Series[Any], value: str) -> Mask:
    """Return which values are a number, shape (rows,).

    Raises
    ------
    InvalidInputError
        If floating-point numbers cannot represent it exactly.
    """
    number = _number(value)
    if not abs(number) >= _EXACT:
        numbers = pd.to_numeric(values, errors="coerce")
        return np.asarray((numbers == number).fillna(value=False), dtype=bool)
    whole = int(decimal.Decimal(value.strip()))
    if pd.api.types.is_float_dtype(values):
        raise InvalidInputError(
            f"The identity {value}",
            "is in a column of floating-point numbers, which do not tell it from its neighbours",
            "Write the column as text or whole numbers in that file, then erase again.",
        )
    texts = values.astype("string").str.strip()
    return np.asarray(texts.eq(str(whole)).fillna(value=False), dtype=bool)


@dataclass(frozen=True)
class Identity:
    """The rows that are looked for: those with all values, and those of the predictions.

    Parameters
    ----------
    dataset
        Dataset of the rows.
    keys
        Conditions, all of which a row has to meet.
    predictions
        Ids of predictions.
    """

    dataset: Dataset
    keys: tuple[KeyColumn, ...]
    predictions: frozenset[str] = frozenset()

    def mask(self, frame: pd.DataFrame) -> Mask:
        """Return which rows of a table are its own, shape (rows,)."""
        found = np.zeros(len(frame), dtype=bool)
        names = [one.name_in(frame.columns) for one in self.keys]
        if self.keys and all(name is not None for name in names):
            found[:] = True
            for one, name in zip(self.keys, names, strict=True):
                found &= one.mask(frame[name])
        if self.predictions and IDENTIFIER in frame:
            found |= np.asarray(frame[IDENTIFIER].astype("string").isin(self.predictions))
        return found

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Return the columns of a table that have to be read; none if no row can be its own."""
        keys = [one.name_in(names) for one in self.keys]
        found = [name for name in keys if name is not None] if None not in keys else []
        return [*found, *([IDENTIFIER] if self.predictions and IDENTIFIER in names else [])]

    def with_predictions(self, ids: Collection[str]) -> Identity:
        """Return it with the ids of further predictions."""
        return replace(self, predictions=self.predictions | {*ids})

    def digest(self, secret: bytes) -> str:
        """Return a keyed hash of the values: it reveals nothing about them without the secret."""
        told = [sorted((one.names[0], one.value) for one in self.keys), sorted(self.predictions)]
        content = json.dumps([self.dataset.name, told]).encode()
        return hmac.new(secret, content, hashlib.sha256).hexdigest()


def read_identity(dataset: Dataset, keys: Sequence[str], predictions: Sequence[str]) -> Identity:
    """Return the identity that is given as ``column=value``, and by ids of predictions.

    Raises
    ------
    InvalidInputError
        If nothing is given, a column is given twice, or a value does not fit its column.
    """
    found: dict[str, KeyColumn] = {}
    for text in keys:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InvalidInputError(
                f"--key {text!r}", "is not a column with its value", "Give --key COLUMN=VALUE."
            )
        column = _column(dataset, name, value)
        if column.names[0] in found:
            raise InvalidInputError(
                f"--key {text!r}", "names a column twice", "Give each column once."
            )
        found[column.names[0]] = column
    if not found and not predictions:
        raise InvalidInputError(
            "The identity",
            "has neither a column nor a prediction",
            "Give --key COLUMN=VALUE, or --prediction-id ID.",
        )
    return Identity(dataset, tuple(found.values()), frozenset(predictions))


def _column(dataset: Dataset, name: str, value: str) -> KeyColumn:
    place = dataset.columns.by_any_name.get(name)
    if place is None:
        # It is passed on from file to file, and is no column of the dataset.
        return KeyColumn((name,), "text", value)
    column = dataset.columns[place]
    kind = "text" if column.text else "number" if column.kind == "category" else column.kind
    valid = {
        "text": True,
        "number": bool(np.isfinite(_number(value))),
        "time": bool(pd.notna(pd.to_datetime(value, errors="coerce"))),
        "yes_no": value.strip().lower() in _YES_NO,
    }
    if not valid[kind]:
        raise InvalidInputError(
            f"--key {name}={value}",
            f"is not a value of the column {name}, which holds a {kind.replace('_', ' or ')}",
            "Write it as it is in the files.",
        )
    return KeyColumn(tuple(dict.fromkeys((name, *column.names))), kind, value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
