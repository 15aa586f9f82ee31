"""Compiled forms of encoders: the general one, and what a dataset in Python has of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_loop.datasets.dataset import Dataset
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled import vectors
from model_loop.serving.compiled.columns import ColumnTables, Vocabulary, sound_width
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.origins import Origins, origins_of_tables

Kernel = Callable[[Rows, Any, Any, Any], None]
"""Predicts rows of float64 by tables and a flat estimator into an array of one length."""

_CODE: Mapping[tuple[type, type], str] = MappingProxyType(
    {(ColumnTables, Trees): "predict_trees", (ColumnTables, Linear): "predict_linear"}
)
_ODD_SHARE = 0.1
#: 2000-01-01 and 2099-12-31, in seconds since 1970.
_TIMES = (946_684_800, 4_102_444_799)


def kernel_of(name: str | None, beside: str, *, machine_code: bool) -> Kernel | None:
    """Return a function that predicts, by its name; None without one.

    Parameters
    ----------
    beside
        Name of a module that has the modules `kernels` and `vectors` beside it.
    """
    if name is None:
        return None
    # Only one of them is needed, and one of them is large.
    package = beside.rpartition(".")[0]
    code = importlib.import_module(f"{package}.{'kernels' if machine_code else 'vectors'}")
    kernel: Kernel = getattr(code, name)
    return kernel


class EncoderForms(Protocol):
    """The compiled forms of a dataset's encoders.

    Attributes
    ----------
    kinds
        Types of tables, by the names under which they are stored.
    """

    kinds: Mapping[str, type]

    def columns_of(self, encoder: Any, /) -> tuple[str, ...] | None:  # noqa: ANN401 - any step of a pipeline
        """Return the raw columns that an encoder reads; None where its signature says so."""

    def tables_of(self, encoder: Any, /) -> tuple[Any, Vocabulary] | None:  # noqa: ANN401 - as above
        """Return tables (of `kinds`) and vocabulary of a fitted encoder; None if it has none."""

    def kernel(self, tables: Any, flat: Any, /, *, machine_code: bool) -> Kernel | None:  # noqa: ANN401 - as above
        """Return the function that predicts; None if there is none for these."""

    def sound_width(self, tables: Any, /) -> int | None:  # noqa: ANN401 - as above
        """Return the number of columns that tables make; None if they do not fit together."""

    def design(self, rows: Rows, tables: Any, absent: float, /) -> npt.NDArray[np.float64]:  # noqa: ANN401 - as above
        """Return the design matrix of rows of float64.

        Parameters
        ----------
        absent
            Value of a column of a sparse matrix without an entry.
        """

    def origins(self, encoder: Any, tables: Any, /) -> Origins:  # noqa: ANN401 - as above
        """Return the columns of a row that each column of the design matrix is computed from."""

    def odd_rows(self, tables: Any, count: int, /) -> Rows:  # noqa: ANN401 - as above
        """Return generated rows, among them every oddity that a request may have."""


class ColumnForms:
    """Tables of a `ColumnTransformer` of scikit-learn's parts.

    Parameters
    ----------
    dataset
        Dataset of the rows.
    """

    kinds: Mapping[str, type] = MappingProxyType({ColumnTables.__name__: ColumnTables})

    def __init__(self, dataset: Dataset) -> None:
        self._columns = dataset.columns

    def columns_of(self, _encoder: Any) -> None:  # noqa: ANN401 - as above
        """Leave it to the signature."""

    def tables_of(self, encoder: Any) -> tuple[Any, Vocabulary] | None:  # noqa: ANN401 - as above
        """Return tables and vocabulary of a `ColumnTransformer`; None of another encoder."""
        from model_loop.serving.compiled.transformers import (  # noqa: PLC0415 - it needs scikit-learn
            tables_of,
        )

        return tables_of(encoder, self._columns)

    def kernel(self, tables: Any, flat: Any, *, machine_code: bool) -> Kernel | None:  # noqa: ANN401 - as above
        """Return the function that predicts."""
        return kernel_of(_CODE.get((type(tables), type(flat))), __name__, machine_code=machine_code)

    def sound_width(self, tables: Any) -> int | None:  # noqa: ANN401 - as above
        """Return the number of columns that tables make; None if they do not fit together."""
        return sound_width(tables, len(self._columns))

    def design(self, rows: Rows, tables: ColumnTables, absent: float) -> npt.NDArray[np.float64]:
        """Return the design matrix of rows."""
        return vectors.encode(rows, tables, absent if tables.is_sparse else 0.0)

    def origins(self, _encoder: Any, tables: ColumnTables) -> Origins:  # noqa: ANN401 - as above
        """Return the column of a row that each column of the design matrix is computed from."""
        return origins_of_tables(tables)

    def odd_rows(self, tables: ColumnTables, count: int) -> Rows:
        """Return generated rows in which categories are places in the vocabulary.

        Numbers lie around what the encoder has seen; of each column some are missing, and of each
        category some are unknown.
        """
        random = np.random.default_rng(0)
        rows = np.full((count, len(self._columns)), np.nan)
        for which, place in enumerate(tables.number_columns.tolist()):
            column = self._columns[place]
            if column.kind == "yes_no":
                rows[:, place] = random.integers(0, 2, count)
                continue
            scale = abs(tables.number_scales[which]) * 2 + abs(tables.number_fills[which])
            numbers = random.normal(tables.number_fills[which], scale or 1.0, count).round(2)
            rows[:, place] = np.clip(numbers, column.lowest, column.highest)
        for place in tables.phase_columns.tolist():
            rows[:, place] = random.integers(*_TIMES, count)
        for place, size in zip(
            tables.category_columns.tolist(), tables.category_sizes.tolist(), strict=True
        ):
            rows[:, place] = random.integers(-1, max(size, 1), count)
        for place, column in enumerate(self._columns):
            if not column.required:
                rows[random.random(count) < _ODD_SHARE, place] = np.nan
        return rows


def forms_of(dataset: Dataset) -> EncoderForms:
    """Return the compiled forms of a dataset's encoders."""
    if not dataset.extensions.compiled:
        return ColumnForms(dataset)
    module, _, name = dataset.extensions.compiled.partition(":")
    forms: EncoderForms = getattr(importlib.import_module(module), name)
    return forms
