"""Compare versions by their errors on predictions whose true value is known."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Engine

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.models.intervals import (
    CONFIDENCE,
    WEEK,
    DaySums,
    ErrorSums,
    MeasuredErrors,
    around,
    measured_errors,
    quantile,
)
from model_loop.serving.comparison.day_sums import Pairs, answered_by_day, shadowed_by_day
from model_loop.serving.request_log.tables import feedback, predictions
from model_loop.settings import get_settings

#: Moment of a version; None where it is not known.
MomentOf = Callable[[int], Moment | None]

POWER = 0.8
#: Share of the error of the version with the most predictions that is worth finding.
WORTHWHILE = 0.05

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_Z_POWER = NormalDist().inv_cdf(POWER)


class Judged(Protocol):
    """The true values that count."""

    def of_actual(self, actual: Any, /) -> Any:  # noqa: ANN401 - an array, or a column of a database
        """Say which values count: of an array, or as a condition on a column."""


@dataclass(frozen=True, kw_only=True)
class VersionErrors(MeasuredErrors):
    """Errors of a version, on predictions whose true value is known.

    Parameters
    ----------
    version
        Number in the registry.
    moment
        Moment of the version; None where that is not known.
    """

    version: int
    moment: Moment | None = None


@dataclass(frozen=True)
class VersionComparison:
    """Compare two versions.

    Parameters
    ----------
    version, against
        Compared versions; the second has the most predictions, or has answered where the first is
        its shadow.
    difference, interval
        Mean absolute error of the first less that of the second, and its interval: of the same
        rows where they are paired, of two samples otherwise (Welch).
    decided
        Whether there are enough rows, and the interval leaves out 0.
    rows_needed
        Rows of each version that it takes to find a difference of *worthwhile*, with the
        confidence and a power of 0.8.
    worthwhile
        Targets; a share of the second's error.
    verdict
        Conclusion in words; before there are enough rows, that it is too early.
    rows
        Rows of the version that has fewer.
    paired
        Whether both have predicted the same rows.
    """

    version: int
    against: int
    difference: float
    interval: tuple[float, float]
    decided: bool
    rows_needed: int
    worthwhile: float
    verdict: str
    rows: int
    paired: bool = False


@dataclass(frozen=True)
class AbReport:
    """Errors by version, and how the others compare with the one that answered most.

    Versions of two moments are asked different questions, so that none is compared with one of
    another moment, nor where the moment is not known.

    Parameters
    ----------
    versions
        Errors of the versions that have answered, the one with the most rows first.
    comparisons
        Comparisons of versions that have answered, each against the first of its moment.
    confidence, power
        Confidence of intervals, and power of sample sizes.
    shadows
        Errors of versions that have predicted unseen, on rows that another one has answered.
    paired
        Each shadow against the version that has answered the same rows.
    """

    versions: tuple[VersionErrors, ...]
    comparisons: tuple[VersionComparison, ...]
    confidence: float = CONFIDENCE
    power: float = POWER
    shadows: tuple[VersionErrors, ...] = ()
    paired: tuple[VersionComparison, ...] = ()


def ab_report(
    engine: Engine,
    service: str,
    moment_of: MomentOf,
    since: float = 0.0,
    worthwhile: float = WORTHWHILE,
    judged: Judged | None = None,
) -> AbReport:
    """Compare versions on the predictions of the log whose true value is known.

    The same predictions count as for monitoring. The database adds up; no row leaves it.

    Parameters
    ----------
    moment_of
        Moment of a version; None where it is not known.
    since
        Seconds since 1970; earlier predictions do not count.
    worthwhile
        Share of the error that a difference has to come to, to be worth finding.
    judged
        True values that count; by default, those that the dataset names.
    """
    dataset = dataset_of_variant(service)
    if judged is None and (find := dataset.extensions.load("judged")) is not None:
        judged = find(get_settings())
    wanted: tuple[ColumnElement[bool], ...] = (
        predictions.c.service == service,
        predictions.c.at >= since,
    )
    if judged is not None:
        wanted = (*wanted, judged.of_actual(feedback.c.actual_minutes))
    answered = answered_by_day(engine, wanted)
    usable = {version: sums for version, sums in answered.items() if _count(sums) > 1}
    shadowed = {
        (shadow, version): days
        for (shadow, version), days in shadowed_by_day(engine, wanted).items()
        if moment_of(shadow) is not None and moment_of(shadow) == moment_of(version)
    }
    by_shadow: dict[int, dict[int, ErrorSums]] = defaultdict(dict)
    for (shadow, _), days in shadowed.items():
        for day, pair in days.items():
            by_shadow[shadow][day] = by_shadow[shadow].get(day, ErrorSums()) + pair.shadow
    return AbReport(
        _errors(answered, moment_of),
        tuple(
            _compare(one, usable[one], first, usable[first], worthwhile)
            for first, *others in _by_moment(dataset.moments, usable, moment_of)
            for one in others
        ),
        shadows=_errors(by_shadow, moment_of),
        paired=tuple(
            _pair(*versions, days, worthwhile)
            for versions, days in shadowed.items()
            if sum(pair.shadow.rows for pair in days.values()) > 1
        ),
    )


def _by_moment(
    moments: Sequence[Moment], versions: Iterable[int], moment_of: MomentOf
) -> Iterator[list[int]]:
    """Yield the versions of each moment that has any, in their order."""
    known = {version: moment_of(version) for version in versions}
    for moment in moments:
        if found := [version for version in known if known[version] == moment]:
            yield found


def _errors(found: Mapping[int, DaySums], moment_of: MomentOf) -> tuple[VersionErrors, ...]:
    return tuple(
        VersionErrors(version=version, moment=moment_of(version), **asdict(measured_errors(sums)))
        for version, sums in found.items()
    )


def _count(sums: DaySums) -> int:
    return sum(one.rows for one in sums.values())


def _compare(
    version: int, one: DaySums, against: int, other: DaySums, share: float
) -> VersionComparison:
    left, right = _AbsoluteErrors.of(one), _AbsoluteErrors.of(other)
    independent = left.variance / left.rows + right.variance / right.rows
    # The effect of a day on both versions is not a difference between them.
    residuals = [
        left.residual(day) / left.rows - right.residual(day) / right.rows for day in {*one, *other}
    ]
    error, reach, effect = _error(independent, residuals)
    worthwhile = share * right.mean
    # Two samples of equal size, two-sided (Cohen, 1988).
    spread = (left.variance + right.variance) * effect
    return _comparison(
        (version, against),
        left.mean - right.mean,
        reach * error,
        _needed(spread, worthwhile),
        worthwhile,
        rows=min(left.rows, right.rows),
    )


def _pair(shadow: int, version: int, days: Mapping[int, Pairs], share: float) -> VersionComparison:
    rows = sum(one.shadow.rows for one in days.values())
    difference = sum(one.difference for one in days.values()) / rows
    squares = sum(one.squared for one in days.values())
    variance = max(squares - rows * difference**2, 0.0) / (rows - 1)
    residuals = [(one.difference - difference * one.shadow.rows) / rows for one in days.values()]
    error, reach, effect = _error(variance / rows, residuals)
    worthwhile = share * sum(one.answered for one in days.values()) / rows
    needed = _needed(variance * effect, worthwhile)
    return _comparison(
        (shadow, version),
        difference,
        reach * error,
        needed,
        worthwhile,
        rows=rows,
        paired=True,
    )


def _error(independent: float, residuals: list[float]) -> tuple[float, float, float]:
    """Return a standard error, its reach in an interval, and by what days raise the variance.

    Parameters
    ----------
    independent
        Variance of the difference, were rows independent.
    residuals
        What each day adds to the difference beyond its share. Of less than a week days say nothing,
        and rows count as independent: both versions have had the same days.
    """
    count = len(residuals)
    if count < WEEK or not independent:
        return math.sqrt(independent), _Z, 1.0
    by_day = count / (count - 1) * sum(one * one for one in residuals)
    variance = max(by_day, independent)
    return math.sqrt(variance), quantile(CONFIDENCE, count - 1), variance / independent


def _needed(spread: float, worthwhile: float) -> int:
    return math.ceil((_Z + _Z_POWER) ** 2 * spread / worthwhile**2) if worthwhile else 0


def _comparison(
    versions: tuple[int, int],
    difference: float,
    half: float,
    needed: int,
    worthwhile: float,
    *,
    rows: int,
    paired: bool = False,
) -> VersionComparison:
    low, high = around(difference, half)
    verdict = "no difference is shown" if low <= 0 <= high else "differs"
    if rows < needed:
        verdict = f"too early: {rows:,} of {needed:,} rows"
    return VersionComparison(
        *versions,
        difference=difference,
        interval=(low, high),
        decided=verdict == "differs",
        rows_needed=needed,
        worthwhile=worthwhile,
        verdict=verdict,
        rows=rows,
        paired=paired,
    )


@dataclass(frozen=True)
class _AbsoluteErrors:
    """Absolute errors of a version."""

    days: DaySums
    rows: int
    mean: float
    variance: float

    @classmethod
    def of(cls, days: DaySums) -> _AbsoluteErrors:
        total = sum(days.values(), ErrorSums())
        left = max(total.squared - total.absolute**2 / total.rows, 0.0)
        return cls(days, total.rows, total.absolute / total.rows, left / (total.rows - 1))

    def residual(self, day: int) -> float:
        """Return by how much the sum of a day is off, had it been like all days."""
        one = self.days.get(day, ErrorSums())
        return one.absolute - self.mean * one.rows
