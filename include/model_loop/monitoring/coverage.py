"""Intervals and sets of classes by day, once true values are there, and their correction.

A day is closed when it has ended and the declared delay of labels has passed. It is measured once:
what comes later changes nothing of it, so that evidence and correction may be read every day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.days import SECONDS_PER_DAY
from model_loop.intervals.adaptive import (
    NO_CORRECTION,
    ClosedDay,
    Correction,
    CorrectionRules,
    corrected,
)
from model_loop.intervals.calibrated import Intervals
from model_loop.intervals.evidence import ENOUGH, TOLERANCE, coverage_evidence
from model_loop.intervals.grid import DEFAULT_LEVEL, tail_of
from model_loop.intervals.measures import IntervalMeasures, measure_intervals
from model_loop.models.classification.class_sets import Inside, measure_sets, sets_at
from model_loop.models.classification.decision import Decision
from model_loop.models.slices import Cut, Slicing
from model_loop.monitoring.interval_days import INTERVAL_EVIDENCE, IntervalDay
from model_loop.monitoring.levels import ALL, Level, Thresholds, WindowFinding, judge_value, unknown
from model_loop.monitoring.windows import WindowRows
from model_loop.partitions.keys import labels_delay
from model_loop.training_set.frames import as_numbers

#: Rows with a true value of which a day says something, and of which a slice of it does.
LEAST_ROWS, _SLICE_ROWS = 10, 20
#: Days that the finding sums up.
_LATEST = 7
#: Least factor of the share of misses of a set: at 90 %, every class just lies within.
_SMALLEST = 0.04


@dataclass(frozen=True)
class WatchedIntervals:
    """Intervals of a version, and how they are corrected.

    Parameters
    ----------
    intervals
        As they were calibrated.
    widening
        Correction by the gate.
    correction
        Correction with which the version answers.
    cuts
        Rules that cut rows into slices.
    """

    intervals: Intervals
    widening: Correction
    correction: Correction
    cuts: tuple[Cut, ...] = ()

    def rules(self, level: float) -> CorrectionRules:
        """Return how days correct them."""
        return CorrectionRules(tail=tail_of(level))

    def hold(
        self, rows: WindowRows, level: float, correction: Correction
    ) -> tuple[IntervalMeasures, Inside]:
        """Measure them on some rows, and return which true values lie within."""
        times = _times(rows)
        sizes = self.intervals.sizes(rows.predicted, times, rows.rows)
        limits = self.intervals.at(level, correction).limits_of(rows.predicted, times, sizes)
        inside = (limits[0] <= rows.actual) & (rows.actual <= limits[1])
        return measure_intervals(*limits, rows.actual, level), inside

    def closed(
        self, day: str, rows: WindowRows, measures: IntervalMeasures, level: float
    ) -> ClosedDay:
        """Return what a day says of them."""
        # No bias is bounded by a limit for which the rows were too few.
        spread = self.intervals.spread(level)
        bound = spread if np.isfinite(spread) else 0.0
        sizes = self.intervals.sizes(rows.predicted, _times(rows), rows.rows)
        bias = float(np.median(self.intervals.scores(rows.actual, rows.predicted, sizes)))
        return ClosedDay(
            day, measures.rows, min(max(bias, -bound), bound), measures.below, measures.above
        )


@dataclass(frozen=True)
class WatchedSets:
    """Conformal sets of a classifier of several classes, and how they are corrected.

    Parameters
    ----------
    decision
        With the scores of the sets, as they were calibrated.
    correction
        Correction with which the version answers: its `upper` alone.
    widening
        As of `WatchedIntervals`: the gate widens no set.
    cuts
        Rules that cut rows into slices.
    """

    decision: Decision
    correction: Correction
    cuts: tuple[Cut, ...] = ()
    widening: Correction = NO_CORRECTION

    def rules(self, level: float) -> CorrectionRules:
        """Return how days correct them: a set is missed on one side alone."""
        return CorrectionRules(tail=2 * tail_of(level), smallest=_SMALLEST)

    def hold(
        self, rows: WindowRows, level: float, correction: Correction
    ) -> tuple[IntervalMeasures, Inside]:
        """Measure them on some rows: as width, the mean number of classes in a set."""
        sets = sets_at(level, self.decision.set_scores, rows.predicted, correction.upper)
        found = measure_sets(sets, rows.actual)
        inside = sets[np.arange(len(rows)), rows.actual.astype(np.int64)]
        missed = 1 - found.coverage
        return IntervalMeasures(len(rows), found.coverage, 0.0, missed, found.size, np.nan), inside

    def closed(
        self, day: str, _rows: WindowRows, measures: IntervalMeasures, level: float
    ) -> ClosedDay:
        """Return what a day says of them: nothing of a bias, nor of a lower side."""
        return ClosedDay(day, measures.rows, 0.0, self.rules(level).tail, measures.above)


def measure_days(
    labelled: WindowRows,
    watched: WatchedIntervals | WatchedSets,
    recorded: Collection[str] = (),
    *,
    now: dt.datetime,
    learns: bool = True,
    level: float = DEFAULT_LEVEL,
) -> tuple[list[IntervalDay], Correction]:
    """Measure the closed days of a window in their order, and correct limits or sets by each.

    Parameters
    ----------
    labelled
        Rows of the version whose true value is known.
    recorded
        Days that were measured before: they correct what they have not corrected yet, and are not
        returned.
    now
        A moment with a time clocks.
    learns
        Whether days correct the intervals.

    Returns
    -------
    list of IntervalDay, Correction
        Further days, and the correction after the last of them.
    """
    correction, rules, found = watched.correction, watched.rules(level), []
    days = labelled.days()
    for number in _closed(labelled, days, now):
        rows, day = labelled.where(days == number), str(np.datetime64(int(number), "D"))
        if len(rows) < LEAST_ROWS:
            continue
        held, inside = watched.hold(rows, level, correction)
        calibrated, _ = watched.hold(rows, level, watched.widening)
        if learns:
            correction = corrected(correction, watched.closed(day, rows, held, level), rules)
        if day in recorded:
            continue
        worst, worst_coverage = _worst(rows, inside, watched.cuts)
        found.append(
            IntervalDay(
                day=day,
                rows=held.rows,
                coverage=held.coverage,
                below=held.below,
                above=held.above,
                calibrated=calibrated.coverage,
                width=held.width if np.isfinite(held.width) else None,
                score=held.score if np.isfinite(held.score) else None,
                worst=worst,
                worst_coverage=worst_coverage,
                bias=correction.bias,
                lower=correction.lower,
                upper=correction.upper,
                correction=correction.version,
            )
        )
    return found, correction


def judge_days(
    days: Sequence[IntervalDay],
    thresholds: Thresholds,
    level: float = DEFAULT_LEVEL,
    *,
    of_sets: bool = False,
) -> WindowFinding:
    """Judge the coverage of all closed days of a version, as it was registered.

    The correction would hide that the model no longer knows how sure it is. Evidence is a warning
    at most: what errors have grown is another finding.

    Parameters
    ----------
    of_sets
        Whether they are days of sets of classes.
    """
    if not days:
        why = f"no closed day has {LEAST_ROWS} labelled rows"
        return unknown(INTERVAL_EVIDENCE, ALL, thresholds, why)
    evidence = coverage_evidence([day.calibrated for day in days], level)
    latest, last = days[-_LATEST:], days[-1]
    weights = [day.rows for day in latest]
    calibrated, coverage = (
        float(np.average([getattr(day, name) for day in latest], weights=weights))
        for name in ("calibrated", "coverage")
    )
    values, kind = ("classes", "sets") if of_sets else ("values", "intervals")
    moved = (
        f"misses allowed times {last.upper:.2g}"
        if of_sets
        else f"bias {last.bias:+.3g}, tails times {last.lower:.2g} below and {last.upper:.2g} above"
    )
    note = (
        f"of the true {values} of the last {len(latest)} closed days, up to {last.day}, "
        f"{calibrated:.1%} lie within {kind} of {level:g} % as registered, {coverage:.1%} "
        f"within the corrected ones (correction {last.correction}: {moved})"
    )
    (enough,) = np.nonzero(evidence >= ENOUGH)
    if len(enough):
        first = days[int(enough[0])].day
        note += f"; evidence of less than {level / 100 - TOLERANCE:.0%} suffices since {first}"
    finding = judge_value(INTERVAL_EVIDENCE, ALL, float(evidence[-1]), thresholds, note)
    return replace(finding, level=Level.WARN) if finding.level is Level.ACT else finding


def _closed(
    labelled: WindowRows, days: npt.NDArray[np.int64], now: dt.datetime
) -> npt.NDArray[np.int64]:
    """Return the days that are closed, but the one in whose midst the window begins."""
    dataset, start = labelled.dataset, labelled.window.start
    delay = labels_delay(dataset) or dt.timedelta(0)
    clocks = dataset.time_zone if dataset.time is not None else "UTC"
    local = pd.Timestamp(start).tz_convert(clocks)
    whole = [
        day
        for day in np.unique(days)
        if _midnight(day + 1, clocks) + delay <= now
        and not (local.time() != dt.time() and local.date() == np.datetime64(int(day), "D").item())
    ]
    return np.array(whole, dtype=np.int64)


def _midnight(day: int, clocks: str) -> pd.Timestamp:
    """Return the moment at which a day begins on the clocks of a place."""
    local = pd.Timestamp(int(day) * SECONDS_PER_DAY, unit="s")
    return local.tz_localize(clocks, ambiguous=True, nonexistent="shift_forward")


def _times(rows: WindowRows) -> npt.NDArray[np.float64] | None:
    time = rows.dataset.time
    return as_numbers(rows.rows[time]) if time is not None and time in rows.rows else None


def _worst(rows: WindowRows, within: Inside, cuts: tuple[Cut, ...]) -> tuple[str, float | None]:
    """Return the slice of a day that is covered least, with its coverage."""
    inside = pd.Series(within)
    least: tuple[str, float | None] = ("", None)
    for name, values in Slicing(rows.dataset, cuts).slices(rows.rows).items():
        by_value = inside.groupby(pd.Series(values), observed=True).agg(["size", "mean"])
        for value, (size, mean) in by_value.iterrows():
            if size >= _SLICE_ROWS and (least[1] is None or mean < least[1]):
                least = (f"{name} {value}", float(mean))
    return least
