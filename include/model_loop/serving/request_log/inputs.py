"""Inputs of predictions, as the request log keeps them: an object in JSON, by fields of requests.

Datasets that were logged before there were others have columns of their own in the log
(`Dataset.logged_in_columns`), which go on being written and read.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import datasets_in_python, find_variant
from model_loop.datasets.stored import dataset_of_text
from model_loop.errors import ModelLoopError

logger = logging.getLogger(__name__)


@functools.cache
def columns_of_their_own() -> tuple[Column, ...]:
    """Return the columns of datasets that have columns of their own in the log."""
    return tuple(
        column
        for dataset in datasets_in_python()
        if dataset.logged_in_columns
        for column in dataset.columns
    )


@functools.cache
def _spans() -> Mapping[str, tuple[int, int]]:
    """Return the first of a variant's own columns, and their number, by its key."""
    spans: dict[str, tuple[int, int]] = {}
    first = 0
    for dataset in datasets_in_python():
        if dataset.logged_in_columns:
            spans |= dict.fromkeys(dataset.variants, (first, len(dataset.columns)))
            first += len(dataset.columns)
    return spans


#: Cells of an entry whose inputs are not kept: its own columns, and the object.
NO_INPUTS: tuple[None, ...] = (*(None for _ in columns_of_their_own()), None)


def logged_inputs(service: str, row: Sequence[Any], declaration: str = "") -> Sequence[Any]:
    """Return the cells of the log for the inputs: own columns, and the object in JSON.

    Parameters
    ----------
    service
        Key of the variant.
    row
        Values in the order of the table's columns.
    declaration
        The stored declaration by which it was read; empty for the present one.
    """
    span = _spans().get(service)
    if span is not None and span[1] == len(row):
        before, after = span[0], len(NO_INPUTS) - 1 - sum(span)
        return (*(None,) * before, *row, *(None,) * after, None)
    fields = _fields(service, declaration)
    if len(fields) != len(row):
        _warn(service)
        return NO_INPUTS
    given = {
        name: int(value) if whole and value.is_integer() else value
        for (name, whole), value in zip(fields, row, strict=True)
        # Only NaN differs from itself.
        if value == value  # noqa: PLR0124 - as said
    }
    return (*NO_INPUTS[:-1], msgspec.json.encode(given).decode())


def read_inputs(dataset: Dataset, logged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs, by fields of requests, from the columns of a logged prediction.

    Parameters
    ----------
    logged
        A row of the table `predictions`, by names of its columns.
    """
    if dataset.logged_in_columns:
        return {name: logged[name] for name in dataset.columns.fields}
    given = msgspec.json.decode(logged["inputs"]) if logged["inputs"] else {}
    return {name: given.get(name) for name in dataset.columns.fields}


@functools.lru_cache(maxsize=128)
def _fields(service: str, declaration: str) -> tuple[tuple[str, bool], ...]:
    """Return the fields of a variant, each with whether whole numbers are written without .0."""
    try:
        columns = dataset_of_logged(service, declaration).columns
    except ModelLoopError:
        return ()
    return tuple((one.field, not one.text and one.kind != "number") for one in columns)


def dataset_of_logged(service: str, declaration: str | None) -> Dataset:
    """Return the dataset by which a logged prediction was read.

    Parameters
    ----------
    declaration
        The stored declaration; None and empty stand for the present one.

    Raises
    ------
    ModelLoopError
        If it cannot be read, or there is no such variant now.
    """
    return dataset_of_text(declaration) if declaration else find_variant(service)[0]


@functools.lru_cache(maxsize=128)
def _warn(service: str) -> None:
    logger.error(
        "The inputs of %s are not logged: its columns are others than when it was asked", service
    )
