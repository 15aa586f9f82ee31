"""What a version has learned from, column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from model_loop.datasets.columns import Column, Columns
from model_loop.datasets.learned import ColumnRange
from model_loop.days import SECONDS_PER_DAY
from model_loop.training_set.learned import MOST_CATEGORIES, learned_values


def learned(kind: str, values: Sequence[object]) -> ColumnRange:
    """Return what is learned of a column."""
    column = Column(
        *("x", "x", kind, "", "", "request", -np.inf, np.inf),  # type: ignore[arg-type]  # a kind
        text=kind == "category",
    )
    rows = pd.DataFrame({"x": values})
    middle = len(rows) // 2
    parts = rows[:middle], rows[middle:]
    (found,) = learned_values(Columns((column,)), ["x"], parts).columns
    return found


def test_numbers_reach_from_the_first_to_the_last() -> None:
    """Of many rows exactly; beside few, where the next is often beyond, a tenth of the range."""
    many = learned("number", [*np.linspace(0, 100, 2_000), np.nan])
    assert (many.first, many.last, many.lowest, many.highest) == (0, 100, 0, 100)
    assert (many.given, many.missing) == (2_000, 1)
    for kind in ("time", "yes/no"):
        found = learned(kind, [np.nan, 1.0, np.nan, 0.0])
        assert (found.first, found.last, found.given, found.missing) == (0, 1, 2, 2)
    few = learned("number", [*np.linspace(0, 100, 50)])
    assert (few.lowest, few.highest) == (-10, 110)


def test_an_outlier_of_training_hides_none_of_later_rows() -> None:
    """A single 18,950 among temperatures is left out of the range, and counted."""
    found = learned("number", [*np.linspace(-8, 39, 2_000), 18_950.0])
    assert (found.last, found.highest, found.outliers) == (39, 39, 1)


def test_what_is_far_is_told_by_the_quartiles_of_numpy() -> None:
    """To the bit: a number at the limit is none, and the next one beyond it is."""
    numbers = np.random.default_rng(0).random(2_002)
    low, high = np.quantile(np.append(numbers, 1e9), (0.25, 0.75))
    limit = float(high + 10 * (high - low))
    assert learned("number", [*numbers, limit]).outliers == 0
    assert learned("number", [*numbers, np.nextafter(limit, np.inf)]).outliers == 1


def test_a_long_tail_is_learned_from() -> None:
    """Where one in a hundred is far from the others, it is no slip."""
    found = learned("number", [*np.linspace(0, 1, 990), *np.linspace(50, 90, 10)])
    assert (found.last, found.outliers) == (90, 0)


def test_times_have_a_margin_as_long_as_themselves() -> None:
    """At least a month, and at most a year."""
    day = float(SECONDS_PER_DAY)
    for days, margin in ((3, 31), (100, 100), (1_000, 366)):
        found = learned("time", [0.0, days * day])
        assert (found.lowest, found.highest) == (-margin * day, (days + margin) * day)


def test_categories_are_kept_the_most_frequent_first() -> None:
    """Rare ones, too; of a column that names single things, none."""
    assert learned("category", ["b", "a", "b", np.nan]).categories == ("b", "a")
    many = [str(number) for number in range(MOST_CATEGORIES + 1)]
    assert learned("category", many[:-1]).categories is not None
    assert learned("category", many).categories is None


def test_a_column_without_a_value() -> None:
    """It has no range."""
    found = learned("number", [np.nan, np.nan])
    assert (found.given, found.missing, found.first, found.highest) == (0, 2, None, None)
