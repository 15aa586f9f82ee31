"""Tables of what an encoder of scikit-learn's parts computes, column by column.

Each column of a design matrix comes from one raw column: a number that is filled and scaled, a flag
of a missing value, the phase of a time in a period, or what a category becomes. For categories, the
fitted encoder itself encodes each of them, so its rules need not be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
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
    day_columns, day_targets
        Times of which one column says whether they are on a holiday.
    first_day, holidays
        The first of the days since 1970 that are known, and whether it and each one after it are
        holidays.
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
    # Forms of earlier versions have none.
    day_columns: _Ints = np.zeros(0, dtype=np.int32)
    day_targets: _Ints = np.zeros(0, dtype=np.int32)
    first_day: int = 0
    holidays: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)


#: Further arrays of each kind of columns, beside those of places and targets.
_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "number": ("fills", "shifts", "scales"),
        "flag": ("given", "missing"),
        "phase": ("fills", "starts", "periods"),
        "day": (),
    }
)


def sound_width(tables: ColumnTables, columns: int) -> int | None:
    """Return the number of columns that tables make; None if they do not fit together.

    Parameters
    ----------
    columns
        Values of a row.
    """
    scalars: tuple[Any, ...] = (tables.width, tables.first_day, tables.is_sparse)
    fits = (
        [type(one) for one in scalars] == [int, int, bool]
        and all(_is_group(tables, group, columns) for group in _GROUPS)
        and _are_bins(tables)
        and tables.holidays.dtype == np.bool_
        and tables.holidays.ndim == 1
        and _are_categories(tables, columns)
    )
    return tables.width if fits else None


def _is_group(tables: ColumnTables, group: str, columns: int) -> bool:
    sources, targets = getattr(tables, f"{group}_columns"), getattr(tables, f"{group}_targets")
    values = [getattr(tables, f"{group}_{name}") for name in _GROUPS[group]]
    return (
        _are_places(sources, columns)
        and _are_places(targets, tables.width)
        and sources.shape == targets.shape
        and all(one.dtype == np.float64 and one.shape == sources.shape for one in values)
    )


def _are_bins(tables: ColumnTables) -> bool:
    bins, targets = tables.phase_bins, tables.phase_targets
    return bool(
        bins.dtype == np.int32
        and bins.shape == targets.shape
        and (bins >= 0).all()
        and (targets + np.maximum(bins, 1) <= tables.width).all()
    )


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
