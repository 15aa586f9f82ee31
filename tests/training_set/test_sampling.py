"""Samples of rows: of each day and class as many as there are, and never the same hour alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_loop.training_set.sampling import draw_evenly


@given(
    number=st.integers(2, 400),
    wanted=st.integers(1, 400),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_each_day_and_class_has_its_share(
    number: int, wanted: int, seed: int, data: st.DataObject
) -> None:
    """Rows are drawn once, in their order; each class of each day to within two of its share."""
    days = np.array(data.draw(st.lists(st.integers(0, 4), min_size=number, max_size=number)))
    classes = np.array(data.draw(st.lists(st.integers(0, 2), min_size=number, max_size=number)))
    drawn = draw_evenly(number, wanted, seed, days.astype(np.int32), classes.astype(np.float64))
    assert len(drawn) == min(number, wanted)
    assert (np.diff(drawn) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < number
    share = len(drawn) / number
    for key in {*zip(days.tolist(), classes.tolist(), strict=True)}:
        there = (days == key[0]) & (classes == key[1])
        assert abs(there[drawn].sum() - share * there.sum()) < 2
    for label in range(3):
        assert abs((classes == label)[drawn].sum() - share * (classes == label).sum()) < 2


def test_rare_classes_stay_as_rare_as_they_are() -> None:
    """Five rows of a class a day are drawn in proportion, and not once for each day."""
    days = np.repeat(np.arange(365, dtype=np.int32), 1_000)
    classes = (np.arange(len(days)) % 200 == 0).astype(np.float64)
    drawn = draw_evenly(len(days), len(days) // 30, 0, days, classes)
    assert classes[drawn].mean() == pytest.approx(classes.mean(), rel=0.01)


def test_tables_of_hours_keep_all_hours() -> None:
    """One row a day of a table with one row an hour is not always of the same hour."""
    days = np.repeat(np.arange(500, dtype=np.int32), 24)
    drawn = draw_evenly(len(days), 500, 0, days)
    assert sorted({*(drawn % 24).tolist()}) == list(range(24))
    assert (days[drawn] == np.arange(500)).all()


@pytest.mark.parametrize("days", [None, np.arange(1_000, dtype=np.int32)[::-1] // 100])
def test_seeds_decide(days: np.ndarray | None) -> None:
    """The same seed draws the same rows, another one others."""
    first, again, other = (draw_evenly(1_000, 100, seed, days) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_all_rows_where_no_more_are_wanted() -> None:
    """As many as there are, or more, are all of them."""
    assert draw_evenly(5, 5, 0).tolist() == draw_evenly(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
