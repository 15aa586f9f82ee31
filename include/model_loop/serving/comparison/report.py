"""Compare versions by their errors on predictions whose true value is known."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from sqlalchemy import Engine

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.days import SECONDS_PER_DAY
from model_loop.models.intervals import (
    CONFIDENCE,
    WEEK,
    DaySums,
    ErrorSums,
    Interval,
    MeasuredErrors,
    measured_errors,
)
from model_loop.partitions.keys import labels_delay
from model_loop.serving.comparison.day_sums import (
    AnsweredSums,
    ClassLosses,
    Measure,
    PairedSums,
    Pairs,
    Wanted,
    answered_by_day,
    class_losses_by_day,
    class_pairs_by_day,
    shadowed_by_day,
    units_logged,
)
from model_loop.serving.comparison.samples import MomentOf, SampleCheck, check_samples
from model_loop.serving.comparison.sequential import Evidence, days_needed, evidence_of
from model_loop.serving.models.loading import RegistryError
from model_loop.serving.request_log.tables import feedback, predictions
from model_loop.settings import get_settings
from model_loop.tracking.shares import ShareMove

_Sums = TypeVar("_Sums")

#: Unit in which a version predicts; None where it is not known.
UnitOf = Callable[[int], str | None]

#: Verdict on the better one of two versions, by measure.
_BETTER: Mapping[Measure, str] = MappingProxyType(
    {
        "error": "is nearer to the truth",
        "log_loss": "is nearer to the truth",
        "cost": "costs less",
    }
)

#: Share of the error of the version with the most predictions that is worth finding.
WORTHWHILE = 0.05
#: A day with fewer rows than this share of a usual one does not count.
_LEAST_SHARE = 0.1


class CountedLabels(Protocol):
    """The true values that count."""

    def of_actual(self, actual: Any, /) -> Any:  # noqa: ANN401 - an array, or a column of a database
        """Say which values count: of an array, or as a condition on a column."""


@dataclass(frozen=True, kw_only=True)
class VersionErrors(MeasuredErrors):
    """Errors of a version, on predictions whose true value is known.

    Of classes they are log losses: the mean absolute error is their mean, and the others say no
    more.

    Parameters
    ----------
    version
        Number in the registry.
    moment
        Moment of the version; None where that is not known.
    cost, cost_interval
        Mean cost of an answer, with its interval, where the dataset declares what mistakes cost.
    """

    version: int
    moment: Moment | None = None
    cost: float | None = None
    cost_interval: Interval | None = None


@dataclass(frozen=True)
class VersionComparison:
    """Compare two versions, by days whose true values are known.

    Parameters
    ----------
    version, against
        Compared versions; the second has the most predictions, or has answered where the first is
        its shadow.
    difference, interval
        Mean over days of the mean loss of the first less that of the second, and its confidence
        sequence: it holds on all days at once, so that it may be read every day. None while there
        are too few days.
    e_value
        Evidence that they differ; 1 is none, and `1 / (1 - confidence)` decides.
    decided
        Day on which the evidence sufficed for the first time, as ``2024-03-01``; None if it never
        has.
    verdict
        Conclusion in words.
    days, rows
        Days that count, and rows of the version that has fewer.
    open_days
        Days that do not count yet: their true values are still awaited, or a version has too few.
    worthwhile
        Targets; a share of the second's error.
    days_needed
        Days that it usually takes to decide a difference of *worthwhile*; None if more than a year,
        or if the days do not suffice for an estimate.
    paired
        Whether both have predicted the same rows.
    measure
        Loss by which they are compared.
    confidence
        Confidence of interval and decision. Where versions are compared by two measures, each has
        half the probability of an error, so that both together have no more than one.
    """

    version: int
    against: int
    difference: float | None
    interval: Interval | None
    e_value: float
    decided: str | None
    verdict: str
    days: int
    rows: int
    open_days: int
    worthwhile: float
    days_needed: int | None
    paired: bool = False
    measure: Measure = "error"
    confidence: float = CONFIDENCE

    @property
    def by_measure(self) -> str:
        """Words behind the names of the versions: `` by cost``; none of numbers."""
        return "" if self.measure == "error" else f" by {self.measure.replace('_', ' ')}"


@dataclass(frozen=True)
class AbReport:
    """Errors by version, and how the others compare with the one that answered most.

    Versions of two moments answer different questions, so versions are compared only if both
    moments are known and equal.

    Parameters
    ----------
    versions
        Errors of the versions that have answered, the one with the most rows first.
    comparisons
        Comparisons of versions that have answered, each against the first of its moment; of classes
        by their log loss, and by cost where the dataset declares it.
    confidence
        Confidence of the intervals of errors, and of all decisions on two versions together.
    shadows
        Errors of shadows, on rows that another version has answered.
    paired
        Each shadow against the version that has answered the same rows.
    samples
        Whether each canary has answered the share of requests that it was assigned. Where one has
        not, no comparison of it is read.
    unchecked
        Reason why that could not be checked; empty if it was. No comparison is read then.
    """

    versions: tuple[VersionErrors, ...]
    comparisons: tuple[VersionComparison, ...]
    confidence: float = CONFIDENCE
    shadows: tuple[VersionErrors, ...] = ()
    paired: tuple[VersionComparison, ...] = ()
    samples: tuple[SampleCheck, ...] = ()
    unchecked: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Samples of traffic that are not as they were assigned, in words."""
        return tuple(
            f"{one}, since {one.mismatched}: some are missing"
            for one in self.samples
            if one.mismatched
        )


