"""Rates by group are counted right, and say how sure they are."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from model_loop.models.groups import GroupRates, Rate, as_records, rates_by_group

#: Group, whether positive, whether called so, probability.
ROWS = pd.DataFrame(
    [
        ("a", True, True, 0.9),
        ("a", True, False, 0.3),
        ("a", False, True, 0.6),
        ("a", False, False, 0.2),
        ("a", False, False, 0.1),
        ("b", True, True, 0.8),
        ("b", False, False, 0.4),
    ],
    columns=["group", "positive", "called", "probability"],
)


def rates(rows: pd.DataFrame) -> list[GroupRates]:
    """Measure rows by their group."""
    positive, called = (rows[name].to_numpy(dtype=bool) for name in ("positive", "called"))
    return rates_by_group(rows.group, positive, called, rows.probability.to_numpy())


def test_rates_are_those_of_a_hand_count() -> None:
    """Each is of its own rows: recall of the positive ones, false positives of the others."""
    everything, a, b = rates(ROWS)
    assert [each.group for each in (everything, a, b)] == ["", "a", "b"]
    assert (everything.rows, a.rows, b.rows) == (7, 5, 2)
    assert (a.selection.count, a.selection.rows) == (2, 5)
    assert (a.recall.count, a.recall.rows) == (1, 2)
    assert (a.false_positive.count, a.false_positive.rows) == (1, 3)
    assert (a.observed.count, a.observed.rows) == (2, 5)
    assert a.probability == pytest.approx(0.42)
    assert a.gap == pytest.approx(0.02)
    assert (b.recall.value, b.false_positive.value) == (1, 0)


def test_rates_are_those_of_a_table() -> None:
    """A frame that is grouped by another library comes to the same."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "group": draw.choice(["x", "y", "z"], 900, p=[0.5, 0.4, 0.1]),
            "positive": draw.random(900) < 0.3,
            "probability": draw.random(900),
        }
    )
    rows["called"] = rows.probability > 0.6
    grouped = rows.groupby("group")
    for each in rates(rows)[1:]:
        own = grouped.get_group(each.group)
        assert each.selection.value == own.called.mean()
        assert each.recall.value == own[own.positive].called.mean()
        assert each.false_positive.value == own[~own.positive].called.mean()
        assert each.gap == pytest.approx(own.probability.mean() - own.positive.mean())


@pytest.mark.parametrize(("count", "rows"), [(0, 12), (3, 10), (29, 30), (400, 1_000), (7, 7)])
def test_intervals_are_those_of_wilson(count: int, rows: int) -> None:
    """Both ends solve the equation of the normal test (Wilson, 1927)."""
    rate = Rate.of(np.arange(rows) < count)
    assert rate.low is not None
    assert rate.high is not None
    share, z = count / rows, 1.959963984540054
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    assert rate.low == pytest.approx(max(middle - half, 0), abs=1e-9)
    assert rate.high == pytest.approx(min(middle + half, 1), abs=1e-9)


def test_differences_are_to_all_rows() -> None:
    """Those of all rows are 0; what has no rows has none."""
    everything, a, b = as_records(rates(ROWS[~((ROWS.group == "b") & ROWS.positive)]))
    assert everything["differences"] == dict.fromkeys(everything["differences"], 0)
    assert a["differences"]["selection"] == pytest.approx(2 / 5 - 2 / 6)
    assert b["differences"]["recall"] is None
    assert b["recall"] == {"count": 0, "rows": 0, "value": None, "low": None, "high": None}
    json.dumps([everything, a, b], allow_nan=False)


def test_groups_keep_the_order_of_bands() -> None:
    """Bands stand from low to high, and those without rows are left out."""
    bands = pd.Categorical(["9 to 10", "below 9"], ["below 9", "9 to 10", "missing"], ordered=True)
    flags = np.array([True, False])
    found = rates_by_group(pd.Series(bands), flags, flags, np.array([0.7, 0.2]))
    assert [each.group for each in found] == ["", "below 9", "9 to 10"]
