"""Search spaces, declared without a search library so that they can be read, listed and tested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Setting = float | int | str | bool | None
Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class Real:
    """A real number between two bounds, drawn evenly or (`log`) evenly on a logarithmic scale.

    Parameters
    ----------
    power
        Power of the target's scale that multiplies the bounds: 1 for a number in the unit of the
        target, 2 for one in its square.
    """

    low: float
    high: float
    log: bool = False
    power: int = 0

    def __str__(self) -> str:
        scale = {0: "", 1: " · s"}.get(self.power, f" · s^{self.power}")
        return f"{self.low:g} … {self.high:g}{' (log)' if self.log else ''}{scale}"

    def scaled(self, scale: float) -> Real:
        """Return the range for a target of this scale."""
        factor = scale**self.power
        return Real(self.low * factor, self.high * factor, self.log)


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included, drawn as `Real` is."""

    low: int
    high: int
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low} … {self.high}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Categorical:
    """One of several values."""

    values: tuple[Setting, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Dimension = Real | Integer | Categorical
Space = Mapping[str, Dimension]


def points(space: Space) -> float:
    """Count the different settings that a space holds."""
    return math.prod(most_values(dimension) for dimension in space.values())


def most_values(dimension: Dimension) -> float:
    """Return how many different values a dimension holds."""
    match dimension:
        case Integer(low, high):
            return high - low + 1
        case Categorical(values):
            return len(values)
        case Real(low, high):
            return math.inf if low < high else 1


def plain(space: Space, point: Mapping[str, Any]) -> dict[str, Setting]:
    """A point of the space with plain Python values of the right types.

    hyperopt returns floats for whole numbers and numpy scalars for others, which scikit-learn's
    parameter checks refuse and JSON cannot hold.
    """
    return {name: _plain(dimension, point[name]) for name, dimension in space.items()}


def _plain(dimension: Dimension, value: Any) -> Setting:  # noqa: ANN401 - whatever hyperopt returns
    match dimension:
        case Integer(low, high):
            # Rounding may go beyond the bounds.
            return min(max(int(value), low), high)
        case Real(low, high):
            # exp(log(low)) may fall a rounding error outside the bounds.
            return min(max(float(value), low), high)
        case Categorical():
            chosen: Setting = value.item() if hasattr(value, "item") else value
            return chosen
