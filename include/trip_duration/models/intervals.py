"""How far off predictions are, with the intervals in which the errors of more trips would lie.

Everything comes from five sums, so that a database or a stream of batches can add them up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

#: Confidence of the intervals, where nothing else is asked for.
CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True)
class ErrorSums:
    """Sums over trips, of errors (predicted less actual) in minutes.

    Parameters
    ----------
    trips
        Number of trips.
    errors, absolute, squared, fourth
        Sums of the errors, of their absolute values, and of their second and fourth powers.
    """

    trips: int = 0
    errors: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    fourth: float = 0.0

    @classmethod
    def of(cls, errors: npt.NDArray[np.float64]) -> ErrorSums:
        """The sums of errors of shape (trips,)."""
        squared = np.square(errors)
        return cls(
            len(errors),
            float(errors.sum()),
            float(np.abs(errors).sum()),
            float(squared.sum()),
            float(np.square(squared).sum()),
        )

    def __add__(self, other: ErrorSums) -> ErrorSums:
        return ErrorSums(
            self.trips + other.trips,
            self.errors + other.errors,
            self.absolute + other.absolute,
            self.squared + other.squared,
            self.fourth + other.fourth,
        )


@dataclass(frozen=True)
class MeasuredErrors:
    """Errors with their intervals.

    Each error is a mean over trips, and its interval is mean ± z · s / √n: the normal approximation
    for means of independent trips (Wasserman, "All of Statistics", 2004, section 6.3.2). That of
    the root mean squared error has the roots of the ends of the mean squared error's.

    Parameters
    ----------
    trips
        Number of trips.
    bias, mae, rmse
        Mean error (predicted less actual), mean absolute error and root mean squared error, in
        minutes.
    bias_interval, mae_interval, rmse_interval
        In which they lie with the confidence; None below two trips.
    deviation
        Standard deviation of the absolute errors; 0 below two trips.
    """

    trips: int
    bias: float
    mae: float
    rmse: float
    bias_interval: Interval | None
    mae_interval: Interval | None
    rmse_interval: Interval | None
    deviation: float


def measured_errors(sums: ErrorSums, confidence: float = CONFIDENCE) -> MeasuredErrors:
    """Errors of at least one trip, with their intervals."""
    trips = sums.trips
    bias, mae, mse = (one / trips for one in (sums.errors, sums.absolute, sums.squared))
    if trips < 2:  # noqa: PLR2004 - one trip has no spread
        return MeasuredErrors(trips, bias, mae, math.sqrt(mse), None, None, None, 0.0)
    z, root = NormalDist().inv_cdf((1 + confidence) / 2), math.sqrt(trips)
    # The squares of absolute errors are squared errors, whose squares are fourth powers.
    deviation = _deviation(sums.squared, sums.absolute, trips)
    low, high = around(mse, z * _deviation(sums.fourth, sums.squared, trips) / root)
    return MeasuredErrors(
        trips=trips,
        bias=bias,
        mae=mae,
        rmse=math.sqrt(mse),
        bias_interval=around(bias, z * _deviation(sums.squared, sums.errors, trips) / root),
        mae_interval=around(mae, z * deviation / root),
        rmse_interval=(math.sqrt(max(low, 0.0)), math.sqrt(high)),
        deviation=deviation,
    )


def around(value: float, half: float) -> Interval:
    """An interval around a value."""
    return (value - half, value + half)


def _deviation(squares: float, total: float, count: int) -> float:
    return math.sqrt(max(squares - total**2 / count, 0.0) / (count - 1))
