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
    """A real number between two bounds, drawn evenly or (`log`) evenly on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} … {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included, drawn as `Real` is."""

    low: int
    high: int
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low} … {self.high}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Setting, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Dimension = Real | Integer | Choice
Space = Mapping[str, Dimension]


def to_hyperopt(space: Space) -> dict[str, Any]:
    """Convert a space to hyperopt's notation."""
    return {name: _to_hyperopt(name, dimension) for name, dimension in space.items()}


def _to_hyperopt(name: str, dimension: Dimension) -> Any:  # noqa: ANN401 - hyperopt's own graph nodes
    import numpy as np
    from hyperopt import hp

    match dimension:
        case Real(low, high) | Integer(low, high) if low == high:
            return hp.choice(name, [low])
        case Real(low, high, log=True):
            return hp.loguniform(name, np.log(low), np.log(high))
        case Real(low, high):
            return hp.uniform(name, low, high)
        case Integer(low, high, log=True):
            # Rounded to whole numbers: each has its share of the logarithmic scale.
            return hp.qloguniform(name, np.log(low - 0.5), np.log(high + 0.5), 1)
        case Integer(low, high):
            # Each bound comes half as often as what lies between: that is hyperopt's own way.
            return hp.uniformint(name, low, high)
        case Choice(values):
            return hp.choice(name, list(values))


def grid(space: Space, most: int) -> list[dict[str, Setting]]:
    """The finest grid over a space with no more points than *most*.

    Every dimension begins with one value (the middle of a range) and gets one more in turn, as
    long as there are not too many points. The values of a range lie evenly, its bounds among them
    as soon as there are two.
    """
    from sklearn.model_selection import ParameterGrid

    sizes = dict.fromkeys(space, 1)
    growing = True
    while growing:
        growing = False
        for name, dimension in space.items():
            larger = {**sizes, name: sizes[name] + 1}
            if sizes[name] < _most_values(dimension) and math.prod(larger.values()) <= most:
                sizes, growing = larger, True
    values = {name: _values(dimension, sizes[name]) for name, dimension in space.items()}
    return list(ParameterGrid(values))


def points(space: Space) -> float:
    """Count the different settings that a space holds."""
    return math.prod(_most_values(dimension) for dimension in space.values())


def _most_values(dimension: Dimension) -> float:
    match dimension:
        case Integer(low, high):
            return high - low + 1
        case Choice(values):
            return len(values)
        case Real(low, high):
            return math.inf if low < high else 1


def _values(dimension: Dimension, number: int) -> list[Setting]:
    match dimension:
        case Choice(values):
            return list(values[:number])
        case Integer(low, high) if number == high - low + 1:
            return [*range(low, high + 1)]
        case Integer(low, high, log=True):
            exponents = _spread(math.log(low), math.log(high), number)
            return [*sorted({round(math.exp(value)) for value in exponents})]
        case Integer(low, high):
            return [round(value) for value in _spread(low, high, number)]
        case Real(low, high, log=True):
            exponents = _spread(math.log(low), math.log(high), number)
            return [min(max(math.exp(value), low), high) for value in exponents]
        case Real(low, high):
            return list(_spread(low, high, number))


def _spread(low: float, high: float, number: int) -> list[float]:
    if number == 1:
        return [(low + high) / 2]
    return [low + (high - low) * place / (number - 1) for place in range(number)]


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
        case Choice():
            chosen: Setting = value.item() if hasattr(value, "item") else value
            return chosen
