"""Classes of a target that is no number: their labels, their order, and what a mistake costs.

Labels are what files say, as whole numbers where all of them are, and as texts otherwise. Inside
the loop a class is its place in the order, as a number.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from model_loop.errors import InvalidInputError

Label = str | int
TaskKind = Literal["regression", "binary", "multiclass"]

#: Number of classes of a yes-or-no question.
TWO = 2
#: Classes beyond which a target is taken for something else, such as an identifier.
MOST_CLASSES = 100
#: Probability from which an answer is positive where nothing else is said.
HALF = 0.5
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
#: Labels that an error lists.
_MOST_LISTED = 12


@dataclass(frozen=True)
class Classes:
    """Classes of a target in their order.

    Parameters
    ----------
    labels
        Labels by their codes. Of two, the second is the positive class; several are sorted.
    positive
        Label of the positive class; None of several classes.
    threshold
        Probability of the positive class from which an answer is positive, where it is declared.
    false_alarm, miss
        Cost of calling a row positive that is not, and of not calling one that is; None where no
        cost is declared.
    """

    labels: tuple[Label, ...]
    positive: Label | None = None
    threshold: float | None = None
    false_alarm: float | None = None
    miss: float | None = None

    @property
    def is_binary(self) -> bool:
        """Return whether the question is yes or no."""
        return self.positive is not None

    @property
    def negative(self) -> Label:
        """Label of the class that is not the positive one."""
        return self.labels[0]

    @functools.cached_property
    def texts(self) -> tuple[str, ...]:
        """Labels as texts, by their codes."""
        return tuple(map(str, self.labels))

    @functools.cached_property
    def codes(self) -> Mapping[str, int]:
        """Codes by the texts of the labels."""
        return MappingProxyType({text: code for code, text in enumerate(self.texts)})

    def code(self, value: Any) -> int:  # noqa: ANN401 - a label as files and requests have it
        """Return the code of a label.

        Raises
        ------
        InvalidInputError
            If no class has it.
        """
        text = text_of_label(value)
        if text not in self.codes and {*self.codes} == {"0", "1"}:
            text = yes_as_number(text)
        code = self.codes.get(text)
        if code is None:
            raise InvalidInputError(f"Class {value!r}", "is unknown", self.remedy)
        return code

    @property
    def remedy(self) -> str:
        """The remedy for an unknown label."""
        listed = ", ".join(self.texts[:_MOST_LISTED])
        return f"Give one of: {listed}{', …' if len(self.labels) > _MOST_LISTED else ''}."

    @property
    def cost(self) -> tuple[float, float] | None:
        """Cost of a false alarm and of a miss; None where none is declared."""
        if self.false_alarm is None or self.miss is None:
            return None
        return self.false_alarm, self.miss

    @property
    def threshold_in_force(self) -> float:
        """The declared threshold, else that of the declared cost, else a half."""
        if self.threshold is not None:
            return self.threshold
        return HALF if self.cost is None else cheapest_threshold(*self.cost)


def cheapest_threshold(false_alarm: float, miss: float) -> float:
    """Return the probability from which on a positive answer costs less than a negative one.

    A false alarm costs its price times one less the probability, a miss its price times the
    probability (Elkan, "The foundations of cost-sensitive learning", 2001).
    """
    return false_alarm / (false_alarm + miss)


def text_of_label(value: Any) -> str:  # noqa: ANN401 - a value of a frame, a file or a request
    """Return the text of a label: ``1`` of the number 1.0, ``true`` of the truth value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if type(value).__name__ in {"bool", "bool_"}:
        return "true" if value else "false"
    return str(value).strip()


def yes_as_number(text: str) -> str:
    """Return 1 and 0 for words of yes and no, as columns of them are read; others as they are."""
    return {"true": "1", "yes": "1", "false": "0", "no": "0"}.get(text.casefold(), text)


def in_order(texts: Iterable[str], positive: str | None = None) -> tuple[Label, ...]:
    """Return labels in their order: as whole numbers if all are, the positive one last.

    Parameters
    ----------
    texts
        Texts of the labels.
    positive
        Text of the positive class; None of several classes.
    """
    each = {*texts}
    whole = all(_WHOLE.fullmatch(text) for text in each)
    labels: list[Label] = sorted(map(int, each)) if whole else [*sorted(each)]
    if positive is not None:
        labels.sort(key=lambda label: str(label) == positive)
    return tuple(labels)


def is_share(value: float) -> bool:
    """Return whether a number lies between 0 and 1."""
    return math.isfinite(value) and 0 <= value <= 1
