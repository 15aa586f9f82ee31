"""Tests of the words for a predicted class."""

from __future__ import annotations

import pytest

from model_loop.datasets.classes import Classes
from model_loop.scoring.answers import class_in_words

GRADES = Classes(("good", "fair", "poor"))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (["fair"], "fair (62 %; at 90 % no other class)"),
        (["fair", "poor"], "fair (62 %; at 90 % one of fair, poor)"),
        (None, "fair (62 %)"),
    ],
)
def test_a_set_of_classes_is_a_clause(held: list[str] | None, said: str) -> None:
    """Of one class alone there is nothing to choose from."""
    probabilities = {"good": 0.08, "fair": 0.62, "poor": 0.3}
    answered = {
        "prediction": "fair",
        "probabilities": probabilities,
        "classes": held,
        "level": 90.0,
    }
    assert class_in_words(GRADES, answered) == said


def test_yes_or_no_names_the_threshold() -> None:
    """A probability below a half may be the answer, so that the sentence says from where on."""
    answered = {"prediction": 1, "probabilities": {"0": 0.7, "1": 0.3}, "threshold": 0.25}
    assert class_in_words(Classes((0, 1), 1), answered) == (
        "1 (the probability of 1 is 30 %, and from 25 % on it is the answer)"
    )
