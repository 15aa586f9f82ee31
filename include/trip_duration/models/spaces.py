"""Search spaces, declared without a search library so that they can be read, listed and tested."""

from __future__ import annotations

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
    """A whole number between two bounds, both included."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low} … {self.high}"


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Setting, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Dimension = Real | Integer | Choice
Space = Mapping[str, Dimension]


def to_hyperopt(space: Space) -> dict[str, Any]:
    """The same space as hyperopt writes it."""
    return {name: _to_hyperopt(name, dimension) for name, dimension in space.items()}


def _to_hyperopt(name: str, dimension: Dimension) -> Any:  # noqa: ANN401 - hyperopt's own graph nodes
    import numpy as np
    from hyperopt import hp

    match dimension:
        case Real(low, high, log=True):
            return hp.loguniform(name, np.log(low), np.log(high))
        case Real(low, high):
            return hp.uniform(name, low, high)
        case Integer(low, high):
            return hp.uniformint(name, low, high)
        case Choice(values):
            return hp.choice(name, list(values))


def plain(space: Space, point: Mapping[str, Any]) -> dict[str, Setting]:
    """A point of the space with plain Python values of the right types.

    hyperopt returns floats for whole numbers and numpy scalars for others, which scikit-learn's
    parameter checks refuse and JSON cannot hold.
    """
    return {name: _plain(dimension, point[name]) for name, dimension in space.items()}


def _plain(dimension: Dimension, value: Any) -> Setting:  # noqa: ANN401 - whatever hyperopt returns
    match dimension:
        case Integer():
            return int(value)
        case Real(low, high):
            # exp(log(low)) may fall a rounding error outside the bounds.
            return min(max(float(value), low), high)
        case Choice():
            chosen: Setting = value.item() if hasattr(value, "item") else value
            return chosen
