"""Which version is nearer to the truth: errors on predictions whose actual duration is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from sqlalchemy import Engine, func, select

from trip_duration.models.intervals import (
    CONFIDENCE,
    ErrorSums,
    MeasuredErrors,
    around,
    measured_errors,
)
from trip_duration.serving.log_tables import feedback, predictions

POWER = 0.8
#: Share of the error of the version with the most predictions that is worth finding.
WORTHWHILE = 0.05

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_Z_POWER = NormalDist().inv_cdf(POWER)


@dataclass(frozen=True, kw_only=True)
class VersionErrors(MeasuredErrors):
    """How far off a version is, on predictions whose actual duration is known.

    Parameters
    ----------
    version
        Number in the registry.
    """

    version: int


@dataclass(frozen=True)
class Comparison:
    """Two versions.

    Parameters
    ----------
    version, against
        Which versions; the second has the most predictions.
    difference, interval
        Mean absolute error of the first less that of the second, and its interval (Welch).
    decided
        Whether the interval leaves out 0.
    trips_needed
        Trips of each version that it takes to find a difference of *worthwhile* minutes, with the
        confidence and a power of 0.8.
    worthwhile
        Minutes; a share of the second's error.
    """

    version: int
    against: int
    difference: float
    interval: tuple[float, float]
    decided: bool
    trips_needed: int
    worthwhile: float


@dataclass(frozen=True)
class AbReport:
    """Errors by version, and how the others compare with the one that answered most."""

    versions: tuple[VersionErrors, ...]
    comparisons: tuple[Comparison, ...]
    confidence: float = CONFIDENCE
    power: float = POWER


def ab_report(
    engine: Engine, service: str, since: float = 0.0, worthwhile: float = WORTHWHILE
) -> AbReport:
    """Compare versions on the predictions of the log whose actual duration is known.

    The database adds up; no row leaves it. Trips count as independent.

    Parameters
    ----------
    since
        Seconds since 1970; earlier predictions do not count.
    worthwhile
        Share of the error that a difference has to come to, to be worth finding.
    """
    error = predictions.c.minutes - feedback.c.actual_minutes
    sums = [func.sum(power) for power in (error, func.abs(error), error * error)]
    fourth = func.sum(error * error * error * error)
    query = (
        select(predictions.c.version, func.count(), *sums, fourth)
        .join(feedback, feedback.c.prediction_id == predictions.c.prediction_id)
        .where(predictions.c.service == service, predictions.c.at >= since)
        .group_by(predictions.c.version)
        .order_by(func.count().desc(), predictions.c.version)
    )
    with engine.connect() as connection:
        found = tuple(_errors(row) for row in connection.execute(query))
    usable = [one for one in found if one.trips > 1]
    others = usable[1:]
    return AbReport(found, tuple(_compare(one, usable[0], worthwhile) for one in others))


def _errors(row: Sequence[Any]) -> VersionErrors:
    version, *sums = row
    measured = measured_errors(ErrorSums(*sums), CONFIDENCE)
    return VersionErrors(version=version, **asdict(measured))


def _compare(one: VersionErrors, other: VersionErrors, share: float) -> Comparison:
    difference = one.mae - other.mae
    variances = one.deviation**2 / one.trips + other.deviation**2 / other.trips
    low, high = around(difference, _Z * math.sqrt(variances))
    worthwhile = share * other.mae
    # Two samples of equal size, two-sided (Cohen, 1988).
    spread = one.deviation**2 + other.deviation**2
    needed = (_Z + _Z_POWER) ** 2 * spread / worthwhile**2 if worthwhile else 0.0
    return Comparison(
        version=one.version,
        against=other.version,
        difference=difference,
        interval=(low, high),
        decided=not low <= 0 <= high,
        trips_needed=math.ceil(needed),
        worthwhile=worthwhile,
    )
