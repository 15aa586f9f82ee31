"""Levels of intervals, and the grid of order statistics that answers all of them.

A level is a percentage, from 50 to 99: the share of true values that an interval is to hold. Half
of the rest may lie below it and half above. The grid has a step of half a percent, so that each
whole level has its steps; any other level gets the next outer ones.
"""

from __future__ import annotations

import math

from model_loop.errors import InvalidInputError

#: Steps of the grid: step i stands for the quantile i / STEPS.
STEPS = 200
MIDDLE = STEPS // 2
DEFAULT_LEVEL = 90.0
LOWEST_LEVEL, HIGHEST_LEVEL = 50.0, 99.0
#: Names of an interval in answers, in the log and in scored files.
LOWER, UPPER, LEVEL = "lower", "upper", "level"
_ROUNDING = 1e-9


def check_level(level: object) -> float:
    """Return a given level.

    Raises
    ------
    InvalidInputError
        If it is no number from 50 to 99.
    """
    shown = f"{level!r:.60}"
    if isinstance(level, int | float) and not isinstance(level, bool):
        shown = f"{level:g}"
        if LOWEST_LEVEL <= level <= HIGHEST_LEVEL:
            return float(level)
    raise InvalidInputError(
        f"level = {shown}",
        f"is not a number from {LOWEST_LEVEL:g} to {HIGHEST_LEVEL:g}",
        "A level is a percentage: 90 is an interval for nine of ten true values.",
    )


def tail_of(level: float) -> float:
    """Return the share of true values that may lie on each side of an interval: 0.05 of 90."""
    return (1 - check_level(level) / 100) / 2


def outer_step(tail: float) -> int:
    """Return the step of the lower limit for a tail; the upper one lies as far from the end.

    Between two steps it is the outer one, and at least the first.
    """
    return max(math.floor(tail * STEPS + _ROUNDING), 1)
