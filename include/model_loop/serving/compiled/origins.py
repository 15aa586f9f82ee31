"""Columns of a row from which the columns of a design matrix are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_loop.serving.compiled.columns import ColumnTables

Origins = npt.NDArray[np.int16]
"""Places in a row, shape (columns of the design matrix, most places of one); -1 for none further.

A column that is computed from several ones, such as the mean of a pair, has a place for each.
"""


def origins_of(places: Sequence[Sequence[int]]) -> Origins:
    """Return the places of each column of a design matrix as one array."""
    found = np.full((len(places), max(map(len, places), default=1)), -1, dtype=np.int16)
    for column, own in enumerate(places):
        found[column, : len(own)] = own
    return found


def origins_of_tables(tables: ColumnTables) -> Origins:
    """Return the place that each column of the tables of a `ColumnTransformer` comes from."""
    found = np.full((tables.width, 1), -1, dtype=np.int16)
    for group in ("number", "flag", "phase", "day"):
        found[getattr(tables, f"{group}_targets"), 0] = getattr(tables, f"{group}_columns")
    for which, bins in enumerate(tables.phase_bins.tolist()):
        first = tables.phase_targets[which]
        found[first : first + max(bins, 1), 0] = tables.phase_columns[which]
    for which, size in enumerate(tables.category_sizes.tolist()):
        first = tables.category_firsts[which]
        entries = slice(tables.spans[first], tables.spans[first + size + 2])
        found[tables.targets[entries], 0] = tables.category_columns[which]
    return found


def by_origin(
    added: npt.NDArray[np.float64], origins: Origins, columns: int
) -> npt.NDArray[np.float64]:
    """Add up contributions of columns of the design matrix by the columns of a row.

    SHAP values are additive, so that those of a group may be summed (Lundberg and Lee, 2017). A
    contribution of a column that is computed from several ones is divided equally among them.

    Parameters
    ----------
    added
        Contributions, shape (columns of the design matrix,).
    columns
        Columns of a row.
    """
    used = origins >= 0
    shares = np.where(used, (added / np.maximum(used.sum(axis=1), 1))[:, np.newaxis], 0.0)
    places = np.maximum(origins, 0).ravel()
    return np.asarray(np.bincount(places, shares.ravel(), minlength=columns), dtype=np.float64)
