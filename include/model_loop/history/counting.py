"""Rows in the bins of a column, and how far two countings are from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_loop.history.coding import Codes, Shares


@dataclass(frozen=True)
class Counted:
    """Rows in the bins of one column.

    Parameters
    ----------
    shares
        Share of the rows in each bin.
    rows
        Number of rows.
    """

    shares: Shares
    rows: int

    @classmethod
    def of(cls, codes: Codes, size: int) -> Counted:
        """Return the shares of the codes."""
        return cls(np.bincount(codes, minlength=size) / max(len(codes), 1), len(codes))


def total_variation(one: Shares, other: Shares) -> float:
    """Return the share of rows that would have to change to make one of the other."""
    return float(np.abs(one - other).sum() / 2)


def variation_by_chance(shares: Shares, rows: float, others: float) -> float:
    """Return the total variation that two samples of the same shares have by chance."""
    variance = shares * (1 - shares) * (1 / max(rows, 1) + 1 / max(others, 1))
    return float(np.sqrt(2 / np.pi * np.maximum(variance, 0)).sum() / 2)


def deviation_by_chance(shares: Shares, rows: float, others: float) -> float:
    """Return the standard deviation of that, as if bins were independent."""
    variance = shares * (1 - shares) * (1 / max(rows, 1) + 1 / max(others, 1))
    # The deviation of the absolute value of a normal variable.
    return float(np.sqrt((1 - 2 / np.pi) * np.maximum(variance, 0).sum()) / 2)


def beyond_chance(one: Counted, other: Counted) -> float:
    """Return the total variation between two countings beyond what chance makes."""
    distance = total_variation(one.shares, other.shares)
    return max(0.0, distance - variation_by_chance(other.shares, one.rows, other.rows))
