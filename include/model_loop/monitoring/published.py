"""Published partitions as windows of monitoring, and as true values of what was predicted.

A dataset in Python reads its own partitions. Those of a declared table are its rows that keep the
contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.errors import NotPublishedError
from model_loop.monitoring.windows import Window, WindowRows, of_rows
from model_loop.partitions.contract import check_rows
from model_loop.partitions.keys import WHOLE, keys_of
from model_loop.scoring.predictor import Predictor
from model_loop.sources.published import PublishedSource, declaration_at
from model_loop.training_set.build import read_source
from model_loop.training_set.frames import clock_times
from model_loop.training_set.preparation import preparation_of


def read_published(source: PublishedSource, partition: str) -> Any:  # noqa: ANN401 - a frame, or what the dataset's own functions read
    """Read a published partition.

    Parameters
    ----------
    partition
        Its key; ``whole`` for all rows of a table that comes as one.

    Returns
    -------
    DataFrame or object
        Rows that keep the contract; of a dataset in Python, what its extensions `published_rows`
        and `published_labels` read.

    Raises
    ------
    SourceError
        If the source does not have it: of rows that a table lacks, `NotPublishedError`.
    ContractError
        If it breaks its contract, or no row is left.
    """
    if source.dataset.declaration is None:
        preparation, root = preparation_of(source.dataset), source.storage_root
        fetched = preparation.fetch_named(
            source.variant,
            source.source,
            partition,
            storage_root=root,
            timeout_seconds=source.timeout_seconds,
        )
        return preparation.check(fetched, storage_root=root)
    rows = _checked_rows(source, partition)
    if source.is_one_table and partition != WHOLE:
        rows = rows[_keys(rows, source.dataset) == partition].reset_index(drop=True)
        if rows.empty:
            raise NotPublishedError(
                f"The table {source.source}",
                f"has no rows of {partition}",
                f"Name a {source.dataset.partitions[1]} that it has.",
            )
    return rows


def partitions_of_table(source: PublishedSource) -> list[str]:
    """Return the keys of the partitions of a table that comes as one, in the order of time."""
    rows = _checked_rows(source, WHOLE)
    return sorted(set(_keys(rows, source.dataset).tolist()))


def rows_of_published(published: Any, columns: Sequence[str], dataset: Dataset) -> pd.DataFrame:  # noqa: ANN401 - see `read_published`
    """Return the rows of a published partition with their true values, as training takes them."""
    own: Callable[..., pd.DataFrame] | None = dataset.extensions.load("published_rows")
    rows: pd.DataFrame = published if own is None else own(published, columns)
    return rows


def window_of_published(
    window: Window,
    published: Any,  # noqa: ANN401 - see `read_published`
    columns: Sequence[str],
    predictor: Predictor | None = None,
) -> WindowRows:
    """Return the rows of a published partition as a window, with their true values.

    Parameters
    ----------
    published
        See `read_published`.
    columns
        Raw columns that are wanted.
    predictor
        The version that predicts them; None leaves them without predictions.
    """
    rows = rows_of_published(published, columns, window.dataset)
    return of_rows(window, rows, columns, predictor)


def _checked_rows(source: PublishedSource, partition: str) -> pd.DataFrame:
    wanted = () if source.is_one_table else (partition,)
    read = read_source(_declaration(source), source.variant, wanted)
    checked = check_rows(
        read.declaration,
        read.table.frame,
        read.partitions_of_rows(),
        unreadable=read.unreadable(),
    )
    return checked.frame.reset_index(drop=True)


def _declaration(source: PublishedSource) -> Declaration:
    declared = declaration_at(source.dataset, source.source)
    assert declared is not None
    return declared


def _keys(rows: pd.DataFrame, dataset: Dataset) -> Any:  # noqa: ANN401 - an array of texts
    if dataset.time is None:
        return keys_of(rows.index, "whole")
    return keys_of(clock_times(rows[dataset.time]).to_numpy(), dataset.partition)