def ab_report(
    engine: Engine,
    service: str,
    moment_of: MomentOf,
    since: float = 0.0,
    judged: CountedLabels | None = None,
    now: float | None = None,
    moves: Callable[[], Sequence[ShareMove]] = tuple,
    unit_of: UnitOf = lambda _: None,
) -> AbReport:
    """Compare versions on the predictions of the log whose true value is known.

    The same predictions count as for monitoring. The database adds up; no row leaves it, but those
    of classes, whose log losses stand in the place of absolute errors.
    Comparisons begin with the first day that both versions have, whatever *since* says: a beginning
    that moves along would be one more choice for each reading.

    Parameters
    ----------
    moment_of
        Moment of a version; None where it is not known.
    since
        Seconds since 1970; earlier predictions do not count for the errors of versions.
    judged
        True values that count; by default, those that the dataset names.
    now
        Seconds since 1970; by default, those of the clock.
    moves
        Returns the moves of the versions; see `tracking.shares`. By default, there was no canary.
    unit_of
        Unit of a version that has answered nothing itself; None where it is not known.
    """
    dataset, now = dataset_of_variant(service), time.time() if now is None else now
    wanted = _wanted(dataset, service, judged)
    recent = (*wanted, predictions.c.at >= since)
    answers, pairs_of = _sums_of(dataset)
    answered, shadowed = answers(engine, wanted), pairs_of(engine, wanted)
    seen = _shadow_sums(pairs_of(engine, recent) if since else shadowed, moment_of)
    last = _last_closed(dataset, now)
    samples, unchecked = _samples(engine, service, moves, moment_of, now)
    units = _Units(dataset, units_logged(engine, service), unit_of)
    return AbReport(
        _errors(answers(engine, recent) if since else answered, moment_of),
        tuple(
            units.refuse_mixed(
                _readable(
                    _compare((one, first), _days_apart(sums[one], sums[first]), last, by),
                    samples,
                    unchecked,
                )
            )
            for by, sums in _by_measure(answered)
            for first, *others in _by_moment(dataset.moments, sums, moment_of)
            for one in others
        ),
        shadows=_errors(seen, moment_of),
        paired=tuple(
            units.refuse_mixed(_compare(versions, _days_together(pairs), last, by, paired=True))
            for by, sums in _by_measure(shadowed)
            for versions, pairs in _of_one_moment(sums, moment_of).items()
        ),
        samples=samples,
        unchecked=unchecked,
    )


def compare_canary(
    engine: Engine,
    service: str,
    versions: tuple[int, int],
    since: float,
    now: float,
    judged: CountedLabels | None = None,
) -> tuple[VersionComparison, ...]:
    """Compare a canary with the champion, on the days since a time, by each measure.

    Parameters
    ----------
    versions
        The canary, and the champion.
    """
    dataset = dataset_of_variant(service)
    log = predictions.c
    wanted = (*_wanted(dataset, service, judged), log.at >= since, log.version.in_(versions))
    answers, _ = _sums_of(dataset)
    units = _Units(dataset, units_logged(engine, service), lambda _: None)
    last = _last_closed(dataset, now)
    return tuple(
        units.refuse_mixed(
            _compare(versions, _days_apart(*(sums.get(one, {}) for one in versions)), last, by)
        )
        for by, sums in _by_measure(answers(engine, wanted))
    )


