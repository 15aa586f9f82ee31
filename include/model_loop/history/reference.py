"""Cheap reference models: each number as a sum of one effect for each other column.

An additive model on coded inputs, fitted by backfitting (Friedman and Stuetzle, 1981). It is not
there to predict well but to notice when a relation between columns is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_loop.history.coding import HOUR, Codes, Coding
from model_loop.history.table import Array, ComparedTable, Values

_SWEEPS = 3
#: Rows that an effect is learned from; more make it hardly surer.
_MOST_ROWS = 16_384
#: An effect that is known from few rows counts as if so many further rows had none.
_PRIOR_ROWS = 10.0
#: Values beyond this share at each end do not pull on the effects.
_CLIPPED = 0.01


@dataclass(frozen=True)
class ReferenceModel:
    """A number as a sum of effects.

    Parameters
    ----------
    inputs
        Names of the coded columns.
    intercept
        The mean.
    effects
        Effects of each input, one for each code.
    """

    inputs: tuple[str, ...]
    intercept: float
    effects: tuple[Array, ...]

    @classmethod
    def fit(
        cls, inputs: tuple[str, ...], sizes: list[int], codes: dict[str, Codes], target: Array
    ) -> ReferenceModel:
        """Fit to rows whose target is known."""
        rows = np.flatnonzero(np.isfinite(target))
        rows = rows[:: max(len(rows) // _MOST_ROWS, 1)]
        wanted = target[rows]
        low, high = np.quantile(wanted, (_CLIPPED, 1 - _CLIPPED)) if len(rows) else (0.0, 0.0)
        wanted = np.clip(wanted, low, high)
        intercept = float(wanted.mean()) if len(rows) else 0.0
        coded = [codes[name][rows] for name in inputs]
        counts = [
            np.bincount(column, minlength=size) + _PRIOR_ROWS
            for column, size in zip(coded, sizes, strict=True)
        ]
        effects = [np.zeros(size) for size in sizes]
        rest = wanted - intercept
        for _ in range(_SWEEPS):
            for position, column in enumerate(coded):
                rest += effects[position][column]
                summed = np.bincount(column, rest, minlength=sizes[position])
                effects[position] = summed / counts[position]
                rest -= effects[position][column]
        return cls(inputs, intercept, tuple(effects))

    def predict(self, codes: dict[str, Codes]) -> Array:
        """Return the sum of the effects of each row."""
        total = np.full(len(codes[self.inputs[0]]), self.intercept)
        for name, effect in zip(self.inputs, self.effects, strict=True):
            total += effect[codes[name]]
        return total


def fit_all(
    table: ComparedTable, coding: Coding, codes: dict[str, Codes], values: Values
) -> dict[str, ReferenceModel]:
    """Fit a model of each number of a table from the other columns."""
    return {
        name: ReferenceModel.fit(
            inputs,
            [coding.size(one) for one in inputs],
            codes,
            coding.transformed(name, values[name]),
        )
        for name in table.of_kind("number")
        if (inputs := inputs_of(table, name))
    }


def inputs_of(table: ComparedTable, name: str) -> tuple[str, ...]:
    """Return what a number is predicted from: never from another number known only with it."""
    numbers = (
        column.name
        for column in table.columns
        if column.kind == "number" and column.name not in (name, table.target)
        # Charges follow from the outcome: they would hide a change of it.
        if not (name == table.target and column.outcome)
    )
    derived = (one.name for one in table.derived if one.input)
    return (*numbers, *derived, *table.of_kind("category"), HOUR)
