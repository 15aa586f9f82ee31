"""Limits around predictions: the interval of a level, in the unit of the target.

Requests, forms and files get them by the same arithmetic. A limit that the calibration cannot give,
as its rows are too few, is None; so are all three of a version without intervals.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from model_loop.days import SECONDS_PER_DAY, SECONDS_PER_HOUR
from model_loop.intervals.adaptive import NO_CORRECTION
from model_loop.intervals.grid import DEFAULT_LEVEL, LEVEL, LOWER, UPPER, check_level

if TYPE_CHECKING:
    from model_loop.datasets.dataset import Dataset
    from model_loop.intervals.adaptive import Correction
    from model_loop.intervals.calibrated import Intervals

#: Names of what is said of classes: in answers, in the log and in scored files.
LABEL, PROBABILITIES, THRESHOLD, CLASSES = "label", "probabilities", "threshold", "classes"

#: Significant digits in words.
_DIGITS = 3


class Limits(NamedTuple):
    """Interval around a prediction.

    Parameters
    ----------
    lower, upper
        Limits in the unit of the target; None where there is none on that side.
    level
        Percentage of true values that such intervals hold; None where the version has no intervals.
    """

    lower: float | None
    upper: float | None
    level: float | None


NO_LIMITS = Limits(None, None, None)


def read_level(given: object) -> float:
    """Return the level that a caller asks for; the default where it is left out.

    Raises
    ------
    InvalidInputError
        If it is no number from 50 to 99.
    """
    return DEFAULT_LEVEL if given is None else check_level(given)


def limit_names(taken: Collection[str]) -> tuple[str, str, str]:
    """Return the names of limits and level beside columns, which may have the same names."""
    return free_name(LOWER, taken), free_name(UPPER, taken), free_name(LEVEL, taken)


def class_names(taken: Collection[str], *, several: bool) -> tuple[str, str]:
    """Return the names of probabilities, and of threshold or set of classes, beside columns.

    Parameters
    ----------
    several
        Whether there are more than two classes, and thus sets.
    """
    return free_name(PROBABILITIES, taken), free_name(CLASSES if several else THRESHOLD, taken)


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name beside columns, which may have the same: ``predicted_classes`` then."""
    return free_name(f"predicted_{name}", taken) if name in taken else name


def limits_of_rows(
    intervals: Intervals | None,
    dataset: Dataset,
    level: float,
    predictions: Iterable[float],
    rows: Sequence[Sequence[Any]],
    correction: Correction = NO_CORRECTION,
) -> list[Limits]:
    """Return the limits of predictions, given the cells of their rows.

    Parameters
    ----------
    correction
        Correction of the intervals; see `tracking.corrections`.

    Raises
    ------
    InvalidInputError
        If the level is not from 50 to 99.
    """
    if intervals is None:
        return [NO_LIMITS] * len(rows)
    limits, scale = intervals.at(level, correction).limits, intervals.scale
    places = dataset.columns.places
    sized = None if scale is None else scale.of_row(places)
    place = places.get(dataset.time or "") if intervals.groups or sized is not None else None
    found = []
    for prediction, cells in zip(predictions, rows, strict=True):
        at = math.nan if place is None else cells[place]
        # Only NaN differs from itself.
        hour = int(at % SECONDS_PER_DAY // SECONDS_PER_HOUR) if at == at else None  # noqa: PLR0124 - as above
        size = 1.0 if sized is None else sized.size(prediction, at, cells)
        lower, upper = limits(prediction, hour, size)
        found.append(
            Limits(
                lower if math.isfinite(lower) else None,
                upper if math.isfinite(upper) else None,
                level,
            )
        )
    return found


def limits_in_words(answered: Mapping[str, Any]) -> str:
    """Return the limits of an answer, rounded outwards: ``, between 14.1 and 20.4 (90 %)``.

    Empty where it has none.
    """
    lower, upper, level = (answered.get(name) for name in (LOWER, UPPER, LEVEL))
    low = None if lower is None else _rounded(lower, ROUND_FLOOR)
    high = None if upper is None else _rounded(upper, ROUND_CEILING)
    if low is None and high is None:
        return ""
    if low is None or high is None:
        words = f"at most {high}" if low is None else f"at least {low}"
    else:
        words = f"between {low} and {high}"
    return f", {words} ({level:g} %)"


def _rounded(value: float, rounding: str) -> str:
    """Return a number with three significant digits, and with all of those before its point."""
    exact = Decimal(repr(value))
    places = max(_DIGITS - 1 - exact.adjusted(), 0) if value else 0
    return f"{exact.quantize(Decimal(1).scaleb(-places), rounding=rounding):f}"