def _sums_of(
    dataset: Dataset,
) -> tuple[
    Callable[[Engine, Wanted], AnsweredSums],
    Callable[[Engine, Wanted], PairedSums],
]:
    """Return the functions that add up errors of numbers, or losses of classes, by day."""
    if dataset.target.is_classified:
        losses = ClassLosses(dataset.target.labels)
        return (
            functools.partial(class_losses_by_day, losses=losses),
            functools.partial(class_pairs_by_day, losses=losses),
        )
    return answered_by_day, shadowed_by_day


class _By(NamedTuple):
    """A measure of a comparison, and the confidence of its decision."""

    measure: Measure
    confidence: float


def _by_measure(sums: Mapping[Measure, _Sums]) -> Iterator[tuple[_By, _Sums]]:
    """Yield the sums of each measure: all together decide wrongly once in twenty at most."""
    confidence = 1 - (1 - CONFIDENCE) / len(sums)
    for measure, of_measure in sums.items():
        yield _By(measure, confidence), of_measure


def _shadow_sums(shadowed: PairedSums, moment_of: MomentOf) -> AnsweredSums:
    """Add up the losses of each shadow, whatever version has answered."""
    found: AnsweredSums = {}
    for measure, sums in shadowed.items():
        by_shadow: dict[int, dict[int, ErrorSums]] = defaultdict(dict)
        for (shadow, _), pairs in _of_one_moment(sums, moment_of).items():
            for day, pair in pairs.items():
                by_shadow[shadow][day] = by_shadow[shadow].get(day, ErrorSums()) + pair.shadow
        found[measure] = by_shadow
    return found


def _wanted(dataset: Dataset, service: str, judged: CountedLabels | None) -> Wanted:
    """Return the conditions of predictions that count; by default, as the dataset says."""
    if judged is None and (find := dataset.extensions.load("judged")) is not None:
        judged = find(get_settings())
    wanted = (predictions.c.service == service,)
    return wanted if judged is None else (*wanted, judged.of_actual(feedback.c.actual_minutes))


def _samples(
    engine: Engine,
    service: str,
    moves: Callable[[], Sequence[ShareMove]],
    moment_of: MomentOf,
    now: float,
) -> tuple[tuple[SampleCheck, ...], str]:
    """Return the checks of all canaries, and the reason if the registry does not answer."""
    try:
        told = moves()
    except RegistryError as error:
        return (), f"the shares of versions are not known: {error}"
    return tuple(check_samples(engine, service, told, moment_of, now)), ""


def _readable(
    pair: VersionComparison, samples: Sequence[SampleCheck], unchecked: str
) -> VersionComparison:
    """Return a comparison, or the reason why it is not read."""
    versions = {pair.version, pair.against}
    wrong = [one for one in samples if one.mismatched and one.version in versions]
    if not wrong and not unchecked:
        return pair
    return _refused(pair, f"not read: {'; '.join(map(str, wrong)) or unchecked}")


def _refused(pair: VersionComparison, verdict: str) -> VersionComparison:
    """Return a comparison without its figures."""
    return dataclasses.replace(
        pair,
        difference=None,
        interval=None,
        e_value=1.0,
        decided=None,
        days_needed=None,
        verdict=verdict,
    )


@dataclass(frozen=True)
class _Units:
    """Units in which versions predict: as logged, as somebody else knows, or as declared now."""

    dataset: Dataset
    logged: Mapping[int, str]
    unit_of: UnitOf

    def refuse_mixed(self, pair: VersionComparison) -> VersionComparison:
        """Return a comparison, without figures where its versions predict in two units."""
        one, other = (self._of(version) for version in (pair.version, pair.against))
        if one == other:
            return pair
        return _refused(
            pair,
            f"not compared: version {pair.version} predicts in {one or 'no unit'}, version "
            f"{pair.against} in {other or 'no unit'}",
        )

    def _of(self, version: int) -> str:
        known = self.logged.get(version)
        found = self.unit_of(version) if known is None else known
        return self.dataset.target.unit if found is None else found


