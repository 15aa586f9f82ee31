"""Tests of the classes of a target: labels, their order, costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model_loop.datasets.classes import Classes, Label, in_order, text_of_label
from model_loop.errors import InvalidInputError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (np.float64(2.0), "2"),
        (True, "true"),
        (np.array([False])[0], "false"),
        (0.5, "0.5"),
        (" yes ", "yes"),
        ("1.0", "1.0"),
    ],
)
def test_a_label_is_a_text(value: Any, text: str) -> None:
    """Numbers that are whole are written so, whatever type a frame has for them."""
    assert text_of_label(value) == text


@pytest.mark.parametrize(
    ("texts", "positive", "labels"),
    [
        (("1", "0"), "1", (0, 1)),
        (("1", "0"), "0", (1, 0)),
        (("10", "9", "-1"), None, (-1, 9, 10)),
        (("yes", "no"), "no", ("yes", "no")),
        (("b", "a", "c"), None, ("a", "b", "c")),
        (("01", "1"), "1", ("01", "1")),
        (("1", "x"), "1", ("x", "1")),
    ],
)
def test_the_positive_class_is_the_last(
    texts: tuple[str, ...], positive: str | None, labels: tuple[Label, ...]
) -> None:
    """Labels are whole numbers if all are; a code such as 01 is none."""
    assert in_order(texts, positive) == labels


def test_a_label_has_a_code() -> None:
    """Labels come as numbers and as texts; one that is unknown is refused by name."""
    classes = Classes((0, 1), positive=1)
    assert [classes.code(value) for value in (1, "1", 1.0, 0)] == [1, 1, 1, 0]
    with pytest.raises(InvalidInputError, match=r"Class 2 is unknown.*0, 1"):
        classes.code(2)


def test_a_threshold_follows_from_the_cost() -> None:
    """A miss that costs four times a false alarm makes a fifth of the probability enough."""
    assert Classes((0, 1), 1, false_alarm=1.0, miss=4.0).cost == (1.0, 4.0)
    assert Classes((0, 1), 1).cost is None
