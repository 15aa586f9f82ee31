"""Tables of what an encoder of scikit-learn's parts computes, column by column.

Each column of a design matrix comes from one raw column: a number that is filled and scaled, a flag
of a missing value, the phase of a time in a period, or what a category becomes. For categories the
fitted encoder itself is asked what it makes of each of them, so that it need not be understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float64]


Vocabulary = Mapping[int, tuple[str, ...]]
"""Texts of each column of categories, by its place in a row."""


class ColumnTables(NamedTuple):
    """Tables of the columns of a `ColumnTransformer`.

    `columns` are places in a row, `targets` columns of the design matrix. A category of a row is
    its place in the vocabulary; one that is not in it has the number of its size, and a missing one
    the number behind that.

    Parameters
    ----------
    number_columns, number_targets, number_fills, number_shifts, number_scales
        Numbers: filled where missing, less the shift, divided by the scale.
    flag_columns, flag_targets, flag_given, flag_missing
        Values of columns that say whether a value is missing.
    phase_columns, phase_targets, phase_fills, phase_starts, phase_periods, phase_bins
        Times within a period: an angle from -π/2 to π/2, or one of so many columns that is one.
    category_columns, category_sizes, category_firsts
        Categories: size of the vocabulary, and the first of its entries in `spans`.
    spans
        Where the values of each category begin in `targets` and `values`; the last is the end.
    targets, values
        Columns that a category sets, and their values.
    width
        Number of columns.
    is_sparse
        Whether the matrix is sparse, so that a zero is no entry of it.
    """

    number_columns: _Ints
    number_targets: _Ints
    number_fills: _Floats
    number_shifts: _Floats
    number_scales: _Floats
    flag_columns: _Ints
    flag_targets: _Ints
    flag_given: _Floats
    flag_missing: _Floats
    phase_columns: _Ints
    phase_targets: _Ints
    phase_fills: _Floats
    phase_starts: _Floats
    phase_periods: _Floats
    phase_bins: _Ints
    category_columns: _Ints
    category_sizes: _Ints
    category_firsts: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    targets: _Ints
    values: _Floats
    width: int
    is_sparse: bool


def sound_width(tables: ColumnTables, columns: int) -> int | None:
    """Return the number of columns that tables make; None if they do not fit together.

    Parameters
    ----------
    columns
        Values of a row.
    """
    groups = {
        "number": ("fills", "shifts", "scales"),
        "flag": ("given", "missing"),
        "phase": ("fills", "starts", "periods"),
    }
    scalars: tuple[Any, Any] = (tables.width, tables.is_sparse)
    if not isinstance(scalars[0], int) or not isinstance(scalars[1], bool):
        return None
    for group, further in groups.items():
        sources, targets = getattr(tables, f"{group}_columns"), getattr(tables, f"{group}_targets")
        if not _are_places(sources, columns) or not _are_places(targets, tables.width):
            return None
        values = [getattr(tables, f"{group}_{name}") for name in further]
        if any(one.dtype != np.float64 or one.shape != sources.shape for one in values):
            return None
    bins = tables.phase_bins
    if bins.dtype != np.int32 or bins.shape != tables.phase_targets.shape or (bins < 0).any():
        return None
    if (tables.phase_targets + np.maximum(bins, 1) > tables.width).any():
        return None
    return tables.width if _are_categories(tables, columns) else None


def _are_places(places: npt.NDArray[Any], most: int) -> bool:
    return (
        places.dtype == np.int32
        and places.ndim == 1
        and bool(((places >= 0) & (places < most)).all())
    )


def _are_categories(tables: ColumnTables, columns: int) -> bool:
    sizes, firsts, spans = tables.category_sizes, tables.category_firsts, tables.spans
    return bool(
        _are_places(tables.category_columns, columns)
        and sizes.dtype == np.int32
        and firsts.dtype == spans.dtype == np.int64
        and sizes.shape == firsts.shape == tables.category_columns.shape
        and spans.ndim == 1
        and len(spans) > 0
        and (sizes >= 0).all()
        and (firsts >= 0).all()
        and (firsts + sizes + 2 < len(spans)).all()
        and spans[0] >= 0
        and (np.diff(spans) >= 0).all()
        and spans[-1] <= len(tables.targets)
        and _are_places(tables.targets, tables.width)
        and tables.values.dtype == np.float64
        and tables.values.shape == tables.targets.shape
    )
