"""Published partitions as windows of monitoring, and as true values of what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from model_loop.monitoring.windows import Window, WindowRows, of_rows
from model_loop.partitions.keys import WHOLE, keys_of
from model_loop.scoring.predictor import Predictor
from model_loop.sources.published import PublishedSource
from model_loop.training_set.frames import clock_times
from model_loop.training_set.preparation import preparation_of


def read_published(source: PublishedSource, partition: str) -> Any:  # noqa: ANN401 - a frame, or what the dataset's own functions read
    """Fetch a published partition unless it is here, and check it against its contract.

    Parameters
    ----------
    partition
        Its key; ``whole`` for all rows of a table that comes as one.

    Returns
    -------
    DataFrame or object
        Rows that keep the contract; of a dataset in Python, what its preparation has checked, which
        its extensions `published_rows` and `published_labels` read.

    Raises
    ------
    SourceError
        If the source does not have it.
    ContractError
        If it breaks its contract, or a table has no row of it.
    """
    preparation = preparation_of(source.dataset)
    fetched = preparation.fetch_named(
        source.variant,
        source.source,
        partition,
        storage_root=source.storage_root,
        timeout_seconds=source.timeout_seconds,
    )
    checked = preparation.check(fetched, storage_root=source.storage_root)
    return checked if source.dataset.declaration is None else checked.load_rows()


def partitions_of_table(source: PublishedSource) -> list[str]:
    """Return the keys of the partitions of a table that comes as one, in the order of time."""
    times = clock_times(read_published(source, WHOLE)[source.dataset.time]).dropna()
    return sorted(set(keys_of(times.to_numpy(), source.dataset.partition).tolist()))


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
    own: Callable[..., pd.DataFrame] | None = window.dataset.extensions.load("published_rows")
    rows: pd.DataFrame = published if own is None else own(published, columns)
    return of_rows(window, rows, columns, predictor)