def _of_one_moment(
    shadowed: Mapping[tuple[int, int], dict[int, Pairs]], moment_of: MomentOf
) -> dict[tuple[int, int], dict[int, Pairs]]:
    return {
        (shadow, version): days
        for (shadow, version), days in shadowed.items()
        if moment_of(shadow) is not None and moment_of(shadow) == moment_of(version)
    }


def _last_closed(dataset: Dataset, now: float) -> int:
    """Return the latest day, as days since 1970, whose true values have arrived by now."""
    delay = labels_delay(dataset)
    return int((now - (delay.total_seconds() if delay else 0.0)) // SECONDS_PER_DAY) - 1


def _by_moment(
    moments: Sequence[Moment], versions: Iterable[int], moment_of: MomentOf
) -> Iterator[list[int]]:
    """Yield the versions of each moment that has any, in their order."""
    known = {version: moment_of(version) for version in versions}
    for moment in moments:
        if found := [version for version in known if known[version] == moment]:
            yield found


def _errors(found: AnsweredSums, moment_of: MomentOf) -> tuple[VersionErrors, ...]:
    main, *_ = found.values()
    costs = {version: measured_errors(sums) for version, sums in found.get("cost", {}).items()}
    return tuple(
        VersionErrors(
            version=version,
            moment=moment_of(version),
            cost=costs[version].mae if costs else None,
            cost_interval=costs[version].mae_interval if costs else None,
            **asdict(measured_errors(sums)),
        )
        for version, sums in main.items()
    )


@dataclass(frozen=True)
class _Day:
    """Mean losses of two versions on a day, and the rows of the one that has fewer."""

    day: int
    error: float
    other: float
    rows: int


def _days_apart(one: DaySums, other: DaySums) -> list[_Day]:
    """Return the days on which both versions have answered, each its own rows."""
    return [
        _Day(
            day,
            one[day].absolute / one[day].rows,
            other[day].absolute / other[day].rows,
            min(one[day].rows, other[day].rows),
        )
        for day in sorted({*one} & {*other})
    ]


def _days_together(pairs: Mapping[int, Pairs]) -> list[_Day]:
    """Return the days on which both versions have predicted the same rows."""
    return [
        _Day(
            day,
            pairs[day].shadow.absolute / pairs[day].shadow.rows,
            pairs[day].answered / pairs[day].shadow.rows,
            pairs[day].shadow.rows,
        )
        for day in sorted(pairs)
    ]


def _compare(
    versions: tuple[int, int],
    days: Sequence[_Day],
    last: int,
    by: _By,
    *,
    paired: bool = False,
) -> VersionComparison:
    """Weigh the days in their order."""
    # Weighted by rows: the number of rows of a day does not depend on the better version.
    least = _LEAST_SHARE * float(np.median([day.rows for day in days])) if days else 0.0
    closed = [day for day in days if day.day <= last and day.rows >= least]
    differences = [day.error - day.other for day in closed]
    evidence = evidence_of(differences, by.confidence)
    worthwhile = WORTHWHILE * float(np.mean([day.other for day in closed])) if closed else 0.0
    deviation = float(np.std(differences, ddof=1)) if len(differences) >= WEEK else 0.0
    decided = closed[evidence.decided_after - 1].day if evidence.decided_after else None
    return VersionComparison(
        *versions,
        difference=evidence.mean if closed else None,
        interval=evidence.interval if math.isfinite(evidence.interval[0]) else None,
        e_value=evidence.e_value,
        decided=None if decided is None else str(np.datetime64(decided, "D")),
        verdict=_verdict(versions, evidence, worthwhile, by.measure),
        days=len(closed),
        rows=sum(day.rows for day in closed),
        open_days=len(days) - len(closed),
        worthwhile=worthwhile,
        days_needed=days_needed(worthwhile, deviation, by.confidence) if deviation else None,
        paired=paired,
        measure=by.measure,
        confidence=by.confidence,
    )


def _verdict(
    versions: tuple[int, int], evidence: Evidence, worthwhile: float, measure: Measure
) -> str:
    low, high = evidence.interval
    if evidence.decided_after is not None:
        first, second = versions
        better = first if evidence.mean < 0 else second
        return f"version {better} {_BETTER[measure]}"
    if -worthwhile < low and high < worthwhile:
        return "no difference that is worth finding"
    return f"not decided after {evidence.days:,} {'day' if evidence.days == 1 else 'days'}"
